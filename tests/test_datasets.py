import gzip
import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skmeta.datasets import (
    Scanner,
    _clinc150,
    _movielens,
    _omniglot_upstream,
    _pages,
    fetch_clinc150,
    fetch_movielens,
    fetch_omniglot,
    make_pages,
    make_scanners,
    scan,
)
from skmeta.datasets._page_drawing import draw_page

DATA = Path(os.environ.get("SKMETA_DATA") or Path(__file__).parents[2] / "shared" / "data")

# ---- scanners


@pytest.fixture(scope="module")
def scanners():
    return make_scanners(random_state=0)


def test_scanners_hold_tasks_with_all_digits_in_each_round_of_ten(scanners):
    assert len(scanners.train) == 80 and len(scanners.test) == 40
    for tasks, n_per_class in (scanners.train, 20), (scanners.test, 30):
        for X, y in tasks:
            assert X.shape == (10 * n_per_class, 64) and X.dtype == np.float32
            assert (y == np.tile(np.arange(10), n_per_class)).all()


def test_train_and_test_scanners_never_see_the_same_image(scanners):
    train, test = set(np.concatenate(scanners.train_rows)), set(np.concatenate(scanners.test_rows))
    assert not train & test
    assert len(train | test) == 1797


def test_each_row_is_its_digit_image_through_the_scanner(scanners):
    digits = load_digits()
    for side in "train", "test":
        columns = zip(scanners[side], scanners[f"{side}_scanners"], scanners[f"{side}_rows"], strict=True)
        for (X, y), scanner, rows in columns:
            assert len(set(rows)) == len(rows)
            assert (digits.target[rows] == y).all()
            seen = scan(digits.images[rows] / 16, scanner).reshape(len(rows), 64)
            np.testing.assert_allclose(X, seen, atol=1e-6)


def test_scanners_differ_within_the_stated_ranges(scanners):
    all_scanners = scanners.train_scanners + scanners.test_scanners
    angles = np.array([s.angle for s in all_scanners])
    contrasts = np.array([s.contrast for s in all_scanners])
    assert len(set(angles)) == 120 and -15 <= angles.min() < -10 and 10 < angles.max() <= 15
    assert 0.5 <= contrasts.min() < 0.6 and 0.9 < contrasts.max() <= 1
    assert 40 < sum(s.inverted for s in all_scanners) < 80
    assert np.std([s.pattern for s in all_scanners]) == pytest.approx(0.16, abs=0.01)


def test_scanners_are_reproducible_and_leave_the_global_state_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    small = {"n_train": 2, "n_test": 1, "n_train_per_class": 2, "n_test_per_class": 3}
    first, again, other, anew, also_anew = (
        make_scanners(**small, random_state=seed) for seed in (7, np.random.RandomState(7), 8, None, None)
    )
    assert (np.random.get_state()[1] == before).all()
    for (X, y), (X_again, y_again) in zip(first.train + first.test, again.train + again.test, strict=True):
        assert np.array_equal(X, X_again) and np.array_equal(y, y_again)
    assert (first.train[0][0] != other.train[0][0]).any()
    assert (anew.train[0][0] != also_anew.train[0][0]).any()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_train": 0}, r"'n_train' parameter of make_scanners must be an int in \[1, inf\). Got 0 instead"),
        ({"n_test": 2.5}, r"'n_test' parameter .* Got 2\.5 instead"),
        ({"n_train_per_class": 88}, r"'n_train_per_class' parameter .* int in \[1, 87\]. Got 88 instead"),
        ({"n_test_per_class": "5"}, r"'n_test_per_class' parameter .* Got '5' instead"),
    ],
)
def test_scanners_name_the_bad_parameter(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_scanners(**parameters)


def test_scan_on_exactly_known_images():
    images = np.arange(32.0).reshape(2, 4, 4) / 31
    original = images.copy()
    pattern = np.arange(16.0).reshape(4, 4)
    np.testing.assert_allclose(scan(images, Scanner()), images)
    np.testing.assert_allclose(scan(images, Scanner(inverted=True)), 1 - images)
    np.testing.assert_allclose(scan(images, Scanner(contrast=0.5)), 0.25 + images / 2)
    np.testing.assert_allclose(scan(images, Scanner(pattern=pattern)), images + pattern)
    np.testing.assert_allclose(scan(images, Scanner(angle=90)), np.rot90(images, axes=(1, 2)), atol=1e-12)
    assert (images == original).all()


def test_scan_wants_three_axes():
    with pytest.raises(ValueError, match=r"\(n_images, n_rows, n_columns\); got \(5, 64\)"):
        scan(np.zeros((5, 64)), Scanner())


# ---- Omniglot, the real data


def real_omniglot():
    file = DATA / "omniglot" / "omniglot_28.npz"
    if not file.exists():
        pytest.skip("needs a local copy of Omniglot")
    return file


@pytest.fixture(scope="module")
def subsets():
    file = real_omniglot()
    return {name: fetch_omniglot(subset=name, path=file) for name in ("train", "validation", "test")}


def test_subsets_are_the_published_split_with_rotations(subsets):
    n_classes = {}
    for name, bunch in subsets.items():
        classes, counts = np.unique(bunch.target, return_counts=True)
        assert (counts == 20).all()
        assert bunch.data.shape == (20 * len(classes), 1, 28, 28)
        n_classes[name] = len(classes)
    assert n_classes == {"train": 4112, "validation": 688, "test": 1692}


def test_no_character_is_in_two_subsets(subsets):
    characters = [{name.rpartition("/")[0] for name in set(b.target)} for b in subsets.values()]
    assert len(set.union(*characters)) == sum(map(len, characters)) == 1623


def test_split_rule_is_the_table_of_the_published_split():
    file = real_omniglot()
    with np.load(file) as arrays:
        split, character, images = (
            arrays[name] for name in ("vinyals_split_of_character", "character", "images")
        )
    for code, subset in enumerate(("train", "validation", "test")):
        bunch = fetch_omniglot(subset=subset, rotations=False, path=file)
        expected = images[split[character - 1] == code] / np.float32(255)
        assert (bunch.data[:, 0] == expected).all()
        assert all(name.endswith("/rot000") for name in bunch.target)


def test_characters_are_numbered_within_their_alphabet(subsets):
    # Gurmukhi, 45 characters, is the one alphabet that the split divides.
    numbers = {
        name: sorted({int(t.split("/")[1][9:]) for t in bunch.target if t.startswith("Gurmukhi/")})
        for name, bunch in subsets.items()
    }
    assert numbers == {"train": list(range(1, 42)), "validation": [], "test": [42, 43, 44, 45]}


def test_images_are_ink_on_paper(subsets):
    data = subsets["validation"].data
    assert data.dtype == np.float32
    assert data.min() == 0 and data.max() == 1
    assert 0.05 < data.mean() < 0.15


def test_each_class_has_all_drawers_and_is_truly_turned(subsets):
    bunch = subsets["validation"]
    upright = bunch.target == "Hebrew/character05/rot000"
    assert sorted(bunch.drawer[upright]) == list(range(1, 21))
    for k in range(1, 4):
        turned = bunch.target == f"Hebrew/character05/rot{90 * k:03d}"
        assert (bunch.drawer[turned] == bunch.drawer[upright]).all()
        assert (bunch.data[turned] == np.rot90(bunch.data[upright], k, axes=(2, 3))).all()


def test_local_copy_is_found_by_folder_and_by_environment(monkeypatch):
    file = real_omniglot()
    by_folder = fetch_omniglot(subset="validation", rotations=False, path=file.parent)
    monkeypatch.setenv("SKMETA_DATA", str(file.parents[1]))
    by_environment = fetch_omniglot(subset="validation", rotations=False, download_if_missing=False)
    assert (by_folder.data == by_environment.data).all()


# ---- Omniglot, the download: two small archives in place of the authors'


def paint(character, drawer):
    """A 105x105 image, paper 255, with a block of ink that tells the character and the drawer."""
    image = np.full((105, 105), 255, dtype=np.uint8)
    image[15 : 15 + 15 * drawer, 15 * character : 15 * character + 30] = 0
    return image


def write_archive(path, characters):
    """Write an archive of ``{(alphabet, folder, number): picture}``, two drawers each."""
    Image = pytest.importorskip("PIL.Image")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/.DS_Store", b"no image")
        for (alphabet, folder, number), picture in characters.items():
            for drawer in 2, 1:
                stream = io.BytesIO()
                Image.fromarray(paint(picture, drawer)).convert("1").save(stream, "PNG")
                name = f"{path.stem}/{alphabet}/{folder}/{number:04d}_{drawer:02d}.png"
                archive.writestr(name, stream.getvalue())


@pytest.fixture
def upstream(tmp_path, monkeypatch):
    """Folder that stands in for the authors' repository: two archives, three characters."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    background, evaluation = folder / "images_background.zip", folder / "images_evaluation.zip"
    # By folder name Hebrew comes second, by number first: the number decides.
    write_archive(background, {("Magi", "character01", 709): 2, ("Hebrew", "character01", 466): 1})
    write_archive(evaluation, {("ULOG", "character01", 1598): 3})
    checksums = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in (background, evaluation)}
    monkeypatch.setattr(_omniglot_upstream, "ARCHIVES", checksums)
    monkeypatch.setattr(_omniglot_upstream, "BASE_URL", folder.as_uri() + "/")
    monkeypatch.delenv("SKMETA_DATA", raising=False)
    return folder


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_download_is_read_reduced_and_split(upstream, home):
    targets = {"train": "Magi/character01", "validation": "Hebrew/character01", "test": "ULOG/character01"}
    for picture, subset in (2, "train"), (1, "validation"), (3, "test"):
        bunch = fetch_omniglot(subset=subset, rotations=False, data_home=home)
        assert bunch.target.tolist() == [f"{targets[subset]}/rot000"] * 2
        assert bunch.drawer.tolist() == [1, 2]
        for drawer in 1, 2:
            ink = 1 - paint(picture, drawer) / 255
            # Whole blocks of 15x15 pixels become 4x4; Lanczos rings at their edges.
            blocks = bunch.data[drawer - 1, 0].reshape(7, 4, 7, 4).mean((1, 3))
            np.testing.assert_allclose(blocks, ink.reshape(7, 15, 7, 15).mean((1, 3)), atol=0.05)


def test_second_call_needs_no_network_and_no_archive(upstream, home, monkeypatch):
    first = fetch_omniglot(data_home=home)
    monkeypatch.setattr(_omniglot_upstream, "BASE_URL", (upstream / "nowhere").as_uri() + "/")
    again = fetch_omniglot(data_home=home, download_if_missing=False)
    assert (first.data == again.data).all()
    assert [f.name for f in (home / "skmeta" / "omniglot").iterdir()] == ["omniglot_28.npz"]


def test_cache_of_one_machine_is_a_local_copy_on_another(upstream, home, monkeypatch):
    fetch_omniglot(data_home=home)
    monkeypatch.setenv("SKMETA_DATA", str(home / "skmeta"))
    assert len(fetch_omniglot(data_home=home / "empty", download_if_missing=False).data) == 8


def test_wrong_checksum_names_file_expected_and_found(upstream, home):
    expected = _omniglot_upstream.ARCHIVES["images_evaluation.zip"]
    content = (upstream / "images_evaluation.zip").read_bytes() + b"!"
    (upstream / "images_evaluation.zip").write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    message = f"upstream/images_evaluation.zip is damaged .* expected sha256 {expected}, found {found}"
    for _ in range(2):
        with pytest.raises(OSError, match=message):
            fetch_omniglot(data_home=home)
    assert list((home / "skmeta" / "omniglot").iterdir()) == []


def test_no_network_says_how_to_give_a_local_copy(upstream, home, monkeypatch):
    # Nothing listens on the discard port.
    monkeypatch.setattr(_omniglot_upstream, "BASE_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(OSError, match=r"Could not download http.*background\.zip.*fetch_omniglot\(path="):
        fetch_omniglot(data_home=home)


def test_archives_put_beside_the_cache_are_used(upstream, home):
    cache = home / "skmeta" / "omniglot"
    with pytest.raises(OSError, match=r"is not in .*omniglot, and download_if_missing is False.*put images"):
        fetch_omniglot(data_home=home, download_if_missing=False)
    for file in upstream.iterdir():
        (cache / file.name).write_bytes(file.read_bytes())
    assert len(fetch_omniglot(data_home=home, download_if_missing=False).data) == 8


def test_without_pillow_the_extra_is_named(upstream, home, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"needs Pillow: pip install 'skmeta\[examples\]'"):
        fetch_omniglot(data_home=home)


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"'subset' .* one of 'train', 'validation', 'test'. Got 'all'"):
        fetch_omniglot(subset="all")
    with pytest.raises(FileNotFoundError, match=r"path must be omniglot_28\.npz .* does not exist"):
        fetch_omniglot(path=tmp_path)
    other = tmp_path / "other.npz"
    np.savez(other, X=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz is not a copy of .* no array 'images'"):
        fetch_omniglot(path=other)


# ---- MovieLens


def test_movielens_is_read_from_a_local_copy(monkeypatch):
    monkeypatch.setenv("SKMETA_DATA", str(DATA))
    if not (DATA / "movielens_small").exists():
        pytest.skip("needs a local copy of MovieLens")
    bunch = fetch_movielens(download_if_missing=False)
    assert len(bunch.user) == len(bunch.film) == len(bunch.rating) == len(bunch.timestamp) == 100836
    assert np.bincount(bunch.user).min() == 20 and len(np.unique(bunch.user)) == 610
    assert bunch.genres.shape == (9742, 19) == (len(bunch.title), len(bunch.genre_names))
    assert np.unique(bunch.rating).tolist() == np.arange(0.5, 5.1, 0.5).tolist()
    first = bunch.title == "Toy Story (1995)"
    assert bunch.rating[(bunch.user == 0) & first[bunch.film]].tolist() == [4.0]
    kinds = [name for name, has in zip(bunch.genre_names, bunch.genres[first][0], strict=True) if has]
    assert kinds == ["Adventure", "Animation", "Children", "Comedy", "Fantasy"]


@pytest.fixture
def films(tmp_path, monkeypatch):
    """File that stands in for the archive: two people, two films, the second of no genre."""
    texts = {
        "ratings.csv": "userId,movieId,rating,timestamp\r\n1,7,4.5,100\r\n2,9,1.0,300\r\n2,7,3.0,200\r\n",
        "movies.csv": 'movieId,title,genres\r\n7,"Été, (1999)",Drama|Comedy\r\n9,B,(no genres listed)\r\n',
    }
    contents = {name: text.encode() for name, text in texts.items()}
    file = tmp_path / "ml-latest-small.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"ml-latest-small/{name}", content)
    sums = {
        name: hashlib.md5(content.replace(b"\r\n", b"\n")).hexdigest() for name, content in contents.items()
    }
    monkeypatch.setattr(_movielens, "FILES", sums)
    monkeypatch.setattr(_movielens, "URL", file.as_uri())
    monkeypatch.delenv("SKMETA_DATA", raising=False)
    return file


def test_movielens_is_downloaded_once(films, home, monkeypatch):
    bunch = fetch_movielens(data_home=home)
    assert bunch.user.tolist() == [0, 1, 1] and bunch.film.tolist() == [0, 1, 0]
    assert bunch.rating.tolist() == [4.5, 1.0, 3.0] and bunch.timestamp.tolist() == [100, 300, 200]
    assert bunch.title.tolist() == ["Été, (1999)", "B"] and bunch.genre_names == ["Comedy", "Drama"]
    assert bunch.genres.tolist() == [[True, True], [False, False]]
    films.unlink()
    assert fetch_movielens(data_home=home).title.tolist() == bunch.title.tolist()
    # One machine's cache is another's local copy.
    monkeypatch.setenv("SKMETA_DATA", str(home / "skmeta"))
    assert fetch_movielens(data_home=home / "empty").title.tolist() == bunch.title.tolist()


def test_movielens_says_what_is_wrong(films, home, tmp_path, monkeypatch):
    monkeypatch.setenv("SKMETA_DATA", str(tmp_path / "typo"))
    with pytest.raises(
        OSError,
        match=r"is not in .*typo.movielens_small or .*home.*, and download_if_missing is False.*path=",
    ):
        fetch_movielens(data_home=home, download_if_missing=False)
    (tmp_path / "movies.csv").touch()
    (tmp_path / "ratings.csv").mkdir()
    with pytest.raises(FileNotFoundError, match=r"path must be a folder with .* has no ratings\.csv\."):
        fetch_movielens(path=tmp_path)
    sums = _movielens.FILES
    with monkeypatch.context() as patch:
        patch.setattr(_movielens, "FILES", sums | {"movies.csv": "0"})
        with pytest.raises(OSError, match=r"movies\.csv of .* expected md5 0, found " + sums["movies.csv"]):
            fetch_movielens(data_home=home)
    content = films.read_bytes()
    for damaged in b"no archive", content.replace(b"4.5", b"4.6", 1):
        films.write_bytes(damaged)
        with pytest.raises(OSError, match=r"ml-latest-small\.zip is damaged or has changed: .*path="):
            fetch_movielens(data_home=home)
    assert list(home.joinpath("skmeta", "movielens_small").iterdir()) == []
    (tmp_path / "skmeta").touch()
    with pytest.raises(OSError, match=r"Could not make .*skmeta.*data_home="):
        fetch_movielens(data_home=tmp_path)


def test_a_damaged_copy_of_movielens_is_named(films, home):
    fetch_movielens(data_home=home)
    table = home / "skmeta" / "movielens_small" / "movies.csv"
    text = table.read_bytes()
    packed = gzip.compress(text)
    table.unlink()
    for name, content in {
        "movies.csv.gz": packed[:-9],
        "movies.csv": text[:-1],
    }.items():
        table.with_name(name).write_bytes(content)
        with pytest.raises(OSError, match=rf"{name}.*Delete it to have it downloaded anew"):
            fetch_movielens(data_home=home)
        table.with_name(name).unlink()
    table.with_name("movies.csv.gz").write_bytes(packed)
    assert len(fetch_movielens(data_home=home).title) == 2


# ---- CLINC150


def test_clinc150_is_read_from_a_local_copy(monkeypatch):
    monkeypatch.setenv("SKMETA_DATA", str(DATA))
    if not (DATA / "clinc150").exists():
        pytest.skip("needs a local copy of CLINC150")
    bunch = fetch_clinc150(download_if_missing=False)
    assert len(bunch.data) == len(bunch.target) == 22500 and len(bunch.out_of_scope) == 1200
    assert np.unique(bunch.target, return_counts=True)[1].tolist() == [150] * 150
    said = bunch.data == "what expression would i use to say i love you if i were an italian"
    assert bunch.target[said].tolist() == ["translate"]


def test_clinc150_is_downloaded_once_and_verified(tmp_path, home, monkeypatch):
    parts = {"train": [["hi", "greeting"]], "val": [["bye", "goodbye"]], "test": [["hey", "greeting"]]}
    parts |= {f"oos_{name}": [[f"what is {name}", "oos"]] for name in ("train", "val", "test")}
    upstream, content = tmp_path / "data_full.json", json.dumps(parts).encode()
    upstream.write_bytes(content)
    monkeypatch.setattr(_clinc150, "URL", upstream.as_uri())
    monkeypatch.delenv("SKMETA_DATA", raising=False)
    with pytest.raises(OSError, match=rf"expected sha256 {_clinc150.SHA256}, found .*fetch_clinc150\(path="):
        fetch_clinc150(data_home=home)
    monkeypatch.setattr(_clinc150, "SHA256", hashlib.sha256(content).hexdigest())
    with pytest.raises(OSError, match=r"not in .*clinc150, and download_if_missing is False.*path="):
        fetch_clinc150(data_home=home, download_if_missing=False)
    with pytest.raises(FileNotFoundError, match=r"path must be data_full\.json, packed .* or the folder"):
        fetch_clinc150(path=home)
    for _ in range(2):
        bunch = fetch_clinc150(data_home=home)
        assert bunch.data.tolist() == ["hi", "bye", "hey"]
        assert bunch.target.tolist() == ["greeting", "goodbye", "greeting"]
        assert bunch.out_of_scope.tolist() == ["what is train", "what is val", "what is test"]
        upstream.unlink(missing_ok=True)
    packed = tmp_path / "data_full.json.gz"
    packed.write_bytes(gzip.compress(content))
    for path in packed, tmp_path:
        assert fetch_clinc150(path=path).target.tolist() == bunch.target.tolist()


# ---- pages of characters


@pytest.fixture(scope="module")
def pages():
    return make_pages(6, characters="digits", n_pages=4, random_state=0)


def test_pages_have_the_form_of_detection_tasks(pages):
    assert len(pages.tasks) == len(pages.alphabets) == 6
    for images, targets in pages.tasks:
        assert images.shape == (4, 1, 128, 128) and images.dtype == np.float32 and len(targets) == 4
        assert 0 <= images.min() < 0.1 and 0.9 < images.max() <= 1
        labels = [set(target["labels"]) for target in targets]
        assert 1 <= len(labels[0]) <= 3 and all(other <= labels[0] for other in labels)
        for target in targets:
            left, top, right, bottom = target["boxes"].T
            assert (left >= 0).all() and (left < right).all() and (right <= 128).all()
            assert (top >= 0).all() and (top < bottom).all() and (bottom <= 128).all()


def test_boxes_are_around_the_ink():
    rng = np.random.default_rng(0)
    drawing = np.zeros((28, 28))
    drawing[4:24, 10:16] = 1
    page, boxes = draw_page([drawing] * 8, 128, rng)
    inside = np.zeros((128, 128), bool)
    for left, top, right, bottom in boxes.astype(int):
        assert page[top:bottom, left:right].max() > 0.6
        assert (page[[top, bottom - 1], left:right] > 0.2).any(1).all()
        inside[top:bottom, left:right] = True
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (sides.max(1) / 20 > 0.6).all() and (sides.max(1) / 20 < 1.7).all()
    assert page[inside].mean() > 2 * page[~inside].mean()


def test_characters_cover_each_other_by_a_fifth_at_most(monkeypatch):
    drawn = []

    def draw_and_note(drawings, size, rng):
        drawn.append(draw_page(drawings, size, rng))
        return drawn[-1]

    monkeypatch.setattr(_pages, "draw_page", draw_and_note)
    targets = make_pages(3, characters="digits", random_state=0).tasks
    wanted = [len(target["boxes"]) for _, of_task in targets for target in of_task]
    for (_, boxes), n_wanted in zip(drawn, wanted, strict=True):
        assert 8 <= len(boxes) <= 15 and len(boxes) // 4 <= n_wanted <= len(boxes) // 2
        sides = np.minimum(boxes[:, None, 2:], boxes[:, 2:]) - np.maximum(boxes[:, None, :2], boxes[:, :2])
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        shares = sides.clip(0).prod(2) / np.minimum(areas[:, None], areas)
        assert (shares[~np.eye(len(boxes), dtype=bool)] <= 0.2 + 1e-6).all()


def test_pages_depend_on_the_seed_alone(pages):
    before = np.random.get_state()[1].copy()
    again, other = (make_pages(6, characters="digits", n_pages=4, random_state=s) for s in (0, 1))
    assert (np.random.get_state()[1] == before).all()
    same = [(a[0] == b[0]).all() for a, b in zip(pages.tasks, again.tasks, strict=True)]
    assert all(same) and not (pages.tasks[0][0] == other.tasks[0][0]).all()


def test_subsets_of_pages_share_no_character():
    known = []
    for subset in "train", "validation", "test":
        tasks = make_pages(5, subset=subset, characters="digits", n_pages=2, random_state=0).tasks
        known.append({label for _, targets in tasks for target in targets for label in target["labels"]})
    assert not known[0] & known[1] and not known[0] & known[2] and not known[1] & known[2]


def test_pages_of_omniglot_are_of_alphabets_of_one_subset(monkeypatch):
    if not (DATA / "omniglot").exists():
        pytest.skip("needs a local copy of Omniglot")
    monkeypatch.setenv("SKMETA_DATA", str(DATA))
    found = {}
    for subset in "train", "validation", "test":
        made = make_pages(30, subset=subset, n_pages=1, random_state=0)
        found[subset] = set(made.alphabets)
        assert {label.split("/")[0] for _, (t,) in made.tasks for label in t["labels"]} <= found[subset]
    assert (
        not found["train"] & found["validation"]
        and not (found["train"] | found["validation"]) & found["test"]
    )


def test_without_omniglot_pages_are_of_digits(monkeypatch, home):
    monkeypatch.delenv("SKMETA_DATA", raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(home))
    assert make_pages(1, n_pages=1, random_state=0).alphabets == ["digits"]
    with pytest.raises(FileNotFoundError, match=r"path must be omniglot_28\.npz"):
        make_pages(1, path=home)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("n_tasks", 0, r"an int in \[1, inf\)"),
        ("n_pages", 1.5, r"an int in \[1, inf\)"),
        ("size", 100, r"an int in \[128, inf\)"),
        ("subset", "dev", "one of 'train', 'validation', 'test'"),
        ("characters", "mnist", "one of 'auto', 'omniglot', 'digits'"),
    ],
)
def test_parameters_of_pages_are_checked(name, value, rule):
    with pytest.raises(ValueError, match=f"'{name}' parameter of make_pages must be {rule}. Got {value!r}"):
        make_pages(**{name: value})
