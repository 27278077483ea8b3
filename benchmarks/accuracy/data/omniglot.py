"""Omniglot: 4,112 characters to train on, 688 to choose by, 1,692 new ones; rotations are characters.

One task holds all characters of a subset; episodes draw some of them. ``images`` are for convolutions,
``pixels`` the same as flat rows.
"""

from skmeta.datasets import fetch_omniglot

FILES = ("omniglot/omniglot_28.npz",)


def read(folder, split, features):
    """Tasks of meta-train, meta-validation and meta-test characters, split as Vinyals et al. did."""
    return [[_read(folder, subset, features)] for subset in ("train", "validation", "test")]


def _read(folder, subset, features):
    characters = fetch_omniglot(subset=subset, path=folder / FILES[0])
    images = characters.data
    return images if features == "images" else images.reshape(len(images), -1), characters.target
