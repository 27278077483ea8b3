"""Heads: how the last layer of a task starts, before the inner loop adapts it.

Every head maps the support set's features to the same two tensors, ``weight`` of shape
``(n_outputs, n_features)`` and ``bias`` of shape ``(n_outputs,)``, for one task.
"""

import math

import torch
from torch import nn

from skmeta.core.backbones import TINY, unit_length


class LinearHead(nn.Module):
    """One learned row for each output: the classes of a shared label space, or the targets."""

    reads_support = is_posterior = False

    def __init__(self, n_features, n_outputs, level=None):
        super().__init__()
        layer = nn.Linear(n_features, n_outputs)
        self.weight, self.bias = layer.weight, layer.bias
        if level is not None:  # of outputs, where they start
            self.bias.data += level

    def forward(self, features, y, weight, n_way):
        return {"weight": self.weight, "bias": self.bias}


class TiedHead(nn.Module):
    """One learned row, copied to every class of the task (UNICORN-MAML, Ye & Chao 2022).

    No class is preferred before adaptation, so the order of the labels cannot matter.
    """

    reads_support = is_posterior = False

    def __init__(self, n_features):
        super().__init__()
        layer = nn.Linear(n_features, 1)
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, features, y, weight, n_way):
        return {"weight": self.weight.expand(n_way, -1), "bias": self.bias.expand(n_way)}


class PrototypeHead(nn.Module):
    """Rows and biases from the class means of the support set (Proto-MAML, Triantafillou et al. 2020).

    With ``c`` a class mean, ``s (2 c.x - |c|^2)`` differs from ``-s |x - c|^2`` only by a term that
    all classes share, so before adaptation this is the prototypical network. The scale ``s`` is learned.
    """

    reads_support, is_posterior = True, False

    def __init__(self, n_features):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(n_features) / 2))

    def forward(self, features, y, weight, n_way):
        member = _membership(features, y, weight, n_way)
        means = member.T @ features / member.sum(0).clamp_min(TINY)[:, None]
        scale = self.log_scale.exp()
        return {"weight": 2 * scale * means, "bias": -scale * means.square().sum(1)}


class CosineHead(nn.Module):
    """Rows along the class means of the support set, all of one length (imprinted weights, Qi et al. 2018).

    Before adaptation, the class is the one whose mean has the smallest angle to a row's features; how long
    a mean is, which tells how alike the rows of its class are, does not count. (TF-IDF of CLINC150, five
    shots, no training: 94.7 % by angle, 93.5 % by distance.) The length makes logits of the order of the
    learned scale, whatever the size of the features.
    """

    reads_support, is_posterior = True, False

    def __init__(self, n_features):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, features, y, weight, n_way):
        member = _membership(features, y, weight, n_way)
        total = weight.sum()
        size = (features.square().sum(1) * weight).sum() / total
        rows = unit_length(member.T @ features / total) / size.clamp_min(TINY).sqrt()
        return {"weight": self.log_scale.exp() * rows, "bias": rows.new_zeros(n_way)}


def _membership(features, y, weight, n_way):
    """How much each row counts for each class: ``(n_support, n_way)``."""
    return nn.functional.one_hot(y, n_way).to(features.dtype) * weight[:, None]


HEADS = {"linear": LinearHead, "tied": TiedHead, "prototype": PrototypeHead, "cosine": CosineHead}
