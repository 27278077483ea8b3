"""Adapted copies of estimators, and of whatever ends in one, and what these answer."""

import copy

import numpy as np
from sklearn.base import is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_is_fitted

from skmeta.estimators.meta_trained import MetaTrained
from skmeta.tasks.scored import take


def adapt(model, X, y, sample_weight=None):
    """An adapted copy of a meta-trained model, which stays as it is.

    The copy shares the meta-parameters until either is fitted again: a thousand copies cost a thousand
    sets of adapted parameters.

    Parameters
    ----------
    model : estimator of skmeta, or a fitted Pipeline, search or FrozenEstimator that ends in one
        A pipeline transforms the support rows first. A search adapts its ``best_estimator_``.
    X : {array, sparse matrix, DataFrame} of shape (n_support, ...)
        Images, for a detector.
    y : array of shape (n_support,)
        Targets, for a detector.
    sample_weight : array of shape (n_support,), default=None
        What each row counts, as in ``fit``.

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
    if not isinstance(last_of(model), MetaTrained):
        raise TypeError(
            "model must be an estimator of skmeta, or a fitted pipeline or search that ends in one. "
            f"Got {type(last_of(model)).__name__} instead."
        )
    adapted = copy.copy(model)
    if isinstance(model, MetaTrained):
        return adapted.adapt(X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        adapted.steps = [*model.steps[:-1], (name, adapt(last, transformed(model, X), y, sample_weight))]
        return adapted
    if isinstance(model, FrozenEstimator):
        adapted.estimator = adapt(model.estimator, X, y, sample_weight)
        return adapted
    adapted.best_estimator_ = adapt(_best_of(model), X, y, sample_weight)
    return adapted


def prior_of(model, X, y):
    """A copy adapted to none of these rows: what all tasks have in common, unless labels are a task's own."""
    return adapt(model, take(X, np.arange(0)), np.asarray(y)[:0])


def predict_interval(model, X, coverage=0.9):
    """Intervals of an adapted model, which holds a regressor of skmeta: its ``predict_interval``.

    Pipelines and searches of scikit-learn pass on no such method.

    Parameters
    ----------
    model : regressor of skmeta, or a Pipeline, search, FrozenEstimator or FewShotRegressor that ends in one
        Adapted to a task.
    X : {array, sparse matrix, DataFrame} of shape (n_query, ...)
    coverage : float in (0, 1), default=0.9

    Returns
    -------
    array of shape (n_query, 2) or (n_query, n_outputs, 2)
        The lower ends, then the upper ones.

    Raises
    ------
    TypeError
        If ``model`` does not end in a regressor of skmeta.
    NotFittedError
        If it is not adapted to a task.
    ValueError
        If ``coverage`` is not between 0 and 1, or the regressor has no deviations.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmeta import TMAMLRegressor, adapt, predict_interval
    >>> rng = np.random.default_rng(0)
    >>> X, person = rng.normal(size=(60, 2)), np.repeat(np.arange(6), 10)
    >>> y = X[:, 0] + person + 0.1 * rng.normal(size=60)
    >>> pipe = make_pipeline(StandardScaler(), TMAMLRegressor(random_state=0))
    >>> pipe = pipe.fit(X, y, tmamlregressor__groups=person)
    >>> predict_interval(adapt(pipe, X[:4], y[:4]), X[4:10]).shape
    (6, 2)
    """
    last = last_of(model)
    last = last_of(getattr(last, "prior", last))  # of a FewShotRegressor
    if not isinstance(last, MetaTrained) or not is_regressor(last):
        raise TypeError(
            "model must be a regressor of skmeta, or a fitted pipeline or search that ends in one. "
            f"Got {type(last).__name__} instead."
        )
    if model is last:
        return model.predict_interval(X, coverage)
    if isinstance(model, Pipeline):
        return predict_interval(model.steps[-1][1], transformed(model, X), coverage)
    if isinstance(model, FrozenEstimator):
        return predict_interval(model.estimator, X, coverage)
    if is_search(model):
        return predict_interval(_best_of(model), X, coverage)
    check_is_fitted(model)
    return predict_interval(model.model_, X, coverage)


def _best_of(search):
    if not hasattr(search, "best_estimator_"):
        raise NotFittedError(
            f"This {type(search).__name__} has no best_estimator_ yet. Call fit, with refit, first."
        )
    return search.best_estimator_


def transformed(pipeline, X):
    """What the last step of a fitted pipeline gets of rows, which may be none."""
    if len(pipeline.steps) == 1:  # an empty pipeline cannot transform
        return X
    return pipeline[:-1].transform(X) if _num_samples(X) > 0 else []  # transformers take no empty X


def is_search(model):
    """Whether it is a search, whatever its kind."""
    return hasattr(model, "refit") and hasattr(model, "estimator")


def last_of(model):
    """What a pipeline or a search ends in, the fitted one if there is one; any other model itself."""
    if isinstance(model, Pipeline):
        return last_of(model.steps[-1][1])
    if is_search(model) or isinstance(model, FrozenEstimator):
        return last_of(getattr(model, "best_estimator_", model.estimator))
    return model
