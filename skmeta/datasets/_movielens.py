"""MovieLens: 100,836 ratings of 9,742 films by 610 people."""

import csv
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from ._places import ANEW, download, file_in, folder_of, keep, make_folder, read, verify

URL = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
FOLDER = "movielens_small"
# md5 of the texts with Unix line ends, which the archive's have not.
FILES = {
    "ratings.csv": "200d88e8210338d8bd807b37d9b105d5",
    "movies.csv": "b252328d16b085936b56eefad880ef9d",
}
NO_GENRE = "(no genres listed)"
ADVICE = f"Without a network, unpack {URL} elsewhere and name its folder: fetch_movielens(path=...)."

DESCR = """\
MovieLens, ml-latest-small
--------------------------
100,836 ratings, 0.5 to 5 stars, of 9,742 films by 610 people, each of whom rated 20 or more. A person is a
task.

Source: F. M. Harper, J. A. Konstan, The MovieLens Datasets: History and Context, ACM Transactions on
Interactive Intelligent Systems 5:4, 2015; grouplens.org/datasets/movielens. Not for commercial use; passed on
under the same conditions.
"""


def fetch_movielens(*, path=None, data_home=None, download_if_missing=True):
    """Fetch the ratings of ml-latest-small, downloading them once.

    A local copy is looked for in `path`, then as ``movielens_small`` in the folder that the environment
    variable ``SKMETA_DATA`` names, then in ``skmeta`` in `data_home`. Else the archive (1 MB) is downloaded,
    verified and kept there.

    Parameters
    ----------
    path : str, path or None, default=None
        A folder with ``ratings.csv`` and ``movies.csv``, each packed as ``.gz`` or not. Nothing else is then
        tried.
    data_home : str, path or None, default=None
        Where to keep the data; None is scikit-learn's ``~/scikit_learn_data``.
    download_if_missing : bool, default=True
        Whether to download the data if there is no local copy.

    Returns
    -------
    Bunch
        user : int ndarray of shape (100836,)
            Who rated, 0 to 609.
        film : int ndarray of shape (100836,)
            What was rated: a row of `title` and `genres`.
        rating : float ndarray of shape (100836,)
            0.5 to 5 stars.
        timestamp : int ndarray of shape (100836,)
            When, in seconds since 1970.
        title : str ndarray of shape (9742,)
            Of the films, with the year.
        genres : bool ndarray of shape (9742, 19)
            Whether a film is of a genre; a few are of none.
        genre_names : list of str
        DESCR : str

    Raises
    ------
    OSError
        If there is no copy and none can be downloaded, or it is not of these data.

    References
    ----------
    F. M. Harper, J. A. Konstan, The MovieLens Datasets: History and Context, ACM Transactions on Interactive
    Intelligent Systems 5:4, 2015.

    Examples
    --------
    >>> from skmeta.datasets import fetch_movielens
    >>> ratings = fetch_movielens()  # doctest: +SKIP
    >>> X = ratings.genres[ratings.film]  # doctest: +SKIP
    >>> model.fit(X, ratings.rating, groups=ratings.user)  # doctest: +SKIP
    """
    folder = _local_folder(path, data_home, download_if_missing)
    ratings, films = (_rows(folder, name) for name in FILES)
    numbers = np.array([int(film["movieId"]) for film in films])
    genres = [set(film["genres"].split("|")) - {NO_GENRE} for film in films]
    names = sorted(set().union(*genres))
    return Bunch(
        user=np.array([int(row["userId"]) for row in ratings]) - 1,
        film=np.searchsorted(numbers, [int(row["movieId"]) for row in ratings]),
        rating=np.array([float(row["rating"]) for row in ratings]),
        timestamp=np.array([int(row["timestamp"]) for row in ratings]),
        title=np.array([film["title"] for film in films]),
        genres=np.array([[name in of_film for name in names] for of_film in genres]),
        genre_names=names,
        DESCR=DESCR,
    )


def _local_folder(path, data_home, download_if_missing):
    """The folder with the two files, downloaded into the cache if there is none."""
    if path is not None:
        folder = Path(path).expanduser()
        missing = [name for name in FILES if not file_in(folder, name)]
        if missing:
            raise FileNotFoundError(
                f"path must be a folder with {' and '.join(FILES)}, each packed as .gz or not; "
                f"{folder} has no {' and no '.join(missing)}."
            )
        return folder
    folder = folder_of(FOLDER, _is_there, data_home)
    if not _is_there(folder):
        folder = make_folder(FOLDER, data_home, "MovieLens", download_if_missing, ADVICE)
        _unpack(download(URL, ADVICE), folder)
    return folder


def _is_there(folder):
    return all(file_in(folder, name) for name in FILES)


def _unpack(archive, folder):
    """Keep the two files of the ``archive``, given as bytes, in the folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            texts = {name: packed.read(f"ml-latest-small/{name}") for name in FILES}
    except (zipfile.BadZipFile, KeyError, zlib.error) as error:
        raise OSError(f"{URL} is damaged or has changed: {error}. {ADVICE}") from error
    texts = {name: _verified(text, name, f"{name} of {URL}", ADVICE) for name, text in texts.items()}
    for name, text in texts.items():
        keep(text, folder / name)


def _rows(folder, name):
    """The rows of a table, each a dict."""
    file = file_in(folder, name)
    text = _verified(read(file), name, file, ANEW)
    return list(csv.DictReader(io.StringIO(text.decode("utf-8"))))


def _verified(content, name, source, advice):
    """The text of a table, with Unix line ends."""
    content = content.replace(b"\r\n", b"\n")
    verify(content, "md5", FILES[name], source, advice)
    return content
