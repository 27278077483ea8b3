"""From what users pass as tasks to checked rows: the boundary where bad input is named."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.base import is_regressor

# Private by name; nothing public takes or counts rows of whatever container a task may hold.
from sklearn.utils import _safe_indexing, check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import _num_samples, validate_data

from skmeta.tasks.categories import Categories
from skmeta.tasks.labels import (
    JoinedLabels,
    check_labels,
    check_none_missing,
    check_values,
    concatenate_labels,
    is_missing,
    number_labels,
)
from skmeta.tasks.task_list import TaskList
from skmeta.tasks.weights import check_weight, without_weightless

# In place of labels where none are wanted; None and strings are what a user may pass by mistake.
NO_LABELS = object()
# Types of numbers that rows keep; others become doubles.
KEPT_TYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8]
KEPT_TYPES += [np.uint32, np.uint16, np.uint8]


@dataclass
class Tasks:
    """Rows of all tasks, one after another.

    ``X`` is an array, a CSR matrix or ``LoadedRows``; None where only labels were looked at. ``task`` holds
    the number of each row's task. ``given`` holds, for tasks that come with their own query set, how many of
    a task's rows are its support set, else None. ``flat`` says that ``X, y`` came without groups.
    ``weight`` holds what each row counts; None is one each.
    """

    X: object
    y: np.ndarray
    task: np.ndarray
    names: list
    given: np.ndarray | None = None
    flat: bool = False
    weight: np.ndarray | None = None

    @property
    def n_tasks(self):
        return len(self.names)

    def bounds(self):
        """First row of each task, and one past the last: they stand together, in order."""
        return np.searchsorted(self.task, np.arange(self.n_tasks + 1))


def read_tasks(estimator, X, y, groups, sample_weight, *, reset):
    """Checked ``Tasks`` of any of the input forms of ``fit``, without rows of weight zero.

    ``estimator`` gets ``n_features_in_`` and ``feature_names_in_`` if ``reset``, else is held to them.
    """
    if is_task_list(X):
        tasks = _read_list(estimator, X, y, groups, sample_weight, reset)
        _check_sparse_has_all(tasks.X)
        _learn_no_more(estimator)
        return tasks
    X, y = check_rows(estimator, X, y, reset=reset)
    _learn_no_more(estimator)
    ids, task = (None, np.zeros(len(y), dtype=np.int64)) if groups is None else number_groups(groups, len(y))
    X, y, task, weight = without_weightless(check_weight(sample_weight, len(y)), X, y, task)
    if len(y) == 0:
        raise ValueError(
            "sample_weight must be above 0 for a row; got zero for all. Pass None if all count alike."
        )
    if ids is None:
        return Tasks(X, y, task, ["(X, y)"], flat=True, weight=weight)
    order = np.argsort(task, kind="stable")
    names = [f"task {name!r}" for name in ids]
    return Tasks(X[order], y[order], task[order], names, weight=None if weight is None else weight[order])


def _learn_no_more(estimator):
    """From now on, levels of categories are known or not."""
    if estimator._categories is not None:
        estimator._categories.learns = False


def look_at_tasks(X, y=None, groups=None, sample_weight=None, *, regression):
    """``X`` as a list of tasks, their ``Tasks``, and where each row stands in its task.

    ``Tasks`` without rows, which stay in the user's own containers, and without what weighs nothing. A query
    set stands behind the support set.
    """
    if not is_task_list(X):
        X = _group(X, y, groups, sample_weight)
    else:
        check_list(X, y=y, groups=groups, sample_weight=sample_weight)

    def read(part_X, part_y, where):
        _check_no_dict(part_X, where)
        check_none_missing(part_y, regression, where)
        try:
            check_consistent_length(part_X, part_y)
            part_y = check_array(part_y, ensure_2d=False, dtype=None) if regression else column_or_1d(part_y)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}{error}") from error
        (check_values if regression else check_labels)(part_y, where)
        return part_y

    def read_task(task, name):
        parts = [read(*pair, f"{name}: ") for pair in pairs_of(task)]
        return concatenate_labels(parts), len(parts[0]), _weight_of(task, len(parts[0]), name)

    tasks = _labels_of(X, read_task)
    place = np.arange(len(tasks.y)) - tasks.bounds()[tasks.task]
    tasks.y, tasks.task, place, tasks.weight = without_weightless(tasks.weight, tasks.y, tasks.task, place)
    return X, tasks, place


def _labels_of(X, read_task):
    """``Tasks`` without rows of a list of tasks.

    ``read_task(task, name)`` returns a task's labels, its query set's last, how many come before these, and
    what rows count or None.
    """
    names = task_names(X)
    labels, lengths, cuts, sizes, weights = JoinedLabels(), [], [], set(), []
    for name, task in zip(names, X, strict=True):
        sizes.add(len(task))
        check_lengths(sizes)
        y, cut, weight = read_task(task, name)
        labels.add(y)
        weights.append(weight)
        lengths.append(len(y))
        cuts.append(cut)
    given = np.array(cuts) if sizes == {4} else None
    weight = np.concatenate(weights) if sizes == {3} else None
    return Tasks(None, labels.all(), np.repeat(np.arange(len(X)), lengths), names, given, weight=weight)


def pairs_of(task):
    """The ``(X, y)`` of a task, or those of its support set and of its query set: a list."""
    return [task[i : i + 2] for i in range(0, len(task) - 1, 2)]


def _weight_of(task, n_rows, name):
    """What the rows of a task of three parts count, of which None is one each; None of any other task."""
    if len(task) != 3:
        return None
    return np.ones(n_rows) if task[2] is None else check_weight(task[2], n_rows, f"{name}: ")


def _group(X, y, groups, sample_weight):
    """Rows with the task of each, and maybe what they count, as a list of tasks."""
    if y is None:
        raise ValueError("y is None, but X has rows, whose y is needed to score them.")
    check_consistent_length(X, y)
    ids, task = number_groups(groups, len(y))
    X = X.tocsr() if hasattr(X, "tocsr") else X
    rows = {name: np.flatnonzero(task == i) for i, name in enumerate(ids)}
    weight = check_weight(sample_weight, len(y))
    parts = (X, y) if weight is None else (X, y, weight)
    return TaskList(lambda name: tuple(_safe_indexing(part, rows[name]) for part in parts), ids)


def is_task_list(X):
    """Whether ``X`` is a list, maybe empty, of tuples of arrays, as opposed to rows."""
    return isinstance(X, TaskList) or (
        isinstance(X, (list, tuple))
        and all(isinstance(task, tuple) and len(task) > 0 and not np.isscalar(task[0]) for task in X)
    )


def task_names(X):
    """What messages call the tasks of a list."""
    return [f"task {name!r}" for name in (X.ids if isinstance(X, TaskList) else range(len(X)))]


def number_groups(groups, n_rows):
    """Ids of the tasks, a list, and the number of each row's task; an error for missing or mixed ids."""
    if np.shape(groups) != (n_rows,):
        raise ValueError(
            f"groups must have the shape ({n_rows},), an id for each row; got {describe(groups)}."
        )
    missing = [name for name in np.asarray(groups, dtype=object).tolist() if is_missing(name)]
    groups = np.asarray(groups)
    if missing:
        raise ValueError(f"groups must have an id for each row; got {missing[0]!r} for {len(missing)} rows.")
    ids, task = number_labels(groups, "groups must have ids")
    return ids.tolist(), task


def check_list(X, **beside):
    """Raise ValueError for an empty list of tasks, or for labels, groups or weights ``beside`` a list."""
    for name, value in beside.items():
        if value is not None:
            own = "weights as a third part" if name == "sample_weight" else "labels"
            raise ValueError(
                f"X is a list of tasks, each with its own {own}, so {name} must be None; "
                f"got {describe(value)}."
            )
    if len(X) == 0:
        raise ValueError("X is an empty list of tasks; at least 1 is needed.")


def check_lengths(sizes):
    """Raise ValueError for tuples of these lengths, if they are not those of tasks."""
    if sizes not in ({2}, {3}, {4}):
        raise ValueError(
            "Each task must be a tuple (X, y), or each (X, y, sample_weight), or each (X_support, y_support, "
            f"X_query, y_query); got tuples of length {sorted(sizes)}."
        )


def check_rows(estimator, X, y=NO_LABELS, *, reset=False, where="", empty=False):
    """``X`` (and ``y``) of one task as arrays of numbers, or an error that starts with ``where``."""
    if not reset and (plain := _plain_rows(estimator, X, y, empty)) is not None:
        return plain
    if is_task_list(X) and len(X) > 0:
        raise ValueError(f"{where}X must be the rows of one task; got a list of {len(X)} tasks.")
    _check_no_dict(X, where)
    has_no_width = X.shape == (0,) if isinstance(X, np.ndarray) else isinstance(X, list) and not X
    if empty and not reset and has_no_width:
        X = np.empty((0, *estimator.row_shape_), dtype=np.int8)  # beside other rows, it leaves theirs alone
    if y is None:
        raise ValueError(
            f"{where}{type(estimator).__name__} requires y to be passed, but the target y is None. "
            "Without y, X must be a list of tasks, each a tuple (X, y)."
        )
    if isinstance(y, str):
        raise ValueError(f"{where}y must have an entry for each row of X. Got {y!r} instead.")
    if is_regressor(estimator) and getattr(y, "ndim", 0) > 2:
        raise ValueError(f"{where}y must have the shape (n_rows,) or (n_rows, n_outputs); got {y.shape}.")
    values = is_regressor(estimator)
    if y is not NO_LABELS:
        check_none_missing(y, values, where)
    if y is not NO_LABELS and empty and values and _num_samples(y) == 0:  # scikit-learn takes no such y
        rows = check_rows(estimator, X, reset=reset, where=where, empty=True)
        return rows, np.asarray(y, dtype=np.float64)
    if reset:
        estimator._categories = Categories() if estimator.module is None else None
    if estimator._categories is not None:
        X = estimator._categories.encode(X, where)
    with_y = {} if y is NO_LABELS else {"multi_output": values, "y_numeric": values}
    try:
        checked = validate_data(
            estimator,
            X,
            "no_validation" if y is NO_LABELS else y,
            reset=reset,
            dtype=KEPT_TYPES,
            accept_sparse="csr",
            allow_nd=True,
            ensure_min_samples=0 if empty else 1,
            ensure_all_finite="allow-nan" if _may_miss_values(estimator, X) else True,
            **with_y,
        )
    except (TypeError, ValueError) as error:
        if not where:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}{error}") from error
    _check_sparse_has_all(checked[0] if isinstance(checked, tuple) else checked, where)
    shape = tuple((checked[0] if isinstance(checked, tuple) else checked).shape[1:])
    if reset:
        estimator.row_shape_ = shape
    elif shape != estimator.row_shape_:
        raise ValueError(
            f"{where}X has rows of shape {shape}, but {type(estimator).__name__} was fitted on rows of "
            f"shape {estimator.row_shape_}."
        )
    if isinstance(checked, tuple):
        (check_values if values else check_labels)(checked[1], where)
    return checked


def _may_miss_values(estimator, X):
    """Whether values may be missing: in a table, for the default network; another gets rows as they are."""
    return estimator.module is None and not sparse.issparse(X) and getattr(X, "ndim", 2) == 2


def _check_sparse_has_all(X, where=""):
    """Raise ValueError for sparse rows that lack values, as dense ones beside them may."""
    if sparse.issparse(X) and np.isnan(X.data).any():
        raise ValueError(
            f"{where}X contains NaN in sparse rows, which must not lack values. Pass dense rows, or impute."
        )


def _check_no_dict(X, where):
    """Raise TypeError for a dict in the place of rows."""
    if isinstance(X, dict) and not sparse.issparse(X):  # a dok_matrix is both
        raise TypeError(
            f"{where}X must be an array, sparse matrix or DataFrame of rows; got a dict with the keys "
            f"{list(X)[:5]}. Pass the rows of one key, or, of a dict of tasks, list(X.values())."
        )


def _plain_rows(estimator, X, y, empty):
    """What ``check_rows`` makes of finite arrays that are just as they should be, or None for any others.

    scikit-learn's checks of a small task take longer than to adapt to it.
    """
    if type(X) is not np.ndarray or X.dtype.kind not in "biuf" or X.shape[1:] != estimator.row_shape_:
        return None
    if hasattr(estimator, "feature_names_in_") or len(X) < (not empty):
        return None
    if X.dtype not in KEPT_TYPES or not np.isfinite(X).all():
        return None
    if y is NO_LABELS:
        return X
    if type(y) is not np.ndarray or y.ndim not in (1, 2) or len(y) != len(X):
        return None
    if is_regressor(estimator):
        return (X, y) if y.dtype.kind in "biuf" and np.isfinite(y).all() else None
    return (X, y) if y.ndim == 1 and y.dtype.kind in "biuU" else None


def _read_list(estimator, X, y, groups, sample_weight, reset):
    check_list(X, y=y, groups=groups, sample_weight=sample_weight)
    lazy = isinstance(X, TaskList)
    rows, dtypes, y_shapes = [], set(), []

    def read_task(task, name):
        is_first = not y_shapes
        part_X, part_y, cut, weight = _read_task(estimator, task, name, reset and is_first, not is_first)
        y_shapes.append(part_y.shape[1:])
        if y_shapes[-1] != y_shapes[0]:
            raise ValueError(
                f"{name} has y of shape {part_y.shape}, the tasks before it {('n_rows', *y_shapes[0])}."
            )
        dtypes.add(part_X.dtype)
        if not lazy:
            rows.append(part_X)
        return part_y, cut, weight

    tasks = _labels_of(X, read_task)
    if lazy:
        tasks.X = LoadedRows(estimator, X, tasks.names, tasks.bounds(), np.result_type(*dtypes))
    else:
        tasks.X = concatenate_rows(rows)
    return tasks


def _read_task(estimator, task, name, reset, has_others):
    """Rows and labels of a task, its query set's last, the number before these, and what rows count."""
    checked = []
    for part_X, part_y in pairs_of(task):
        if has_others or checked:
            check_width(part_X, estimator.row_shape_, name)
        where = f"{name}: "
        checked.append(
            check_rows(estimator, part_X, part_y, reset=reset and not checked, where=where, empty=True)
        )
    rows, labels = zip(*checked, strict=True)
    if len({y.shape[1:] for y in labels}) > 1:
        raise ValueError(f"{name} has y of the shapes {labels[0].shape} and {labels[1].shape}.")
    weight = _weight_of(task, len(labels[0]), name)
    X, y, weight = without_weightless(weight, concatenate_rows(rows), concatenate_labels(labels))
    return X, y, len(labels[0]), weight


class LoadedRows:
    """Rows of a ``TaskList``, loaded when they are indexed; the tasks of a meta-batch are kept till the next.

    Parameters
    ----------
    estimator : MetaEstimator
        What the tasks were checked for.
    tasks : TaskList
    names : list of str
    bounds : int array of shape (n_tasks + 1,)
        First row of each task, and one past the last.
    dtype : numpy dtype
        That of all rows together.
    """

    def __init__(self, estimator, tasks, names, bounds, dtype):
        self.estimator, self.tasks, self.names, self.bounds = estimator, tasks, names, bounds
        self.dtype = dtype
        self.shape = (int(bounds[-1]), *estimator.row_shape_)
        self.held = {}

    def __getitem__(self, index):
        """Rows at an int array of shape (n_rows,): an array or a CSR matrix."""
        if len(index) == 0:
            return np.zeros((0, *self.shape[1:]), self.dtype)
        ids, part = np.unique(np.searchsorted(self.bounds, index, side="right") - 1, return_inverse=True)
        if len(ids) > self.estimator.meta_batch_size:
            return self._one_task_at_a_time(index, ids, part)
        self.held = {i: self.held.get(i) for i in ids.tolist()}  # lets go of the others before it loads
        self.held |= {i: self._load(i) for i, part_X in self.held.items() if part_X is None}
        first = np.cumsum([0] + [part_X.shape[0] for part_X in self.held.values()])
        return concatenate_rows(list(self.held.values()))[index - self.bounds[ids][part] + first[part]]

    def _one_task_at_a_time(self, index, ids, part):
        self.held = {}
        order = np.argsort(part, kind="stable")
        of_tasks = np.split(index[order], np.cumsum(np.bincount(part))[:-1])
        rows = [self._load(i)[own - self.bounds[i]] for i, own in zip(ids.tolist(), of_tasks, strict=True)]
        return concatenate_rows(rows)[np.argsort(order)]

    def _load(self, i):
        rows, *_ = _read_task(self.estimator, self.tasks[i], self.names[i], reset=False, has_others=True)
        expected = self.bounds[i + 1] - self.bounds[i]
        if rows.shape[0] != expected:
            raise ValueError(
                f"{self.names[i]} had {expected} rows when it was read first, and now {rows.shape[0]}."
            )
        return rows.astype(self.dtype, copy=False)


def check_width(X, expected, name):
    """Raise ValueError for an array of rows of another shape than the ``expected``."""
    if not hasattr(X, "shape"):
        return  # check_rows tells what is wrong with nested lists
    shape = tuple(X.shape[1:])
    if len(shape) > 0 and shape != tuple(expected):
        if len(shape) == len(expected) == 1:
            raise ValueError(f"{name} has {shape[0]} features, the tasks before it {expected[0]}.")
        raise ValueError(f"{name} has rows of shape {shape}, the tasks before it {tuple(expected)}.")


def concatenate_rows(parts):
    """Dense or CSR rows of several tasks, one after another."""
    if len(parts) == 1:
        return parts[0]
    if any(sparse.issparse(part) for part in parts):
        return sparse.vstack(parts, format="csr")
    return np.concatenate(parts)


def describe(value):
    """The shape of an array, or the value itself."""
    shape = np.shape(value)
    return f"an array of shape {shape}" if shape else repr(value)
