"""Omniglot: 1,623 characters and, as characters of their own, their rotations, each drawn by 20 people.

Those of Vinyals' test split are the only ones whose scores may still be new. ``pixels`` are ``images`` as
flat rows; all are views of one array for each part of the split.
"""

from benchmarks.accuracy.data.task import Task
from skmeta.datasets import fetch_omniglot

FILES = ("omniglot/omniglot_28.npz",)
N_DRAWERS = 20


def read(folder):
    """A task for each character."""
    return [task for subset in ("train", "validation", "test") for task in _read(folder, subset)]


def _read(folder, subset):
    characters = fetch_omniglot(subset=subset, path=folder / FILES[0])
    characters.data.setflags(write=False)
    images = characters.data.reshape(-1, N_DRAWERS, *characters.data.shape[1:])
    for drawn, names in zip(images, characters.target.reshape(-1, N_DRAWERS), strict=True):
        views = {"pixels": drawn.reshape(N_DRAWERS, -1), "images": drawn}
        family = {"family": names[0].rpartition("/")[0]}  # a character and its rotations
        yield Task(str(names[0]), views, names, known=subset != "test", about=family)
