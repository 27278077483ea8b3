"""An MLP trained on the pooled rows, and then, by the same loss, on the support set of a task."""

import copy

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import ClassifierTags, RegressorTags
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.accuracy.pooled import KnowsPool
from skmeta import MLP

BATCH = 128


class PooledMLP(TransformerMixin, BaseEstimator):
    """The trained network; ``transform`` gives the rows' last hidden layer.

    Parameters
    ----------
    regression : bool
    hidden_layer_sizes : tuple of int
    n_epochs : int
    noise : float
        Standard deviation of what is added to the rows at each step, in units of each feature's own.
    random_state : int
    """

    def __init__(self, regression=False, hidden_layer_sizes=(128, 128), n_epochs=20, noise=0, random_state=0):
        self.regression, self.hidden_layer_sizes = regression, hidden_layer_sizes
        self.n_epochs, self.noise, self.random_state = n_epochs, noise, random_state

    def fit(self, X, y):
        """Train on pooled rows."""
        self.mean_, self.scale_ = (y.mean(), y.std()) if self.regression else (0.0, 1.0)
        self.classes_ = None if self.regression else np.unique(y)
        n_outputs = 1 if self.regression else len(self.classes_)
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(self.random_state)
            body = MLP(X.shape[1], self.hidden_layer_sizes)
            self.network_ = nn.Sequential(body, nn.Linear(self.hidden_layer_sizes[-1], n_outputs))
            rows, targets = as_tensor(X), self.encode(y, self.classes_)
            n_batches = -(-len(rows) // BATCH)
            batches = (b for _ in range(self.n_epochs) for b in torch.randperm(len(rows)).chunk(n_batches))
            scale = self.noise * rows.std(0)
            pairs = ((rows[b] + scale * torch.randn(len(b), rows.shape[1]), targets[b]) for b in batches)
            descend(self.network_, pairs, lr=1e-3, weight_decay=1e-2)
        return self

    def transform(self, X):
        """Features of rows."""
        with torch.no_grad():
            return self.network_[0](as_tensor(X)).numpy()

    def encode(self, y, classes):
        """Targets as the loss takes them."""
        if self.regression:
            return as_tensor((y - self.mean_) / self.scale_)
        return torch.as_tensor(np.searchsorted(classes, y))


class FineTunedMLP(KnowsPool):
    """A ``PooledMLP`` that goes on for ``n_steps`` on a support set, as one batch.

    Where labels mean something only inside a task, the last layer is a new one that starts at zero.
    """

    def __init__(self, pretrained, shared, n_steps, lr):
        self.pretrained, self.shared, self.n_steps, self.lr = pretrained, shared, n_steps, lr

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.pretrained.regression:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        else:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags

    def fit(self, X, y):
        """Fine-tune a copy of the network."""
        known = self.pretrained.classes_
        self.network_ = copy.deepcopy(self.pretrained.network_)
        if known is not None:
            self.classes_ = np.unique(y)
            if not self.shared:
                known = self.classes_
                self.network_[1] = new_head(self.network_[1], len(known))
            self.columns_ = np.searchsorted(known, self.classes_)
        batch = as_tensor(X), self.pretrained.encode(y, known)
        descend(self.network_, [batch] * self.n_steps, lr=self.lr)
        return self

    def predict(self, X):
        """Predictions of rows."""
        with torch.no_grad():
            outputs = self.network_(as_tensor(X)).numpy()
        if self.pretrained.regression:
            return self.pretrained.mean_ + self.pretrained.scale_ * outputs[:, 0]
        return self.classes_[outputs[:, self.columns_].argmax(axis=1)]


def new_head(head, n_classes):
    """A last layer of as many features that prefers no class."""
    head = nn.Linear(head.in_features, n_classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def descend(network, batches, lr, weight_decay=0.0):
    """Adam on the batches, pairs of rows and targets: floats for a regression, else class numbers."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    for rows, targets in batches:
        outputs = network(rows)
        if targets.is_floating_point():
            loss = mse_loss(outputs[:, 0], targets)
        else:
            loss = cross_entropy(outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def as_tensor(X):
    """Rows as float32."""
    return torch.as_tensor(np.asarray(X), dtype=torch.float32)
