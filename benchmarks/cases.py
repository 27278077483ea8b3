"""What is computed: networks, tasks and the settings of an outer step."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import skmeta
from skmeta.core.backbones import MLP, Conv4

N_WAY = 5


class Batch(NamedTuple):
    """Episodes of a meta-batch; the first axis of each tensor is ``n_tasks``."""

    support_x: torch.Tensor
    support_y: torch.Tensor
    query_x: torch.Tensor
    query_y: torch.Tensor

    def tasks(self):
        """Tuples of one task's tensors."""
        return zip(*self, strict=True)


@dataclass(frozen=True)
class Case:
    """One outer step: what every contestant computes.

    ``draw(rng, n_tasks, n_rows)`` gives rows and targets of tasks, whose first ``n_support`` rows are an
    episode's support set. ``steps`` is how many outer steps ``fit`` takes from one look at the clock to
    the next.
    """

    name: str
    title: str
    draw: Callable
    make_backbone: Callable
    n_features: int
    n_outputs: int
    n_tasks: int
    n_support: int
    n_query: int
    inner_steps: int
    inner_lr: float
    steps: int
    second_order: bool = True

    @property
    def is_regression(self):
        return self.n_outputs == 1

    @property
    def convolves(self):
        return self.make_backbone in (Conv4, strided_convolutions)

    @property
    def loss(self):
        return functional.mse_loss if self.is_regression else functional.cross_entropy

    def model(self, seed=0):
        """Backbone and linear head, the same at every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(self.make_backbone(), nn.Linear(self.n_features, self.n_outputs))

    def tutorial_model(self):
        """The same network with the same parameters, as the contestants' tutorials write it."""
        model = self.model()
        return nn.Sequential(plain_conv4(model[0]), model[1]) if self.make_backbone is Conv4 else model

    def tasks(self, n_tasks, seed=0):
        """Tasks ``(X, y)`` as the estimators take them."""
        X, y = self.draw(np.random.default_rng(seed), n_tasks, self.n_support + self.n_query)
        return list(zip(X, y, strict=True))

    def batch(self, seed=0, device="cpu"):
        """The episodes of a meta-batch, drawn beforehand."""
        parts = zip(*self.tasks(self.n_tasks, seed), strict=True)
        X, y = (torch.as_tensor(np.stack(part), device=device) for part in parts)
        n = self.n_support
        return Batch(X[:, :n], y[:, :n], X[:, n:], y[:, n:])

    def estimator(self, algorithm="TMAML", **params):
        """The estimator whose outer step is this case's."""
        kind = "Regressor" if self.is_regression else "Classifier"
        n_classes = 1 if self.is_regression else N_WAY
        settings = {
            "module": self.make_backbone if self.convolves else None,
            "head": "linear",
            "n_shot": self.n_support // n_classes,
            "n_query": self.n_query // n_classes,
            "inner_lr": self.inner_lr,
            "inner_steps": self.inner_steps,
            "learn_inner_lr": False,
            "meta_gradient": "second_order" if self.second_order else "first_order",
            "meta_batch_size": self.n_tasks,
            "random_state": 0,
        }
        if not self.convolves:
            settings["hidden_layer_sizes"] = tuple(
                layer.out_features for layer in self.make_backbone().layers
            )
        return getattr(skmeta, algorithm + kind)(**settings | params)


def strided_convolutions():
    """A module as a user writes it: four strided 3x3 convolutions of 64 channels, group normalisation."""
    layers = []
    for n_channels in 1, 64, 64, 64:
        layers += [nn.Conv2d(n_channels, 64, 3, stride=2, padding=1), nn.GroupNorm(8, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten())


def plain_conv4(backbone):
    """A ``Conv4`` in torch's default layout, each block a convolution, norm, ReLU and pooling in turn."""
    layers = []
    for convolution, norm, pool, relu in backbone.blocks:
        layers += [convolution, norm, relu, pool]
    return nn.Sequential(*layers, nn.Flatten()).to(memory_format=torch.contiguous_format)


def draw_sinusoids(rng, n_tasks, n_rows):
    """``amplitude * sin(x + phase)``, as in Finn et al. (2017)."""
    amplitude, phase = rng.uniform(0.1, 5, (n_tasks, 1, 1)), rng.uniform(0, np.pi, (n_tasks, 1, 1))
    X = rng.uniform(-5, 5, (n_tasks, n_rows, 1))
    return X.astype(np.float32), (amplitude * np.sin(X + phase)).astype(np.float32)


def draw_classes(rng, n_tasks, n_rows, row_shape):
    """Rows around a mean for each class that moves from task to task; the classes come in turn."""
    y = np.tile(np.arange(n_rows) % N_WAY, (n_tasks, 1))
    means = rng.normal(size=(N_WAY, *row_shape)) + 0.5 * rng.normal(size=(n_tasks, N_WAY, *row_shape))
    X = means[:, y[0]] + rng.normal(size=(n_tasks, n_rows, *row_shape))
    return X.astype(np.float32), y


SINUSOID = Case(
    name="sinusoid",
    title="sinusoid MLP",
    draw=draw_sinusoids,
    make_backbone=partial(MLP, 1, (40, 40)),
    n_features=40,
    n_outputs=1,
    n_tasks=25,
    n_support=10,
    n_query=10,
    inner_steps=1,
    inner_lr=0.01,
    steps=50,
)
TABULAR = Case(
    name="tabular",
    title="tabular MLP",
    draw=partial(draw_classes, row_shape=(20,)),
    make_backbone=partial(MLP, 20, (64, 64)),
    n_features=64,
    n_outputs=N_WAY,
    n_tasks=32,
    n_support=25,
    n_query=75,
    inner_steps=5,
    inner_lr=0.05,
    steps=6,
)
CONV4 = Case(
    name="conv4",
    title="Conv4-64",
    draw=partial(draw_classes, row_shape=(1, 28, 28)),
    make_backbone=Conv4,
    n_features=64,
    n_outputs=N_WAY,
    n_tasks=32,
    n_support=5,
    n_query=75,
    inner_steps=1,
    inner_lr=0.1,
    steps=1,
)
STRIDED = replace(
    CONV4, name="strided", title="own convolutions", make_backbone=strided_convolutions, n_features=256
)
