"""An ordinary transformer for lists of tasks."""

from functools import partial

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmeta.parameter_rules import NONE, Kind, check_value
from skmeta.tasks.rows import check_lengths, check_list, check_width, is_task_list, pairs_of, task_names
from skmeta.tasks.task_list import TaskList

TRANSFORMER = [NONE, Kind(lambda v: hasattr(v, "transform") and not isinstance(v, type), "a transformer")]


class PerTask(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Applies one transformer to each task of a list, and to plain rows as they are.

    ``fit`` pools the rows of all tasks, so that a new task is transformed by what the tasks of ``fit``
    have in common. The rows may be whatever the transformer takes: arrays, DataFrames, sparse matrices,
    lists of texts. A transformer with ``partial_fit`` sees one task at a time, so that not all of a
    ``TaskList`` is in memory at once; that stays one, whose tasks are transformed as they are loaded.

    Parameters
    ----------
    transformer : transformer, default=None
        A clone of it is fitted. None is ``StandardScaler()``.

    Attributes
    ----------
    transformer_ : transformer
        The fitted one.
    n_features_in_, feature_names_in_
        As the transformer's, where it has them.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skmeta import PerTask, TMAMLClassifier, adapt
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=3, n_test=1, random_state=0)
    >>> pipe = make_pipeline(PerTask(MinMaxScaler()), TMAMLClassifier(max_iter=2, random_state=0))
    >>> X, y = scanners.test[0]
    >>> adapt(pipe.fit(scanners.train), X[:20], y[:20]).predict(X[20:22]).shape
    (2,)
    """

    _output = None

    def __init__(self, transformer=None):
        self.transformer = transformer

    def fit(self, X, y=None):
        """Fit the transformer to the rows of all tasks.

        Parameters
        ----------
        X : list of tuples, or rows
            Tasks as in ``TMAMLClassifier.fit``, or rows as the transformer takes them. What rows of tasks
            count is passed on, and not looked at.
        y : array of shape (n_rows,), default=None
            Labels of rows; None for a list of tasks, whose own are passed on.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``transformer`` is none, or ``X`` is an empty list, has tasks of different widths, or has
            tasks and ``y`` is not None.
        """
        check_value("PerTask", "transformer", self.transformer, TRANSFORMER)
        transformer = StandardScaler() if self.transformer is None else clone(self.transformer)
        if self._output is not None:
            transformer.set_output(transform=self._output)
        if not is_task_list(X):
            self.transformer_ = transformer.fit(X, y)
            return self
        check_list(X, y=y)
        if hasattr(transformer, "partial_fit"):
            for part_X, part_y in _parts(X):
                transformer.partial_fit(part_X, part_y)
        else:
            rows, labels = zip(*_parts(X), strict=True)
            transformer.fit(_concatenate(rows), np.concatenate(labels))
        self.transformer_ = transformer
        return self

    def transform(self, X):
        """Transform each task of a list, or rows.

        Parameters
        ----------
        X : list of tuples, or rows

        Returns
        -------
        list of tuples, or rows
        """
        check_is_fitted(self)
        if isinstance(X, TaskList):
            return TaskList(partial(_load_transformed, self.transformer_, X.load), X.ids)
        if is_task_list(X):
            return [
                _transform_task(self.transformer_, task, name)
                for task, name in zip(X, task_names(X), strict=True)
            ]
        return self.transformer_.transform(X)

    def set_output(self, *, transform=None):
        """Set the container of transformed rows, as in scikit-learn."""
        if self.transformer is not None and not hasattr(self.transformer, "set_output"):
            raise ValueError(
                f"The 'transformer' parameter of PerTask, {self.transformer!r}, has no set_output."
            )
        if transform is not None:  # which leaves it as it was
            self._output = transform
        if hasattr(self, "transformer_"):
            self.transformer_.set_output(transform=transform)
        return self

    def __sklearn_clone__(self):
        # As a scikit-learn transformer's clone, which keeps the container that was set.
        copy = super().__sklearn_clone__()
        copy._output = self._output
        return copy

    @available_if(lambda self: hasattr(getattr(self, "transformer_", None), "get_feature_names_out"))
    def get_feature_names_out(self, input_features=None):
        """Names of the transformed features."""
        return self.transformer_.get_feature_names_out(input_features)

    @property
    def n_features_in_(self):
        """Number of features of a row."""
        check_is_fitted(self)
        return self.transformer_.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the features, if ``X`` had names."""
        return self.transformer_.feature_names_in_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "transformer_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = (StandardScaler() if self.transformer is None else self.transformer).__sklearn_tags__()
        tags.input_tags, tags.target_tags = inner.input_tags, inner.target_tags
        tags.transformer_tags, tags.requires_fit = inner.transformer_tags, True
        tags.no_validation, tags.non_deterministic = inner.no_validation, inner.non_deterministic
        return tags


def _parts(tasks):
    sizes, width = set(), None
    for task, name in zip(tasks, task_names(tasks), strict=True):
        sizes.add(len(task))
        check_lengths(sizes)
        for part_X, part_y in pairs_of(task):
            if width is not None:
                check_width(part_X, width, name)
            width = getattr(part_X, "shape", (None,))[1:] or None
            yield part_X, part_y


def _transform_task(transformer, task, name):
    try:
        changed = {2 * i: transformer.transform(part_X) for i, (part_X, _) in enumerate(pairs_of(task))}
        return tuple(changed.get(i, part) for i, part in enumerate(task))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _load_transformed(transformer, load, name):
    return _transform_task(transformer, load(name), f"task {name!r}")


def _concatenate(parts):
    """Rows of several tasks, one after another, in their own container."""
    first = parts[0]
    if any(sparse.issparse(part) for part in parts):
        return sparse.vstack(parts, format="csr")
    if isinstance(first, list):
        return [row for part in parts for row in part]
    if hasattr(first, "columns"):
        library = __import__(type(first).__module__.split(".")[0])  # pandas or polars, loaded already
        return library.concat(parts)
    return np.concatenate(parts)
