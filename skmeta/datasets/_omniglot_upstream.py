"""Omniglot from its authors' archives: download, verify, reduce, keep."""

import io
import re
import zipfile
from operator import itemgetter

import numpy as np

from ._places import download, keep, verify

BASE_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
# The authors publish no checksums; these sha256 are the ones of TensorFlow Datasets.
ARCHIVES = {
    "images_background.zip": "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
    "images_evaluation.zip": "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
}
# The file name numbers a character among all 1,623, its folder only within the alphabet: character01 of
# Alphabet_of_the_Magi, drawn by the first drawer, is 0709_01.png.
IMAGE_NAME = re.compile(r"/([^/]+)/character\d+/(\d{4})_(\d{2})\.png$")


def build_file(file, download_if_missing):
    """Make the npz `file` from the authors' archives.

    Archives that lie beside it are used, others are downloaded if `download_if_missing` is true.
    """
    folder = file.parent
    folder.mkdir(parents=True, exist_ok=True)
    if not download_if_missing and not all((folder / name).exists() for name in ARCHIVES):
        raise OSError(f"Omniglot is not in {folder}, and download_if_missing is False. {_advice(folder)}")
    # Before the download, which would be in vain without Pillow.
    read_image = _image_reader()
    archives = [_verified_archive(name, folder) for name in ARCHIVES]
    arrays = _arrays(row for archive in archives for row in _rows(archive, read_image))
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    keep(stream.getvalue(), file)


def _image_reader():
    """Function from a binary stream to a uint8 image of 28x28 pixels, ink 255 on paper 0."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Reading the archives of Omniglot needs Pillow: pip install 'skmeta[examples]'."
        ) from error

    def read_image(stream):
        paper_on_ink = Image.open(stream).convert("L").resize((28, 28), Image.Resampling.LANCZOS)
        return 255 - np.asarray(paper_on_ink)

    return read_image


def _verified_archive(name, folder):
    """Content of an archive, as bytes."""
    file = folder / name
    if file.exists():
        source, content = file, file.read_bytes()
    else:
        source, content = BASE_URL + name, download(BASE_URL + name, _advice(folder))
    verify(content, "sha256", ARCHIVES[name], source, _advice(folder))
    return content


def _advice(folder):
    return (
        f"Without a network, put {' and '.join(ARCHIVES)} of {BASE_URL} into {folder}, or name a copy of "
        "omniglot_28.npz: fetch_omniglot(path=...)."
    )


def _rows(archive, read_image):
    """``(character, drawer, alphabet, image)`` for each image of an archive, given as bytes."""
    with zipfile.ZipFile(io.BytesIO(archive)) as folder:
        for name in folder.namelist():
            if match := IMAGE_NAME.search(name):
                alphabet, character, drawer = match.groups()
                with folder.open(name) as stream:
                    yield int(character), int(drawer), alphabet, read_image(stream)


def _arrays(rows):
    """Columns of all rows, sorted by character and drawer."""
    character, drawer, alphabet, images = zip(*sorted(rows, key=itemgetter(0, 1)), strict=True)
    names = list(dict.fromkeys(alphabet))
    return {
        "images": np.stack(images),
        "character": np.array(character, dtype=np.int16),
        "drawer": np.array(drawer, dtype=np.int8),
        "alphabet": np.array([names.index(name) for name in alphabet], dtype=np.int8),
        "alphabet_names": np.array(names),
    }
