"""What a method of the benchmark is: ours and the rivals alike."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Answer(NamedTuple):
    """What a model says about the query rows of an episode.

    Parameters
    ----------
    predicted : array of shape (n_query,)
        Values or labels.
    probabilities : array of shape (n_query, n_classes), default=None
        Of ``classes``, if a classifier has them.
    classes : array of shape (n_classes,), default=None
    low, high : arrays of shape (n_query,), default=None
        Ends of a 90 % interval of each value, if a regressor has them.
    """

    predicted: np.ndarray
    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class Method:
    """A line of the tables.

    Parameters
    ----------
    name : str
    kinds : tuple of str
        Of the studies that it suits: "regression", "shared", "per_task".
    fit : callable
        ``fit(tasks, view, seed, **params)`` learns from training tasks, a list of ``Task``, by one view of
        their rows, and returns a model, ``model(X_support, y_support, X_query) -> Answer``.
    grid : dict of str to list
        What is chosen on development tasks, for each number of support rows; the first of each is the
        usual choice.
    views : {"first", "all"} or tuple of str
        Those of the data set that are tried too.
    studies : tuple of str or None
        Beginnings of the names of the only data sets that it suits; None for all of its kinds.
    per_shot : bool
        Whether ``fit`` takes ``n_shot`` and so is fitted anew for each number of support rows.
    seeded : bool
        Whether the seed matters.
    ours : bool
    """

    name: str
    kinds: tuple
    fit: Callable
    grid: dict = field(default_factory=dict)
    views: str | tuple = "first"
    studies: tuple | None = None
    per_shot: bool = False
    seeded: bool = False
    ours: bool = False

    def suits(self, study):
        """Whether the method is run in a study."""
        return study.kind in self.kinds and (
            self.studies is None or study.data.startswith(tuple(self.studies))
        )
