"""Backbones: plain modules that map rows to features, without statistics of the batch.

A row's features never depend on the rows beside it, so predictions are inductive.
"""

from itertools import pairwise

import torch
from torch import nn

from skmeta.core.kernel import KernelFeatures
from skmeta.parameter_rules import POSITIVE, check_value

# No root, logarithm or quotient of less than this.
TINY = 1e-12
BATCH_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


class MLP(nn.Module):
    """Fully connected layers with ReLU: ``(n_rows, in_features)`` to ``(n_rows, widths[-1])``.

    Parameters
    ----------
    in_features : int
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Width of each layer. Empty: the features are the inputs.

    Examples
    --------
    >>> import torch
    >>> MLP(4, (8, 3))(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(self, in_features, hidden_layer_sizes=(64, 64)):
        super().__init__()
        sizes = (in_features, *hidden_layer_sizes)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return x


class InputAndMLP(nn.Module):
    """The input, beside what an ``MLP`` makes of it: ``(n_rows, in_features + n_centers + widths[-1])``.

    A good linear model of the input stays one, whatever the network learns.

    Parameters
    ----------
    in_features : int
    hidden_layer_sizes : tuple of int
        Width of each layer, one at least.
    n_centers : int, default=0
        Of the ``KernelFeatures`` between the two; 0 for none.

    Examples
    --------
    >>> import torch
    >>> InputAndMLP(4, (8, 3))(torch.zeros(2, 4)).shape
    torch.Size([2, 7])
    """

    def __init__(self, in_features, hidden_layer_sizes, n_centers=0):
        super().__init__()
        self.n_kept = in_features + n_centers
        self.kernel = KernelFeatures(in_features, n_centers) if n_centers else None
        self.mlp = MLP(in_features, hidden_layer_sizes)

    def forward(self, x):
        return torch.cat([self.kept(x), self.mlp(x)], -1)

    def kept(self, x):
        """The features that no training changes: ``(n_rows, n_kept)``."""
        return x if self.kernel is None else torch.cat([x, self.kernel(x)], -1)


class WeightedFeatures(nn.Module):
    """Features times learned positive weights, each row then brought to one length.

    For TF-IDF of text, and other rows of many features of which few are not zero: there is no layer to learn
    that would forget what the tasks of meta-training never used, only what counts how much. With
    ``head="cosine"``, the model before adaptation is nearest prototypes by angle, with learned weights; with
    ``adapt_params="head"``, no task has weights of its own.

    Parameters
    ----------
    in_features : int
    length : float, default=5.0
        Euclidean length of a row of features. A gradient step moves a logit by some
        ``inner_lr * length ** 2``.

    Examples
    --------
    >>> import torch
    >>> WeightedFeatures(2)(torch.tensor([[3.0, 4.0]]))
    tensor([[3., 4.]], grad_fn=<MulBackward0>)
    """

    def __init__(self, in_features, length=5.0):
        super().__init__()
        self.length = check_value("WeightedFeatures", "length", length, [POSITIVE])
        self.log_weight = nn.Parameter(torch.zeros(in_features))

    def forward(self, x):
        if x.shape[1:] != self.log_weight.shape:
            raise ValueError(
                f"WeightedFeatures needs rows of {len(self.log_weight)} features; got {tuple(x.shape[1:])}."
            )
        return self.length * unit_length(x * self.log_weight.exp())


def unit_length(rows):
    """Rows over their Euclidean lengths; what is shorter than a millionth, such as zero, stays about zero."""
    # No root of zero: its second derivative is not finite.
    return rows / rows.square().sum(-1, keepdim=True).clamp_min(TINY).sqrt()


class Conv4(nn.Module):
    """Four blocks of 3x3 convolution, group normalisation, ReLU and 2x2 max-pooling, flattened.

    The few-shot literature's standard network for small images (Vinyals et al., Matching Networks,
    2016), with group instead of batch normalisation, whose statistics would leak between query rows.

    Parameters
    ----------
    in_channels : int, default=1
    hidden_channels : int, default=64
    n_groups : int, default=8
        Groups of channels that are normalised together, a divisor of ``hidden_channels``.

    Examples
    --------
    >>> import torch
    >>> Conv4()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 64])
    """

    def __init__(self, in_channels=1, hidden_channels=64, n_groups=8):
        super().__init__()
        channels = (in_channels, *[hidden_channels] * 4)
        self.blocks = nn.Sequential(*(_conv_block(a, b, n_groups) for a, b in pairwise(channels)))
        self.to(memory_format=torch.channels_last)  # on a CPU, pooling takes a tenth of the time so

    def forward(self, x):
        return self.blocks(x).flatten(1)


def _conv_block(n_in, n_out, n_groups):
    # ReLU after pooling gives the same numbers as before it, from a quarter of them.
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1), nn.GroupNorm(n_groups, n_out), nn.MaxPool2d(2), nn.ReLU()
    )


class FeaturePyramid(nn.Module):
    """Images to a feature map of stride 4: three blocks of stride 2, and back up by one (Lin et al., 2017).

    ``(n_images, in_channels, height, width)`` to ``(n_images, n_features, height / 4, width / 4)``. A cell
    sees some 60 pixels around it.

    Parameters
    ----------
    in_channels : int, default=1
    hidden_channels : int, default=16
        Of the first block; the two after it have twice and four times as many.
    n_features : int, default=64
    n_groups : int, default=8
        Groups of channels that are normalised together, a divisor of ``hidden_channels``.

    References
    ----------
    T.-Y. Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017.

    Examples
    --------
    >>> import torch
    >>> FeaturePyramid()(torch.zeros(2, 1, 64, 96)).shape
    torch.Size([2, 64, 16, 24])
    """

    def __init__(self, in_channels=1, hidden_channels=16, n_features=64, n_groups=8):
        super().__init__()
        a, b, c = hidden_channels, 2 * hidden_channels, 4 * hidden_channels
        self.fine = nn.Sequential(
            _strided_block(in_channels, a, 2, n_groups), _strided_block(a, b, 2, n_groups)
        )
        self.coarse = _strided_block(b, c, 2, n_groups)
        self.residual = nn.ModuleList(_strided_block(c, c, 1, n_groups) for _ in range(2))
        self.from_coarse, self.from_fine = nn.Conv2d(c, n_features, 1), nn.Conv2d(b, n_features, 1)

    def forward(self, x):
        fine = self.fine(x)
        coarse = self.coarse(fine)
        for block in self.residual:
            coarse = coarse + block(coarse)
        up = nn.functional.interpolate(self.from_coarse(coarse), scale_factor=2)
        return (up + self.from_fine(fine)).relu()


def _strided_block(n_in, n_out, stride, n_groups):
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1), nn.GroupNorm(n_groups, n_out), nn.ReLU())
