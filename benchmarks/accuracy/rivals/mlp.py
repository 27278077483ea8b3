"""A small network of ReLUs, trained on the rows of training tasks and then on the support set.

Written out, as PyTorch takes five times as long for a step on the handful of rows of a support set.
"""

from itertools import pairwise

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.extmath import softmax

from benchmarks.accuracy.method import Answer
from benchmarks.accuracy.rivals.estimators import chosen, standardised

WIDTH, BATCH, NOISE = 256, 128, 0.5


class Network:
    """A hidden layer and an output layer, the last row of each its biases, that are views of one vector."""

    def __init__(self, sizes, theta):
        n_features, width, n_outputs = self.sizes = sizes
        first, last = np.split(theta, [(n_features + 1) * width])
        self.theta = theta
        self.first, self.last = first.reshape(-1, width), last.reshape(-1, n_outputs)

    @classmethod
    def start(cls, sizes, rng):
        """Uniform weights, as wide as PyTorch's."""
        n_in = np.concatenate([np.full((n + 1) * m, n) for n, m in pairwise(sizes)])
        return cls(sizes, (rng.uniform(-1, 1, len(n_in)) / np.sqrt(n_in)).astype("f4"))

    def copy(self, n_new=None):
        """Another one, if so told with ``n_new`` outputs that start at zero."""
        n_features, width, n_outputs = self.sizes
        last = self.last if n_new is None else np.zeros((width + 1, n_new), "f4")
        theta = np.concatenate([self.first.ravel(), last.ravel()])
        return Network((n_features, width, n_new or n_outputs), theta)

    def hidden(self, X):
        """Features of rows."""
        return np.maximum(X @ self.first[:-1] + self.first[-1], 0)

    def outputs(self, hidden):
        """Values, or logits of classes."""
        return hidden @ self.last[:-1] + self.last[-1]

    def descend(self, batches, lr, decay=0.0):
        """AdamW on pairs of rows and targets: a column for squared errors, or class numbers."""
        gradient = Network(self.sizes, np.empty_like(self.theta))
        mean, square = np.zeros_like(self.theta), np.zeros_like(self.theta)
        for t, (X, targets) in enumerate(batches, 1):
            hidden = self.hidden(X)
            outputs = self.outputs(hidden)
            if targets.ndim == 1:
                outputs, targets = softmax(outputs), np.eye(outputs.shape[1], dtype="f4")[targets]
            error = (outputs - targets) / len(X)
            gradient.last[:-1], gradient.last[-1] = hidden.T @ error, error.sum(axis=0)
            error = (error @ self.last[:-1].T) * (hidden > 0)
            gradient.first[:-1], gradient.first[-1] = X.T @ error, error.sum(axis=0)
            mean += 0.1 * (gradient.theta - mean)
            square += 0.001 * (gradient.theta**2 - square)
            self.theta *= 1 - lr * decay
            self.theta -= lr / (1 - 0.9**t) * mean / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)


class MLP(TransformerMixin, BaseEstimator):
    """The network trained on batches of pooled rows, with noise; ``transform`` gives its hidden features."""

    def __init__(self, regression=False, n_batches=1000, random_state=0):
        self.regression, self.n_batches, self.random_state = regression, n_batches, random_state

    def fit(self, X, y):
        """Train on pooled rows."""
        rng, X = np.random.default_rng(self.random_state), np.asarray(X, "f4")
        self.classes_ = None if self.regression else np.unique(y)
        self.level_, self.scale_ = (y.mean(), y.std()) if self.regression else (0.0, 1.0)
        n_outputs = 1 if self.regression else len(self.classes_)
        self.network_ = Network.start((X.shape[1], WIDTH, n_outputs), rng)
        self.network_.descend(self._batches(X, self.encode(y, self.classes_), rng), lr=1e-3, decay=1e-2)
        return self

    def _batches(self, X, targets, rng):
        for _ in range(self.n_batches):
            rows = rng.integers(len(X), size=BATCH)
            yield X[rows] + NOISE * rng.standard_normal((BATCH, X.shape[1]), "f4"), targets[rows]

    def encode(self, y, classes):
        """Targets as ``descend`` takes them."""
        if self.regression:
            return ((y - self.level_) / self.scale_).astype("f4")[:, None]
        return np.searchsorted(classes, y)

    def transform(self, X):
        """Features of rows."""
        return self.network_.hidden(np.asarray(X, "f4"))


def fine_tuned(tasks, view, seed, n_steps=0, lr=1e-3, per_task=False, **params):
    """Train on pooled rows, and for ``n_steps`` more on each support set, as one batch.

    Where labels mean something only inside a task, the last layer is a new one that starts at zero.
    """
    scale, X, y, _ = standardised(tasks, view)
    learned = MLP(random_state=seed, **params).fit(X, y)

    def model(X, y, queries):
        classes = np.unique(y) if per_task else learned.classes_
        network = learned.network_.copy(len(classes) if per_task else None)
        if n_steps:  # else there may be no row
            network.descend([(scale(X).astype("f4"), learned.encode(y, classes))] * n_steps, lr)
        outputs = network.outputs(network.hidden(scale(queries).astype("f4"))).astype(float)
        if classes is None:
            return Answer(learned.level_ + learned.scale_ * outputs[:, 0])
        return chosen(softmax(outputs), classes)

    return model
