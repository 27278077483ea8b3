"""Handwritten digits seen through many scanners: one scanner is one task."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.utils import Bunch, check_random_state

from ._checks import check_int

# Calibrated for two labelled rows a digit: there one model for all scanners, and one model for each
# scanner, both err on every fourth or fifth row, and adaptation on less than every tenth.
MAX_ANGLE = 15.0
CONTRAST_RANGE = 0.5, 1.0
PATTERN_SCALE = 0.16

DESCR = f"""\
Digits seen through many scanners
---------------------------------
Each task is one scanner: 8x8 handwritten digits as this scanner sees them, labels 0 to 9, shared by
all tasks. A scanner is mounted askew ({-MAX_ANGLE:g} to {MAX_ANGLE:g} degrees), has a contrast of its own
({CONTRAST_RANGE[0]:g} to {CONTRAST_RANGE[1]:g}), gives negatives with probability 1/2, and adds a fixed
pattern of its sensor (standard deviation {PATTERN_SCALE:g} where paper is 0 and ink is 1). No digit image
is seen both by a scanner of `train` and by one of `test`.

Source of the digits: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
Learning Repository, 1998, as `sklearn.datasets.load_digits` has them (1,797 images).
"""


class Scanner(NamedTuple):
    """What one scanner does to every image.

    Parameters
    ----------
    angle : float
        Rotation in degrees, counterclockwise.
    contrast : float
        Gain around mid-grey, 0.5; 1 keeps the image as it is.
    inverted : bool
        Whether the scanner gives negatives: ink 0 on paper 1.
    pattern : float or ndarray of shape (n_rows, n_columns)
        What the sensor adds to each pixel, the same for every image.
    """

    angle: float = 0.0
    contrast: float = 1.0
    inverted: bool = False
    pattern: np.ndarray | float = 0.0


def scan(images, scanner):
    """Images as one scanner sees them, ``1/2 + contrast * (turned - 1/2) + pattern``.

    Parameters
    ----------
    images : array-like of shape (n_images, n_rows, n_columns)
        Paper 0, ink 1.
    scanner : Scanner

    Returns
    -------
    ndarray of shape (n_images, n_rows, n_columns)
        Not clipped: contrast and pattern may reach beyond 0 and 1.

    Raises
    ------
    ValueError
        If `images` has not three axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmeta.datasets import Scanner, scan
    >>> images = load_digits().images / 16
    >>> negatives = scan(images, Scanner(inverted=True))
    >>> bool((negatives == 1 - images).all())
    True
    """
    images = np.asarray(images)
    if images.ndim != 3:
        raise ValueError(f"images must have shape (n_images, n_rows, n_columns); got {images.shape}.")
    seen = ndimage.rotate(images, scanner.angle, axes=(1, 2), reshape=False, order=1)
    if scanner.inverted:
        seen = 1 - seen
    return 0.5 + scanner.contrast * (seen - 0.5) + scanner.pattern


def make_scanners(n_train=80, n_test=40, *, n_train_per_class=20, n_test_per_class=30, random_state=None):
    """Make tasks that share their labels: the ten digits, seen through many scanners.

    Each task is a pair ``(X, y)`` from one scanner with its own rotation, contrast, inversion and sensor
    pattern. The rows come in rounds of ten, one of each digit: ``X[:20]`` holds two rows a digit.

    Parameters
    ----------
    n_train, n_test : int, default=80, 40
        Scanners to meta-train on, and new ones to adapt to. They never see the same digit image.
    n_train_per_class, n_test_per_class : int in [1, 87], default=20, 30
        Rows of each digit from a scanner of either side. No image comes twice in a task.
    random_state : int, RandomState instance or None, default=None
        Makes the tasks reproducible. NumPy's global random state is neither read nor changed.

    Returns
    -------
    Bunch
        train, test : list of (X, y)
            One pair for each scanner: float32 ndarray of shape (10 * n_per_class, 64), int ndarray of
            shape (10 * n_per_class,).
        train_scanners, test_scanners : list of Scanner
            What each scanner does. A learner is not to see it.
        train_rows, test_rows : list of int ndarray of shape (10 * n_per_class,)
            Where each row's image stands in `load_digits`.
        DESCR : str

    Raises
    ------
    ValueError
        If a number is not an int in its range.

    References
    ----------
    E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.

    Examples
    --------
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(random_state=0)
    >>> len(scanners.train), len(scanners.test)
    (80, 40)
    >>> X, y = scanners.test[0]
    >>> X.shape
    (300, 64)
    >>> y[:20].tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    digits = load_digits()
    most = int(np.bincount(digits.target).min()) // 2
    n_train = check_int("make_scanners", "n_train", n_train)
    n_test = check_int("make_scanners", "n_test", n_test)
    n_train_per_class = check_int("make_scanners", "n_train_per_class", n_train_per_class, most=most)
    n_test_per_class = check_int("make_scanners", "n_test_per_class", n_test_per_class, most=most)
    # check_random_state(None) would give NumPy's global state.
    rng = np.random.RandomState() if random_state is None else check_random_state(random_state)
    train_pool, test_pool = _split_digits(digits.target, rng)
    train = [_make_task(digits.images, train_pool, n_train_per_class, rng) for _ in range(n_train)]
    test = [_make_task(digits.images, test_pool, n_test_per_class, rng) for _ in range(n_test)]
    return Bunch(**_columns("train", train), **_columns("test", test), DESCR=DESCR)


def _split_digits(target, rng):
    """Two disjoint halves of the images; each is a list with the row numbers of each digit."""
    orders = [rng.permutation(np.flatnonzero(target == digit)) for digit in range(10)]
    return [rows[: len(rows) // 2] for rows in orders], [rows[len(rows) // 2 :] for rows in orders]


def _make_task(images, pool, n_per_class, rng):
    """One new scanner's ``((X, y), scanner, rows)``."""
    scanner = _draw_scanner(images.shape[1:], rng)
    rows = np.stack([rng.choice(rows, n_per_class, replace=False) for rows in pool], axis=1).ravel()
    X = scan(images[rows] / 16, scanner).reshape(len(rows), -1).astype(np.float32)
    return (X, np.tile(np.arange(10), n_per_class)), scanner, rows


def _draw_scanner(shape, rng):
    return Scanner(
        angle=rng.uniform(-MAX_ANGLE, MAX_ANGLE),
        contrast=rng.uniform(*CONTRAST_RANGE),
        inverted=bool(rng.randint(2)),
        pattern=rng.normal(0, PATTERN_SCALE, shape),
    )


def _columns(side, made):
    tasks, scanners, rows = (list(column) for column in zip(*made, strict=True))
    return {side: tasks, f"{side}_scanners": scanners, f"{side}_rows": rows}
