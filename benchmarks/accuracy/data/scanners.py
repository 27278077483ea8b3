"""Digits through scanners: 65 scanners to train on, 15 to choose by, 40 new ones."""

from skmeta.datasets import make_scanners

N_VALIDATION = 15


def read(folder, split, features):
    """Tasks of meta-train, meta-validation and meta-test; ``split`` seeds the scanners."""
    made = make_scanners(random_state=split - 1)
    return made.train[N_VALIDATION:], made.train[:N_VALIDATION], made.test
