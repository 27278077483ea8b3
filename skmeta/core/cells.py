"""Cells of a feature map as rows: backbone, head and loss by which the inner loop adapts to pages.

A page is a row of the task, its cells are the rows of the last layer. Outputs of a cell are where the box is
that has its centre there, four numbers that all classes share, and then a logit for each class. So the last
layer is linear in ``(n_features, box)``: the classes' part comes from the support set, the box's part starts
as the identity.
"""

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from skmeta.core.losses import weighted_mean
from skmeta.core.ridge import ridge, with_constant
from skmeta.detection.cells import N_BOX

# Heat of a cell that holds a centre.
CENTER = 0.999
# Least weight of a cell that counts: a root has no derivative at zero.
LEAST = 1e-9


class CellBackbone(nn.Module):
    """Pages to their cells: ``(n_pages, n_channels, height, width)`` to ``(n_cells, n_features + 4)``.

    Parameters
    ----------
    module : nn.Module
        ``(n_pages, n_channels, height, width)`` to a feature map ``(n_pages, n_features, rows, columns)``.
    n_mapped : int
        Channels of its feature map.
    n_features : int, default=64
        A convolution beside that of the box makes so many of them, a multiple of 8.
    level, scale : Tensor of shape (n_channels,), or None
        Subtracted from pixels, and divided by; None leaves them as they are.
    """

    def __init__(self, module, n_mapped, n_features=64, level=None, scale=None):
        super().__init__()
        self.module, self.n_features = module, n_features
        self.classes, self.box = (_norm_of_conv(n_mapped, n_features) for _ in range(2))
        self.box.extend([nn.ReLU(), nn.Conv2d(n_features, N_BOX, 1)])
        for name, value in (("level", level), ("scale", scale)):
            self.register_buffer(name, None if value is None else value[:, None, None])

    def forward(self, x):
        if self.level is not None:
            x = (x - self.level) / self.scale
        mapped = self.module(x)
        return torch.cat([self.classes(mapped), self.box(mapped)], 1).movedim(1, -1).flatten(0, 2)


def _norm_of_conv(n_in, n_out):
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1), nn.GroupNorm(8, n_out))


class CellHead(nn.Module):
    """The classes' part of the last layer by ridge regression of their heat on the support set's cells.

    Cells of objects and of background have learned weights, all features learned precisions, and logits a
    learned scale and bias: a posterior mean in closed form, which is differentiated through.
    """

    reads_support, is_posterior = True, False

    def __init__(self, n_features):
        super().__init__()
        self.log_precision = nn.Parameter(torch.zeros(n_features + 1))
        self.log_weight = nn.Parameter(torch.tensor([2.0, -2.0]))  # of objects, of background
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.bias = nn.Parameter(torch.tensor(-4.0))

    def forward(self, features, y, weight, n_way):
        """Tensors of the last layer, ``(n_way, n_features + 4)`` and ``(n_way,)``; the box's outputs first.

        ``features`` are those of a ``CellBackbone``, ``y["heat"]`` is ``(n_cells, n_way - 4)``.
        """
        rows, heat = with_constant(features[..., :-N_BOX]), y["heat"]
        deviation = (-self.log_precision / 2).exp()
        own = heat.amax(-1) if heat.shape[-1] else torch.zeros_like(weight)
        of_object, of_background = self.log_weight.exp()
        root = (weight * (of_object * own.square() + of_background * (1 - own))).clamp_min(LEAST).sqrt()
        root = (root * (weight > 0))[..., None]
        mean, _ = ridge(rows * deviation * root, heat * root)
        classes = self.log_scale.exp() * (deviation[:, None] * mean).mT
        zero = features.new_zeros(N_BOX, rows.shape[-1] - 1)
        identity = torch.eye(N_BOX, dtype=features.dtype, device=features.device)
        of_classes = torch.cat([classes[:, :-1], classes.new_zeros(n_way - N_BOX, N_BOX)], 1)
        return {
            "weight": torch.cat([torch.cat([zero, identity], 1), of_classes]),
            "bias": torch.cat([features.new_zeros(N_BOX), classes[:, -1] + self.bias]),
        }


class CellLoss:
    """Focal loss of the heat, less where heat is near a centre, and L1 of boxes; over the number of objects.

    References
    ----------
    X. Zhou, D. Wang, P. Krähenbühl, Objects as Points, 2019: (1), (2) and (3) there.
    """

    def __call__(self, outputs, y, weight):
        """Of cells, ``outputs`` ``(..., n_cells, 4 + n_classes)``, and ``y`` a dict of ``heat``, ``box`` and
        ``near``."""
        heat, near = y["heat"], y["near"] * weight
        logit = outputs[..., N_BOX:]
        at_center = heat >= CENTER
        found = -(-logit).sigmoid().square() * logsigmoid(logit)
        empty = -((1 - heat) ** 4) * logit.sigmoid().square() * logsigmoid(-logit)
        focal = (torch.where(at_center, found, empty).sum(-1) * weight).sum(-1)
        n_objects = (at_center.sum(-1) * weight).sum(-1).clamp_min(1)
        off = (outputs[..., :N_BOX] - y["box"]).abs().sum(-1)
        return focal / n_objects + weighted_mean(off, near)

    @staticmethod
    def told(outputs, y):
        """Probabilities and heat, as a meta-model sees outputs and targets."""
        return outputs[..., N_BOX:].sigmoid(), y["heat"]
