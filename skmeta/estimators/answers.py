"""What models answer about episodes: ours in batched calls, scikit-learn's fitted on each support set."""

import numpy as np
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skmeta.estimators.adapted import is_search, last_of, transformed
from skmeta.estimators.base import MetaEstimator
from skmeta.estimators.few_shot import FewShotEstimator


class ClassAnswers(ClassifierMixin, BaseEstimator):
    """Answers about the query rows of one task, asked for as of a fitted classifier; ``X`` is not looked at.

    They are among all classes that the model knows for the task.
    """

    def __init__(self, logits, classes):
        self.logits, self.classes_ = logits, classes

    def among(self, classes, names):
        """The same answers, among these classes alone, in order, which are called by their ``names``."""
        known = np.isin(self.classes_, classes)
        if len(classes) == 0 or known.sum() < len(classes):
            return self
        return ClassAnswers(self.logits[:, known], names)

    def predict(self, X):
        return self.classes_[self.logits.argmax(1)]

    def predict_log_proba(self, X):
        return log_softmax(self.logits, axis=1)

    def predict_proba(self, X):
        return np.exp(self.predict_log_proba(X))

    def decision_function(self, X):
        # Metrics that rank rows compare these between rows, which logits cannot be.
        logits = self.predict_log_proba(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits


class ValueAnswers(RegressorMixin, BaseEstimator):
    """The same of a regressor."""

    def __init__(self, values):
        self.values = values

    def predict(self, X):
        return self.values


def answers(model, episodes):
    """For each of the episodes an estimator that answers for its query rows, a list.

    A model of skmeta, or what ends in one, is adapted to each support set; a clone of any other is fitted
    on it, but for a ``FrozenEstimator``, which answers as it is.
    """
    if isinstance(model, MetaEstimator):
        return _answers_of(model, episodes)
    if isinstance(model, FewShotEstimator):
        return model.narrowed(answers(model.checked_prior(), model.as_prior_labels(episodes)), episodes)
    if isinstance(model, FrozenEstimator):
        return [model] * len(episodes)
    if not isinstance(last_of(model), MetaEstimator):
        return [_fitted(model, episode) for episode in episodes]
    check_is_fitted(model)
    if not isinstance(model, Pipeline):
        return answers(model.best_estimator_, episodes)
    last = model.steps[-1][1]
    last = last.estimator if isinstance(last, FrozenEstimator) else last  # as ``adapt`` takes it
    return answers(last, [_transformed(model, episode) for episode in episodes])


def has_own_classes(models):
    """Whether a support set must have two classes for one of the models, as far as they know."""
    return any(map(_has_own_classes, models))


def _has_own_classes(model):
    last = last_of(model)
    if isinstance(last, FewShotEstimator):
        last = last_of(last.prior)
    # A frozen model of scikit-learn does not look at support sets.
    return getattr(last, "_own_classes", not isinstance(model, FrozenEstimator))


def _answers_of(model, episodes):
    supports = [episode.support for episode in episodes]
    names = [episode.name for episode in episodes]
    outputs = model.outputs_of_tasks(names, supports, [episode.X_query for episode in episodes])
    if not is_classifier(model):
        return [ValueAnswers(model.decide(*pair)) for pair in outputs]
    # Logits are padded to the most classes that a task of a batch has.
    return [ClassAnswers(logits[:, : len(classes)], classes) for logits, classes in outputs]


def _transformed(pipeline, episode):
    try:
        X_support, X_query = (transformed(pipeline, X) for X in (episode.X_support, episode.X_query))
    except ValueError as error:
        raise ValueError(f"{episode.name}: {error}") from error
    return episode._replace(X_support=X_support, X_query=X_query)


def _name_of_weight(model):
    """What ``fit`` of a model calls ``sample_weight``; None if it takes none."""
    if isinstance(model, Pipeline):
        step, last = model.steps[-1]
        inner = _name_of_weight(last)
        return inner and f"{step}__{inner}"
    if is_search(model):
        return _name_of_weight(model.estimator)
    return "sample_weight" if has_fit_parameter(model, "sample_weight") else None


def _fitted(model, episode):
    try:
        name = None if episode.support_weight is None else _name_of_weight(model)
        weight = {} if name is None else {name: episode.support_weight}
        fitted = clone(model).fit(episode.X_support, episode.y_support, **weight)
        if np.size(getattr(fitted, "classes_", 0)) == 0:  # of a DummyClassifier, which fails when it is asked
            raise ValueError(f"{type(model).__name__} knows no class.")
    except NotFittedError:
        raise
    except ValueError as error:
        how = (
            ""
            if len(episode.y_support)
            else " Pass n_shot=1 or more, or a FrozenEstimator of a fitted model."
        )
        raise ValueError(f"{episode.name}: {error}{how}") from error
    return fitted
