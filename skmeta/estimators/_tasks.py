"""From what users pass as tasks to flat, checked rows: the boundary where bad input is named."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import validate_data


@dataclass
class Tasks:
    """Rows of all tasks, one after another.

    ``task`` holds the number of each row's task. ``given`` holds, for tasks that come with their own
    query set, how many of a task's rows are its support set, else None. ``flat`` says that ``X, y``
    came without groups.
    """

    X: object
    y: np.ndarray
    task: np.ndarray
    names: list
    given: np.ndarray | None = None
    flat: bool = False

    @property
    def n_tasks(self):
        return len(self.names)

    def bounds(self):
        """First row of each task, and one past the last: they stand together, in order."""
        return np.searchsorted(self.task, np.arange(self.n_tasks + 1))


def read_tasks(estimator, X, y, groups, *, reset):
    """Checked ``Tasks`` of any of the input forms of ``fit``.

    ``estimator`` gets ``n_features_in_`` and ``feature_names_in_`` if ``reset``, else is held to them.
    """
    if is_task_list(X):
        return _read_list(estimator, X, y, groups, reset)
    X, y = check_rows(estimator, X, y, reset=reset)
    if groups is None:
        return Tasks(X, y, np.zeros(len(y), dtype=np.int64), ["X, y"], flat=True)
    if np.ndim(groups) != 1:
        raise ValueError(f"groups must have shape (n_rows,); got an array of shape {np.shape(groups)}.")
    groups = np.asarray(groups)
    check_consistent_length(X, groups)
    ids, task = np.unique(groups, return_inverse=True)
    order = np.argsort(task, kind="stable")
    return Tasks(X[order], y[order], task[order], [f"task {name!r}" for name in ids.tolist()])


def is_task_list(X):
    """Whether ``X`` is a list, maybe empty, of tuples of arrays, as opposed to rows."""
    return isinstance(X, (list, tuple)) and all(
        isinstance(task, tuple) and len(task) > 0 and not np.isscalar(task[0]) for task in X
    )


def check_rows(estimator, X, y="no_validation", *, reset=False, where="", empty=False):
    """``X`` (and ``y``) of one task as float32 rows, or an error that starts with ``where``."""
    if y is None:
        raise ValueError(
            f"{where}{type(estimator).__name__} requires y to be passed, but the target y is None. "
            "Without y, X must be a list of tasks, each a tuple (X, y)."
        )
    try:
        checked = validate_data(
            estimator,
            X,
            y,
            reset=reset,
            dtype=np.float32,
            accept_sparse="csr",
            allow_nd=True,
            ensure_min_samples=0 if empty else 1,
        )
    except ValueError as error:
        if not where:
            raise
        raise ValueError(f"{where}{error}") from error
    shape = tuple((checked[0] if isinstance(checked, tuple) else checked).shape[1:])
    if reset:
        estimator._row_shape = shape
    elif shape != estimator._row_shape:
        raise ValueError(
            f"{where}X has rows of shape {shape}, but {type(estimator).__name__} was fitted on rows of "
            f"shape {estimator._row_shape}."
        )
    return checked


def check_labels(y, where=""):
    """Raise ValueError for labels that are no classes: missing or continuous."""
    if y.dtype == object and any(label is None or label != label for label in y):
        raise ValueError(f"{where}y has missing labels.")
    with warnings.catch_warnings():
        # That many classes for so few rows are what few-shot tasks look like.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        check_classification_targets(y)


def _read_list(estimator, X, y, groups, reset):
    for name, value in (("y", y), ("groups", groups)):
        if value is not None:
            raise ValueError(
                f"X is a list of tasks, each with its own labels, so {name} must be None; "
                f"got {_describe(value)}."
            )
    if len(X) == 0:
        raise ValueError("X is an empty list of tasks; at least 1 is needed.")
    sizes = {len(task) for task in X}
    if sizes not in ({2}, {4}):
        raise ValueError(
            "Each task must be a tuple (X, y), or each (X_support, y_support, X_query, y_query); "
            f"got tuples of length {sorted(sizes)}."
        )
    parts = [part for task in X for part in zip(task[::2], task[1::2], strict=True)]
    n_parts = sizes.pop() // 2
    checked = []
    for i, (part_X, part_y) in enumerate(parts):
        where = f"task {i // n_parts}"
        _check_width(part_X, checked, where)
        checked.append(check_rows(estimator, part_X, part_y, reset=reset and i == 0, where=f"{where}: "))
    lengths = np.array([len(part_y) for _, part_y in checked])
    return Tasks(
        concatenate_rows([part_X for part_X, _ in checked]),
        _concatenate_labels([part_y for _, part_y in checked]),
        np.repeat(np.arange(len(parts)) // n_parts, lengths),
        [f"task {i}" for i in range(len(X))],
        given=lengths[::2] if n_parts == 2 else None,
    )


def _check_width(X, before, where):
    if not hasattr(X, "shape"):
        return  # check_rows tells what is wrong with nested lists
    shape = X.shape
    expected = before[0][0].shape if before else shape
    if len(shape) > 1 and tuple(shape[1:]) != tuple(expected[1:]):
        if len(shape) == len(expected) == 2:
            raise ValueError(f"{where} has {shape[1]} features, the tasks before it {expected[1]}.")
        raise ValueError(
            f"{where} has rows of shape {tuple(shape[1:])}, the tasks before it {tuple(expected[1:])}."
        )


def concatenate_rows(parts):
    """Dense or CSR rows of several tasks, one after another."""
    if any(sparse.issparse(part) for part in parts):
        return sparse.vstack(parts, format="csr")
    return np.concatenate(parts)


def _concatenate_labels(ys):
    kinds = {np.asarray(y).dtype.kind in "OUS" for y in ys}
    if len(kinds) > 1:
        unique_labels(*ys)  # scikit-learn's error for a mix of strings and numbers
    return np.concatenate(ys)


def _describe(value):
    shape = np.shape(value)
    return f"an array of shape {shape}" if shape else repr(value)
