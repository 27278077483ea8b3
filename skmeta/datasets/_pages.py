"""Pages of handwritten characters, some of which are wanted: tasks of object detection."""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils import Bunch, check_random_state

from ._checks import check_int
from ._omniglot import SUBSETS, fetch_omniglot
from ._page_drawing import MAX_ANGLE, MOST_OVERLAP, SCALES, draw_page

N_CHARACTERS = 8, 15  # on a page
MOST_WANTED = 3
SIDE = 28  # of a drawing
# The one alphabet with characters in two subsets of fetch_omniglot; all of it is in the first of them.
IN_TWO_SUBSETS = "Gurmukhi"
# Where Omniglot is not at hand: digits of scikit-learn.
DIGITS_OF_SUBSET = {"train": (0, 1, 2, 3), "validation": (4, 5, 6), "test": (7, 8, 9)}

DESCR = f"""\
Pages of handwritten characters
-------------------------------
A task is a few pages of characters of one alphabet, {N_CHARACTERS[0]} to {N_CHARACTERS[1]} on each.
One to {MOST_WANTED} of the alphabet's characters are wanted: a detector is to find all copies of them. They
are a quarter to a half of the characters on a page, the rest are others of the alphabet. Each copy is by
another hand, as far as there are so many, scaled by {SCALES[0]:g} to {SCALES[1]:g} and turned by up to
{MAX_ANGLE:g} degrees; of two boxes the smaller one is covered by {MOST_OVERLAP:g} at most. Strokes and noise
are between them. The first page of a task holds each wanted character, other pages some of them.

Subsets share no alphabet. Characters are those of Omniglot (see fetch_omniglot), turned by 0, 90, 180 or 270
degrees for all of a task; or digits of `sklearn.datasets.load_digits`, other ones in each subset.
"""


class Alphabet(NamedTuple):
    """Drawings of an alphabet's characters: arrays of shape (n_drawings, 28, 28), ink 1 on paper 0."""

    name: str
    characters: dict


def make_pages(
    n_tasks=40,
    *,
    subset="train",
    characters="auto",
    n_pages=8,
    size=128,
    random_state=None,
    path=None,
):
    """Make tasks of object detection: find all copies of some characters on pages of many.

    Parameters
    ----------
    n_tasks : int, default=40
    subset : {"train", "validation", "test"}, default="train"
        Which alphabets; no alphabet is in two subsets.
    characters : {"auto", "omniglot", "digits"}, default="auto"
        "auto" is Omniglot where a copy is on this machine, else the digits of scikit-learn. "omniglot"
        downloads it if it is not.
    n_pages : int, default=8
        Pages of a task.
    size : int, default=128
        Height and width of a page in pixels, 128 or more.
    random_state : int, RandomState instance or None, default=None
        Makes the tasks reproducible. NumPy's global random state is neither read nor changed.
    path : str, path or None, default=None
        A local copy of Omniglot, as in ``fetch_omniglot``.

    Returns
    -------
    Bunch
        tasks : list of (images, targets)
            Pages, a float32 ndarray of shape (n_pages, 1, size, size), ink 1 on paper 0, and a list of dicts
            as torchvision has them: ``boxes``, float32 of shape (n_objects, 4), left, top, right and bottom
            edge in pixels, and ``labels``, str of shape (n_objects,).
        alphabets : list of str
            Name of each task's alphabet.
        DESCR : str

    Raises
    ------
    ValueError
        If a parameter is not allowed.
    OSError
        If Omniglot is asked for and cannot be had.

    References
    ----------
    B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum, Human-level concept learning through probabilistic
    program induction, Science 350, 2015.

    Examples
    --------
    >>> from skmeta.datasets import make_pages
    >>> pages = make_pages(2, characters="digits", n_pages=3, random_state=0)
    >>> images, targets = pages.tasks[0]
    >>> images.shape, targets[0]["boxes"].shape[1]
    ((3, 1, 128, 128), 4)
    """
    _check(n_tasks, n_pages, size, subset, characters)
    # check_random_state(None) would give NumPy's global state.
    state = np.random.RandomState() if random_state is None else check_random_state(random_state)
    rng = np.random.default_rng(state.randint(2**31 - 1))
    alphabets = _alphabets(subset, characters, path)
    made = [_make_task(alphabets[rng.integers(len(alphabets))], n_pages, size, rng) for _ in range(n_tasks)]
    tasks, names = map(list, zip(*made, strict=True))
    return Bunch(tasks=tasks, alphabets=names, DESCR=DESCR)


def _check(n_tasks, n_pages, size, subset, characters):
    for name, value, least in (("n_tasks", n_tasks, 1), ("n_pages", n_pages, 1), ("size", size, 128)):
        check_int("make_pages", name, value, least)
    for name, value, values in (
        ("subset", subset, SUBSETS),
        ("characters", characters, ("auto", "omniglot", "digits")),
    ):
        if value not in values:
            raise ValueError(
                f"The {name!r} parameter of make_pages must be one of {', '.join(map(repr, values))}. "
                f"Got {value!r} instead."
            )


def _alphabets(subset, characters, path):
    if characters == "digits":
        return [_digits(subset)]
    try:
        return _of_omniglot(subset, path, download=characters == "omniglot")
    except FileNotFoundError:
        raise
    except OSError:
        if characters == "omniglot":
            raise
        return [_digits(subset)]


def _of_omniglot(subset, path, download):
    data = fetch_omniglot(subset=subset, rotations=False, path=path, download_if_missing=download)
    alphabet_of = np.array([name.split("/")[0] for name in data.target])
    found = []
    for name in np.unique(alphabet_of):
        if name == IN_TWO_SUBSETS and subset != "train":
            continue
        rows = alphabet_of == name
        labels, images = (
            np.array([label.rpartition("/")[0] for label in data.target[rows]]),
            data.data[rows, 0],
        )
        found.append(Alphabet(name, {str(label): images[labels == label] for label in np.unique(labels)}))
    return found


def _digits(subset):
    digits = load_digits()
    images = np.repeat(np.repeat(digits.images / 16, 3, axis=1), 3, axis=2)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2))).astype(np.float32)
    drawn = {f"digits/{d}": images[digits.target == d] for d in DIGITS_OF_SUBSET[subset]}
    return Alphabet("digits", drawn)


def _make_task(alphabet, n_pages, size, rng):
    """One task, and the name of its alphabet."""
    names = rng.permutation(list(alphabet.characters))
    n_wanted = min(rng.integers(1, MOST_WANTED, endpoint=True), len(names) - 1)
    turn = rng.integers(4)
    hands = {name: _hands(alphabet.characters[name], turn, rng) for name in names}
    wanted, others = names[:n_wanted], names[n_wanted:]
    pages = [_make_page(hands, wanted, others, size, rng, is_first=i == 0) for i in range(n_pages)]
    images, targets = zip(*pages, strict=True)
    return (np.stack(images)[:, None], list(targets)), alphabet.name


def _hands(drawings, turn, rng):
    """Endless drawings of a character, all of them before one comes again."""
    while True:
        for i in rng.permutation(len(drawings)):
            yield np.rot90(drawings[i], turn)


def _make_page(hands, wanted, others, size, rng, is_first):
    """One page and its target; the first one holds each wanted character."""
    n = rng.integers(*N_CHARACTERS, endpoint=True)
    n_wanted = rng.integers(max(n // 4, len(wanted)), n // 2, endpoint=True)
    chosen = list(wanted) if is_first else []
    chosen += list(rng.choice(wanted, n_wanted - len(chosen)))
    chosen += list(rng.choice(others, n - n_wanted))
    page, boxes = draw_page([next(hands[name]) for name in chosen], size, rng)
    return page, {"boxes": boxes[:n_wanted], "labels": np.array(chosen[:n_wanted])}
