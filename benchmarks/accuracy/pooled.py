"""Estimators that know the pooled rows of meta-train, and whose ``fit`` takes the support set of a task."""

import copy

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.preprocessing import normalize
from sklearn.utils import get_tags


class KnowsPool(BaseEstimator):
    """Base: a clone shares what it was made with, as pools and fitted models are never changed."""

    def __sklearn_clone__(self):
        return copy.copy(self)


class NearestPrototypes(ClassifierMixin, BaseEstimator):
    """The class whose mean has the smallest angle to a row."""

    def fit(self, X, y):
        """Take the means of the classes."""
        self.classes_, code = np.unique(y, return_inverse=True)
        means = [np.asarray(X[code == k].mean(axis=0)).ravel() for k in range(len(self.classes_))]
        self.prototypes_ = normalize(np.stack(means))
        return self

    def predict(self, X):
        """Classes of rows, an array or a sparse matrix."""
        return self.classes_[np.asarray(X @ self.prototypes_.T).argmax(axis=1)]


class Pooled(KnowsPool):
    """A fitted classifier, which answers with a class of the support set; or a fitted regressor."""

    def __init__(self, model):
        self.model = model

    def __sklearn_tags__(self):
        return get_tags(self.model)

    def fit(self, X, y):
        """Note the classes."""
        self.answer_ = answers(self.model, y)
        return self

    def predict(self, X):
        """Predictions of rows."""
        return self.answer_(X)


class PooledAndLocal(KnowsPool):
    """An estimator fitted on the pooled rows and the support set, whose rows count ``weight`` times."""

    def __init__(self, estimator, pool, weight):
        self.estimator, self.pool, self.weight = estimator, pool, weight

    def __sklearn_tags__(self):
        return get_tags(self.estimator)

    def fit(self, X, y):
        """Fit a clone of the estimator."""
        rows, targets = (np.concatenate(parts) for parts in zip(self.pool, (X, y), strict=True))
        weights = np.repeat([1.0, self.weight], [len(rows) - len(X), len(X)])
        self.answer_ = answers(clone(self.estimator).fit(rows, targets, sample_weight=weights), y)
        return self

    def predict(self, X):
        """Predictions of rows."""
        return self.answer_(X)


class Corrected(RegressorMixin, KnowsPool):
    """A fitted regressor, and a local one of what it leaves of the support set."""

    def __init__(self, pooled, local):
        self.pooled, self.local = pooled, local

    def fit(self, X, y):
        """Fit a clone of the local regressor to the residuals."""
        self.local_ = clone(self.local).fit(X, y - self.pooled.predict(X))
        return self

    def predict(self, X):
        """Targets of rows."""
        return self.pooled.predict(X) + self.local_.predict(X)


class WithinTask(RegressorMixin, KnowsPool):
    """The support set's mean, and a regressor of how a task's rows differ from their mean.

    ``slopes`` is fitted on the rows and targets of each meta-train task, less their means.
    """

    def __init__(self, slopes):
        self.slopes = slopes

    def fit(self, X, y):
        """Take the means."""
        self.center_, self.level_ = X.mean(axis=0), y.mean()
        return self

    def predict(self, X):
        """Targets of rows."""
        return self.level_ + self.slopes.predict(X - self.center_)


def centered(tasks):
    """``X, y`` of all tasks, each less its means."""
    parts = [(X - X.mean(axis=0), y - y.mean()) for X, y in tasks]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def answers(model, y):
    """``predict`` of a fitted model; a classifier's is among the classes of ``y``."""
    if get_tags(model).estimator_type == "regressor":
        return model.predict
    classes = np.intersect1d(y, model.classes_)
    columns = np.searchsorted(model.classes_, classes)
    scores = model.predict_proba if hasattr(model, "predict_proba") else model.decision_function
    return lambda X: classes[scores(X)[:, columns].argmax(axis=1)]
