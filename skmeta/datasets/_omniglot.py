"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn by 20 people."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from ._omniglot_upstream import build_file
from ._places import folder_of

FILE = "omniglot_28.npz"
ARRAYS = "images", "character", "drawer", "alphabet", "alphabet_names"

# The split of Vinyals et al. needs no table of 1,623 rows: characters are numbered by alphabet, the
# training and validation ones come first, and validation takes whole alphabets.
LAST_TRAIN_OR_VALIDATION = 1200
VALIDATION_ALPHABETS = "Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"
SUBSETS = "train", "validation", "test"

DESCR = """\
Omniglot
--------
1,623 handwritten characters of 50 alphabets, each drawn once by 20 people, as images of 28x28 pixels
with ink 1 on paper 0. Labels mean something only inside one task: draw few characters, tell them apart.

Split: Vinyals et al., Matching Networks for One Shot Learning, NeurIPS 2016, as Snell et al. published
it in 2017: 1,028 characters to meta-train, 172 to meta-validate, 423 to meta-test. With rotations by
90, 180 and 270 degrees as characters of their own: 4,112, 688 and 1,692.

Source: B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum, Human-level concept learning through probabilistic
program induction, Science 350, 2015; github.com/brendenlake/omniglot, MIT License.
"""


def fetch_omniglot(*, subset="train", rotations=True, path=None, data_home=None, download_if_missing=True):
    """Fetch the characters of Omniglot, downloading them once.

    A local copy is looked for in `path`, then as ``omniglot/omniglot_28.npz`` in the folder that the
    environment variable ``SKMETA_DATA`` names, then in ``skmeta`` in `data_home`. Else the authors' two
    archives (16 MB) are downloaded, verified, reduced from 105x105 to 28x28 pixels and kept there.

    Parameters
    ----------
    subset : {"train", "validation", "test"}, default="train"
        Which characters: 1,028, 172 or 423 of them, none in two subsets.
    rotations : bool, default=True
        Whether a character turned by 90, 180 and 270 degrees, counterclockwise, makes three more classes.
    path : str, path or None, default=None
        A local copy: ``omniglot_28.npz``, or the folder that holds it. Nothing else is then tried.
    data_home : str, path or None, default=None
        Where to keep the data; None is scikit-learn's ``~/scikit_learn_data``.
    download_if_missing : bool, default=True
        Whether to download the data if there is no local copy.

    Returns
    -------
    Bunch
        data : float32 ndarray of shape (n_rows, 1, 28, 28)
            Images, ink 1 on paper 0. With rotations, 82,240 rows (258 MB), 13,760 or 33,840.
        target : str ndarray of shape (n_rows,)
            Alphabet, character and rotation, such as ``"Greek/character05/rot090"``. 20 rows each.
        drawer : int ndarray of shape (n_rows,)
            1 to 20: who drew it. The numbers count anew in each alphabet.
        DESCR : str

    Raises
    ------
    ValueError
        If `subset` is unknown, or the local copy is not one of these data.
    OSError
        If there is no copy and none can be downloaded, or an archive has a wrong checksum.
    ImportError
        If the archives are to be read and Pillow is not installed.

    References
    ----------
    B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum, Human-level concept learning through probabilistic
    program induction, Science 350, 2015.

    O. Vinyals et al., Matching Networks for One Shot Learning, NeurIPS 2016.

    Examples
    --------
    >>> from skmeta.datasets import fetch_omniglot
    >>> characters = fetch_omniglot(subset="train")  # doctest: +SKIP
    >>> clf.fit([(characters.data, characters.target)])  # doctest: +SKIP
    """
    if subset not in SUBSETS:
        raise ValueError(
            f"The 'subset' parameter of fetch_omniglot must be one of {', '.join(map(repr, SUBSETS))}. "
            f"Got {subset!r} instead."
        )
    arrays = _load(_local_file(path, data_home, download_if_missing))
    rows = _in_subset(arrays, subset)
    turns = range(4) if rotations else range(1)
    images, names = arrays["images"][rows], _character_names(arrays)[rows]
    turned = np.concatenate([np.rot90(images, k, axes=(1, 2)) for k in turns])
    return Bunch(
        data=np.divide(turned[:, None], 255, dtype=np.float32),
        target=np.array([f"{name}/rot{90 * k:03d}" for k in turns for name in names]),
        drawer=np.tile(arrays["drawer"][rows], len(turns)),
        DESCR=DESCR,
    )


def _local_file(path, data_home, download_if_missing):
    """Path of ``omniglot_28.npz``, built in the cache if there is none."""
    if path is not None:
        return _given_file(Path(path).expanduser())
    file = folder_of("omniglot", lambda folder: (folder / FILE).exists(), data_home) / FILE
    if not file.exists():
        build_file(file, download_if_missing)
    return file


def _given_file(path):
    file = path / FILE if path.is_dir() else path
    if not file.exists():
        raise FileNotFoundError(f"path must be {FILE} or the folder that holds it; {file} does not exist.")
    return file


def _load(file):
    with np.load(file) as arrays:
        missing = [name for name in ARRAYS if name not in arrays.files]
        if missing:
            raise ValueError(f"{file} is not a copy of {FILE}: it has no array {missing[0]!r}.")
        return {name: arrays[name] for name in ARRAYS}


def _in_subset(arrays, subset):
    test = arrays["character"] > LAST_TRAIN_OR_VALIDATION
    validation = np.isin(arrays["alphabet_names"], VALIDATION_ALPHABETS)[arrays["alphabet"]]
    return {"train": ~(test | validation), "validation": validation, "test": test}[subset]


def _character_names(arrays):
    """``"Greek/character05"`` for each row; the number counts from the alphabet's first character."""
    character, alphabet, names = arrays["character"], arrays["alphabet"], arrays["alphabet_names"]
    first = np.array([character[alphabet == code].min() for code in range(len(names))])
    number = character - first[alphabet] + 1
    return np.array([f"{names[a]}/character{n:02d}" for a, n in zip(alphabet, number, strict=True)])
