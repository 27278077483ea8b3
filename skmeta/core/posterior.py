"""The posterior head: a Gaussian prior over the last layer of a task, and what a support set makes of it.

A row's features get a constant, the last, so that ``q = n_features + 1``. Over tasks, an output's weights are
``N(mean, diag(exp(-log_precision)))``. A head maps a support set to a *layer*, a dict of tensors of the task:

- ``weight`` ``(n_outputs, n_features)`` and ``bias`` ``(n_outputs,)``: the posterior mean, a linear layer;
- where outputs have a variance, ``deviation`` ``(n_outputs, q)``, the prior's, and ``spread``
  ``(n_outputs, q, r)``, the posterior's in units of it; in a regression also ``noise`` ``(n_outputs,)``.

Rows of weight zero are padding. Leading axes of all tensors, ``...`` in the shapes, are those of tasks.
"""

import copy
import math

import torch
from torch import nn

from skmeta.core.ridge import damping, ridge, variance_along, weighted_ridge, with_constant, without_itself

# Least square of a logit whose size is divided by, and least curvature of a row's log likelihood.
LEAST_SQUARE, FLAT = 1e-8, 1e-4
# Least log variance of the noise: of targets that are all the same, none would be most likely.
LEAST_LOG_NOISE = -23.0
# Numbers that are copied in double precision, at most.
MOST_EXACT = 2**22
# Rows of a task up to which the steps of training have converged.
FEW_ROWS = 32
# Log precision of features without a weight.
CLOSED = 30.0


def predict(layer, features):
    """Mean and variance of rows' outputs, both of shape ``(..., n_rows, n_outputs)``."""
    mean = features @ layer["weight"].mT + layer["bias"][..., None, :]
    x = with_constant(features)[..., None, :, :] * layer["deviation"][..., None, :]
    variance = variance_along(x, layer["spread"])
    if "noise" in layer:
        variance = variance + layer["noise"][..., None]
    return mean, variance.mT


def logits(layer, features):
    """Logits of rows, ``(..., n_rows, n_way)``, whose softmax are the class probabilities."""
    if "spread" in layer:
        return moderated(*predict(layer, features))
    return features @ layer["weight"].mT + layer["bias"][..., None, :]


def moderated(mean, variance):
    """Logits whose sigmoid is about the mean sigmoid of Gaussian ones: by probit (MacKay, 1992)."""
    return mean * _shrinkage(variance)


def _shrinkage(variance):
    return (1 + math.pi / 8 * variance).rsqrt()


def _layer(weights, **others):
    """A layer from posterior means of shape ``(..., n_outputs, q)``."""
    return {"weight": weights[..., :-1], "bias": weights[..., -1]} | others


class PosteriorHead(nn.Module):
    """Base of the heads whose layer of a task is a posterior."""

    is_posterior, reads_support = True, False
    # Log precisions, as training begins, of features that are about to get a weight, and of the others; None
    # leaves these as they are.
    opened, others = 4.0, None
    # How strongly means are drawn to zero: over the number of tasks, the weight of their squares.
    of_means = 0.0

    def __init__(self):
        super().__init__()
        # False where the prior is fitted to features as they are: then these must stay so for each task.
        self.register_buffer("is_open", torch.tensor(True))
        # What makes all answers less sure, or more: of core.calibration.
        self.register_buffer("calibration", torch.tensor(1.0))

    def forward(self, features, y, weight, n_way=None, class_mask=None):
        """Layer for features ``(..., n_rows, n_features)``, what is known of the rows, and their weights.

        ``y`` holds targets ``(..., n_rows, n_outputs)`` or class numbers ``(..., n_rows)``; a row of weight
        two is two rows. ``n_way`` is the number of a task's own classes. ``class_mask`` ``(..., n_way)`` is
        False for those that the task does not hold; None, it holds all.
        """
        known = self._exact(features, y, weight)
        layer = self._layer(*known, n_way, class_mask)
        return {name: p.to(features.dtype) for name, p in layer.items()}

    @staticmethod
    def _exact(features, y, weight):
        """Rows with a constant, ``y`` and weights, in double precision if these are not too many.

        For a variance may be a million times that of the noise.
        """
        exact = features.device.type != "mps" and features.numel() <= MOST_EXACT
        dtype = torch.float64 if exact else features.dtype
        y = y.to(dtype) if y.is_floating_point() else y
        return with_constant(features).to(dtype), y, weight.to(dtype)

    @property
    def n_features(self):
        """Width of a row, without the constant."""
        return self.log_precision.shape[-1] - 1

    def narrowed(self, n_features):
        """A copy for the first features alone."""
        twin = copy.deepcopy(self)
        for p in twin._of_features():
            p.data = torch.cat([p.data[..., :n_features], p.data[..., -1:]], -1)
        return twin

    @torch.no_grad()
    def take(self, narrow):
        """Take the prior of a narrower head: the other features get no weight at all."""
        n = narrow.n_features
        for p, values, other in zip(self._of_features(), narrow._of_features(), (CLOSED, 0.0), strict=False):
            p.fill_(other)
            p[..., :n], p[..., -1:] = values[..., :-1], values[..., -1:]
        others = {"log_precision", "mean", "is_open"}
        state = {name: p for name, p in narrow.state_dict().items() if name not in others}
        self.load_state_dict(state, strict=False)
        self.is_open.fill_(False)

    @torch.no_grad()
    def open(self):
        """Let the features that have no weight get some, and change for each task."""
        closed = self.log_precision == CLOSED
        if closed.any():
            others = self.log_precision if self.others is None else self.others
            p = torch.where(closed, self.opened, others)
            self.log_precision[..., :-1] = p[..., :-1]
        self.is_open.fill_(True)

    def calibrated(self, layer):
        """The layer of a task by which rows are answered; logits are divided by the factor."""
        return layer | {name: layer[name] / self.calibration for name in ("weight", "bias")}

    def _of_features(self):
        """Parameters with an axis of features, the last."""
        return [self.log_precision] if self.mean is None else [self.log_precision, self.mean]


class GaussianHead(PosteriorHead):
    """Squared error: each output has its own prior and noise, and its posterior is exact.

    A subclass of other noise has another ``_posterior``, and finds its start by episodes.
    """

    starts_from_whole_tasks = True

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(n_outputs, n_features + 1))
        self.log_precision = nn.Parameter(torch.zeros(n_outputs, n_features + 1))
        self.log_noise = nn.Parameter(torch.zeros(n_outputs))

    def _layer(self, rows, y, weight, n_way, class_mask):
        mean, deviation = self.mean.to(rows), (-self.log_precision / 2).exp()
        x, before = rows[..., None, :, :] * deviation[:, None], (rows @ mean.mT).mT
        u, spread = self._posterior(x, before, y.mT, weight[..., None, :])
        weights = mean + deviation * u[..., 0]
        return _layer(
            weights,
            deviation=deviation.expand_as(weights),
            spread=spread,
            noise=self.noise.expand(weights.shape[:-1]),
        )

    def _posterior(self, x, before, y, weight):
        """Of ``u``, its mean and spread: rows have the outputs ``before + x u`` and the targets ``y``.

        ``x`` has the shape ``(..., n_outputs, n_rows, q)``, the others that without ``q``.
        """
        return weighted_ridge(x, y - before, weight, 1 / self.noise[:, None])

    @property
    def noise(self):
        """Variance of the noise of each output."""
        return self.log_noise.clamp_min(LEAST_LOG_NOISE).exp()

    def calibrated(self, layer):
        """The same; deviations are multiplied by the factor."""
        noise = layer["noise"] * self.calibration.square()
        return layer | {"deviation": layer["deviation"] * self.calibration, "noise": noise}


class LeastSquaresHead(PosteriorHead):
    """Ridge regression on one-hot labels around the prior mean; scale and biases of the logits are learned.

    There are ``n_classes`` of a shared label space, or None for a task's own labels. All classes have the
    same precisions, in units of the noise, which is one. A task's own classes have the same prior, so that to
    relabel them permutes the layer, to the bit; a mean that all had would shift all logits alike, so it is
    zero. A few tasks tell more of which features tell classes apart than of what each class is like: without
    the prior of the means, 15 people's activities were learned by heart.
    """

    opened, others, of_means = 0.0, 4.0, 3.0

    def __init__(self, n_features, n_classes=None):
        super().__init__()
        # Before a support set is read, classes of a task's own are all alike.
        self.reads_support = n_classes is None
        self.log_precision = nn.Parameter(torch.zeros(n_features + 1))
        self.mean = None if n_classes is None else nn.Parameter(torch.zeros(n_classes, n_features + 1))
        self.log_scale = nn.Parameter(torch.tensor(1.0))
        self.bias = None if n_classes is None else nn.Parameter(torch.zeros(n_classes))

    def _layer(self, rows, y, weight, n_way, class_mask):
        if self.mean is not None:
            n_way = len(self.mean)
        if class_mask is None:
            class_mask = torch.ones(n_way, dtype=torch.bool, device=y.device)
        class_mask = class_mask.expand(*y.shape[:-1], n_way)
        if self.mean is not None:
            return self._solved(rows, y, weight, class_mask, self.mean.to(rows))
        # Sums over classes, in another order, may differ in the last bit: the order must not be the labels'.
        order = _first_rows(y, weight, n_way).argsort(dim=-1, stable=True)
        rank = order.argsort(-1)
        y, class_mask = rank.gather(-1, y), class_mask.gather(-1, order)
        layer = self._solved(rows, y, weight, class_mask, rows.new_zeros(n_way, rows.shape[-1]))
        places = {name: rank.reshape(*rank.shape, *[1] * (p.ndim - rank.ndim)) for name, p in layer.items()}
        return {name: p.take_along_dim(places[name], rank.ndim - 1) for name, p in layer.items()}

    def left_out(self, features, y, weight):
        """Logits ``(n_rows, n_classes)`` of each row of one task of shared classes by the others, exactly."""
        rows, y, weight = self._exact(features, y, weight)
        mean, x = self.mean.to(rows), rows * (-self.log_precision / 2).exp()
        t, root = nn.functional.one_hot(y, len(mean)).to(rows.dtype) - rows @ mean.mT, weight.sqrt()[:, None]
        u, spread = ridge(x * root, t * root)
        left, _ = without_itself(t, x @ u, variance_along(x, spread)[:, None], weight[:, None])
        return self.log_scale.exp() * (rows @ mean.mT + left) + self.bias

    def _solved(self, rows, y, weight, class_mask, mean):
        deviation, root = (-self.log_precision / 2).exp(), weight.sqrt()[..., None]
        target = nn.functional.one_hot(y, len(mean)).to(rows.dtype)
        if self.mean is None:  # centred, as the prior is
            share = 1 / class_mask.sum(-1).to(rows.dtype)
            target = (target - share[..., None, None]) * class_mask[..., None, :]
        left = target - rows @ mean.mT
        if self.mean is not None:  # rows of other classes tell nothing of a class without a row
            left = left * ((target * weight[..., None]).sum(-2, keepdim=True) > 0)
        u, _ = ridge(rows * deviation * root, left * root)
        layer = _layer(self.log_scale.exp() * (mean + deviation * u.mT))
        return layer if self.bias is None else layer | {"bias": layer["bias"] + self.bias}


class LogisticHead(PosteriorHead):
    """Two shared classes: weights of the logit of the second over the first have a Gaussian prior.

    Each of ``n_steps`` is a ridge regression, whose weights of rows are those of a Gaussian bound on the
    likelihood (Jaakkola & Jordan, 2000), so that no step goes too far. Log losses of new rows, where logits
    are N(5, 9) over tasks and 10 rows of each are known: .161 by numeric integration, .163 by this bound, .62
    by four Newton steps on expected residuals and curvatures. After training, a task of more rows than
    ``FEW_ROWS`` is solved by ``n_more_steps`` of Newton's besides, damped (Sun & Tran-Dinh, 2019) and on
    expected curvatures (Opper & Archambeau, 2009), since steps by the bound are short where a class is rare:
    of 1,000 rows, logits N(5, 1), .0557 by the bound alone, .0543 exactly and with them.
    """

    opened = 3.3

    def __init__(self, n_features, n_steps=4, n_more_steps=8):
        super().__init__()
        self.log_precision = nn.Parameter(torch.zeros(n_features + 1))
        self.mean = nn.Parameter(torch.zeros(1, n_features + 1))
        self.n_steps, self.n_more_steps = n_steps, n_more_steps

    def left_out(self, features, y, weight):
        """Logits ``(n_rows, 2)`` of each row of one task by the others: by the bound of all rows, nearly."""
        rows, y, weight = self._exact(features, y, weight)
        x, before = rows * (-self.log_precision / 2).exp(), rows @ self.mean[0].to(rows)
        u, spread, t, curvature = self._by_bound(x, before, y.to(rows.dtype) - 0.5, weight, self.n_more_steps)
        left, variance = without_itself(t, (x @ u)[:, 0], variance_along(x, spread), weight, curvature)
        logit = moderated(before + left, variance)
        return torch.stack([-logit / 2, logit / 2], -1)

    def _layer(self, rows, y, weight, n_way, class_mask):
        mean, deviation = self.mean.to(rows), (-self.log_precision / 2).exp()
        x, before, target = rows * deviation, rows @ mean[0], y.to(rows.dtype) - 0.5
        u, spread, *_ = self._by_bound(x, before, target, weight, self.n_steps)
        if not self.training and _may_be_many(weight):
            u, spread = self._more_steps(x, before, target, weight, u, spread)
        # A layer has an output for each class: half of the logit is taken from the first.
        weights = x.new_tensor([[-0.5], [0.5]]) * (mean + (deviation * u[..., 0])[..., None, :])
        spread = spread[..., None, :, :].expand(*weights.shape, spread.shape[-1])
        return _layer(weights, deviation=deviation.expand_as(weights), spread=spread)

    @staticmethod
    def _by_bound(x, before, target, weight, n_steps):
        """Mean and spread of ``u``, and the targets and curvatures of rows by which they are a ridge's."""
        f, variance = before, x.square().sum(-1)
        for _ in range(n_steps):
            size = (f.square() + variance).clamp_min(LEAST_SQUARE).sqrt()
            curvature = (size / 2).tanh() / (2 * size)
            t = target / curvature - before
            u, spread = weighted_ridge(x, t, weight, curvature)
            f, variance = before + (x @ u)[..., 0], variance_along(x, spread)
        return u, spread, t, curvature

    def _more_steps(self, x, before, target, weight, u, spread):
        are_many = (weight.sum(-1) > FEW_ROWS)[..., None, None]
        for _ in range(self.n_more_steps):
            f, shrinkage = before + (x @ u)[..., 0], _shrinkage(variance_along(x, spread))
            p = (f * shrinkage).sigmoid()
            curvature = (p * (1 - p) * shrinkage).clamp_min(FLAT)
            t = f - before + (target + 0.5 - p) / curvature
            aim, narrower = weighted_ridge(x, t, weight, curvature)
            u = torch.where(are_many, u + damping(x, aim - u, weight) * (aim - u), u)
            spread = torch.where(are_many, narrower, spread)
        return u, spread


def _may_be_many(weight):
    """Whether the rows of some task may count as more than ``FEW_ROWS``.

    Under ``vmap``, which shows no numbers, few rows are taken to count as few.
    """
    n_rows = weight.shape[-1]
    try:
        return n_rows > FEW_ROWS or (n_rows > 0 and bool((weight.sum(-1) > FEW_ROWS).any()))
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        return False


def _first_rows(y, weight, n_way):
    """Number of the first row of each class, ``(..., n_way)``; that of all rows where it has none."""
    n_rows = y.shape[-1]
    member = nn.functional.one_hot(y, n_way).bool() & (weight > 0)[..., None]
    number = torch.arange(n_rows, device=y.device)[:, None]
    return torch.where(member, number, n_rows).amin(-2)
