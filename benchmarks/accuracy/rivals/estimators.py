"""Scikit-learn's estimators on training tasks' rows, on the support set, or on both."""

from copy import copy

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_regressor
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.utils.extmath import softmax

from benchmarks.accuracy.method import Answer
from skmeta.tasks.rows import concatenate_rows

MOST_TASKS = 500
MOST_POOLED = 1000
SHARPNESS = 5  # of scores that are around -1 and 1


def pooled_rows(tasks, view, most=MOST_TASKS):
    """Rows of all tasks, their labels and the number of each one's task; of too many, of some at random."""
    if len(tasks) > most:
        tasks = [tasks[k] for k in np.random.RandomState(0).permutation(len(tasks))[:most]]
    X = concatenate_rows([task.views[view] for task in tasks])
    group = np.repeat(np.arange(len(tasks)), [len(task.y) for task in tasks])
    return X, np.concatenate([task.y for task in tasks]), group


def standardised(tasks, view):
    """What standardises rows, and the pooled rows after it."""
    X, y, group = pooled_rows(tasks, view)
    scaler = StandardScaler().fit(X)
    return scaler.transform, scaler.transform(X), y, group


def with_params(pipeline, seed, params):
    """A clone with the parameters, and the seed wherever one is taken."""
    seeds = {name: seed for name in pipeline.get_params() if name.endswith("random_state")}
    return clone(pipeline).set_params(**seeds, **params)


def pooled(pipeline, tasks, view, seed, **params):
    """Learn from the rows of training tasks; the support set tells nothing."""
    learned = with_params(pipeline, seed, params).fit(*pooled_rows(tasks, view)[:2])
    return lambda X, y, queries: answer(learned, queries)


def local(pipeline, tasks, view, seed, per_task=False, **params):
    """Learn all but the last step from training tasks, and the last one from each support set."""
    pipeline = with_params(pipeline, seed, params)
    rows, labels, _ = pooled_rows(tasks, view)
    features, last = pipeline[:-1].fit(rows, labels), pipeline[-1]
    known = [] if per_task or is_regressor(last) else np.unique(labels)

    def model(X, y, queries):
        if not is_regressor(last) and len(np.unique(y)) == 1:
            said = chosen(np.ones((queries.shape[0], 1)), np.unique(y))
        else:
            said = answer(clone(last).fit(features.transform(X), y), features.transform(queries))
        return with_unseen(said, known, len(y))

    return model


def both(pipeline, tasks, view, seed, weight, **params):
    """Learn the last step from rows of training tasks and the support set, whose rows count ``weight`` times.

    It is fitted anew for each episode, from where the training rows alone led, and so with few of these.
    """
    pipeline = with_params(pipeline, seed, params)
    rows, labels, _ = pooled_rows(tasks, view)
    few = np.random.RandomState(0).permutation(len(labels))[:MOST_POOLED]
    rows, labels = rows[few], labels[few]
    features, last = pipeline[:-1].fit(rows, labels), pipeline[-1]
    rows = features.transform(rows)
    start = last.fit(rows, labels)

    def model(X, y, queries):
        weights = np.repeat([1.0, weight], [len(labels), len(y)])
        more = np.concatenate([rows, features.transform(X)]), np.concatenate([labels, y])
        return answer(copy(start).fit(*more, sample_weight=weights), features.transform(queries))

    return model


def shares(tasks, view, seed):
    """The classes' shares of the support set, with a row of each class added."""
    known = np.unique(np.concatenate([task.y for task in tasks]))

    def model(X, y, queries):
        counts = 1 + (np.asarray(y) == known[:, None]).sum(axis=1)
        return chosen(np.tile(counts / counts.sum(), (queries.shape[0], 1)), known)

    return model


def answer(learned, X):
    """What a fitted estimator says; of scores that are no probabilities, a softmax."""
    if is_regressor(learned):
        return Answer(learned.predict(X))
    if hasattr(learned, "predict_proba"):
        return chosen(learned.predict_proba(X), learned.classes_)
    scores = SHARPNESS * learned.decision_function(X)
    return chosen(softmax(np.c_[-scores, scores] if scores.ndim == 1 else scores), learned.classes_)


def with_unseen(said, known, n_support):
    """The answer, with the known classes of which there were no support rows.

    Each has the share that it would have if one row of every class were added.
    """
    unseen = np.setdiff1d(known, said.classes if len(known) else [])
    if not len(unseen):
        return said
    classes = np.concatenate([said.classes, unseen])
    share = 1 / (n_support + len(classes))
    rest = np.full((len(said.predicted), len(unseen)), share)
    return chosen(np.hstack([said.probabilities * (1 - share * len(unseen)), rest]), classes)


def chosen(probabilities, classes):
    """The most probable classes."""
    return Answer(classes[probabilities.argmax(axis=1)], probabilities, classes)


class Prototypes(ClassifierMixin, BaseEstimator):
    """The class whose mean is nearest, by its angle or its distance.

    Parameters
    ----------
    metric : {"cosine", "euclidean"}
    temperature : float
        What cosines, or halves of mean squared differences, are divided by before the softmax.
    """

    def __init__(self, metric="cosine", temperature=0.1):
        self.metric, self.temperature = metric, temperature

    def fit(self, X, y):
        """Take the means of the classes."""
        self.classes_, code = np.unique(y, return_inverse=True)
        means = [np.asarray(X[code == k].mean(axis=0)).ravel() for k in range(len(self.classes_))]
        self.prototypes_ = np.stack(means)
        return self

    def predict_proba(self, X):
        """Of the classes; rows may be sparse."""
        if self.metric == "cosine":
            scores = normalize(X) @ normalize(self.prototypes_).T
        else:
            scores = (X @ self.prototypes_.T - (self.prototypes_**2).sum(axis=1) / 2) / X.shape[1]
        return softmax(np.asarray(scores) / self.temperature)
