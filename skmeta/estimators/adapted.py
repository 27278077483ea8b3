"""Adapted copies of estimators, and of whatever ends in one."""

import copy

from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples

from skmeta.estimators.base import MetaEstimator


def adapt(model, X, y):
    """An adapted copy of a meta-trained model, which stays as it is.

    The copy shares the meta-parameters until either is fitted again: a thousand copies cost a thousand
    sets of adapted parameters.

    Parameters
    ----------
    model : estimator of skmeta, or a fitted Pipeline, search or FrozenEstimator that ends in one
        A pipeline transforms the support rows first. A search adapts its ``best_estimator_``.
    X : {array, sparse matrix, DataFrame} of shape (n_support, ...)
    y : array of shape (n_support,)

    Returns
    -------
    model of the same type
        Ready to ``predict`` for this task.

    Raises
    ------
    TypeError
        If ``model`` does not end in an estimator of skmeta.
    NotFittedError
        If it is not meta-trained.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmeta import TMAMLClassifier, adapt
    >>> from skmeta.datasets import make_scanners
    >>> X, y = make_scanners(n_train=1, n_test=1, random_state=0).train[0]
    >>> pipe = make_pipeline(StandardScaler(), TMAMLClassifier(max_iter=2, random_state=0)).fit(X, y)
    >>> adapted = adapt(pipe, X[:20], y[:20])
    >>> adapted.predict(X[:3]).shape
    (3,)
    """
    if not isinstance(last_of(model), MetaEstimator):
        raise TypeError(
            "model must be an estimator of skmeta, or a fitted pipeline or search that ends in one. "
            f"Got {type(last_of(model)).__name__} instead."
        )
    adapted = copy.copy(model)
    if isinstance(model, MetaEstimator):
        return adapted.adapt(X, y)
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        adapted.steps = [*model.steps[:-1], (name, adapt(last, transformed(model, X), y))]
        return adapted
    if isinstance(model, FrozenEstimator):
        adapted.estimator = adapt(model.estimator, X, y)
        return adapted
    if not hasattr(model, "best_estimator_"):
        raise NotFittedError(
            f"This {type(model).__name__} has no best_estimator_ yet. Call fit, with refit, first."
        )
    adapted.best_estimator_ = adapt(model.best_estimator_, X, y)
    return adapted


def transformed(pipeline, X):
    """What the last step of a fitted pipeline gets of rows, which may be none."""
    if len(pipeline.steps) == 1:  # an empty pipeline cannot transform
        return X
    return pipeline[:-1].transform(X) if _num_samples(X) > 0 else []  # transformers take no empty X


def last_of(model):
    """What a pipeline or a search ends in, the fitted one if there is one; any other model itself."""
    if isinstance(model, Pipeline):
        return last_of(model.steps[-1][1])
    is_search = hasattr(model, "refit") and hasattr(model, "estimator")  # whatever its kind
    if is_search or isinstance(model, FrozenEstimator):
        return last_of(getattr(model, "best_estimator_", model.estimator))
    return model
