"""Digits through scanners: 80 for development, which see the same images, and 40 that see others."""

from benchmarks.accuracy.data.task import Task
from skmeta.datasets import make_scanners


def read(folder):
    """A task for each scanner."""
    made = make_scanners(random_state=1)
    return [
        Task(f"{side} scanner {i}", {"rows": X}, y, known=side == "train")
        for side in ("train", "test")
        for i, (X, y) in enumerate(made[side])
    ]
