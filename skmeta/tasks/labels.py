"""What labels, targets and ids of tasks may be, and those of many tasks as one array."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from skmeta.tasks import limits


def check_none_missing(y, values, where):
    """Raise ValueError for None, NaN or NA among objects, which scikit-learn tells badly."""
    if sparse.issparse(y):  # which scikit-learn refuses, or check_values
        return
    try:
        # Of a list of strings and NaN, numpy would make "nan".
        y = np.asarray(y, dtype=object if isinstance(y, (list, tuple)) else None)
    except ValueError:  # ragged lists, which scikit-learn names
        return
    if y.dtype == object and any(map(is_missing, y.ravel())):
        raise ValueError(f"{where}y contains NaN." if values else f"{where}y has missing labels.")


def check_values(y, where):
    """Raise ValueError for targets of a regression that are no numbers."""
    if sparse.issparse(y) or y.dtype.kind not in "biuf":
        got = f"{type(y).__name__} of shape {y.shape} and dtype {y.dtype}"
        raise ValueError(f"{where}y must be an array of numbers; got {got}.")
    if not np.isfinite(y).all():
        raise ValueError(f"{where}y contains NaN.")


def check_labels(y, where):
    """Raise ValueError for labels that are no classes: missing, mixed or continuous."""
    if y.dtype == object:
        number_labels(y, f"{where}y must have labels")
    with warnings.catch_warnings():
        # That many classes for so few rows are what few-shot tasks look like.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        try:
            check_classification_targets(y)
        except ValueError as error:
            raise ValueError(f"{where}y: {error}") from error


def is_missing(value):
    """Whether a label or an id is None, NaN or pandas' NA, which answers no comparison."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def number_labels(values, what):
    """Different labels or ids, in order, and the number of each row's; ValueError for mixed types."""
    try:
        return np.unique(values, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in values.tolist()})
        raise ValueError(f"{what} of one type, all strings or all numbers; got {kinds}.") from error


class JoinedLabels:
    """Labels of tasks, joined a part at a time."""

    def __init__(self):
        self.blocks, self.waiting = [], []

    def add(self, labels):
        """Take those of one more task."""
        self.waiting.append(labels)
        if len(self.waiting) == limits.JOINED_AT_ONCE:
            self.blocks, self.waiting = [*self.blocks, concatenate_labels(self.waiting)], []

    def all(self):
        """Those of all tasks, one after another; ValueError if there are none."""
        labels = concatenate_labels([*self.blocks, *self.waiting])
        if len(labels) == 0:
            raise ValueError(
                "X is a list of tasks without rows of a weight above 0; an episode needs a row for each of "
                "its sets."
            )
        return labels


def concatenate_labels(ys):
    """Labels or targets of several tasks, one after another; ValueError for strings beside numbers."""
    kinds = {np.asarray(y).dtype.kind in "OUS" for y in ys}
    if len(kinds) > 1:
        unique_labels(*ys)  # scikit-learn's error for a mix of strings and numbers
    return np.concatenate(ys)
