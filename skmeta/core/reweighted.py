"""Posterior heads of a regression whose noise is not normal: a few steps of weighted ridge regression."""

import math

import torch

from skmeta.core.posterior import GaussianHead
from skmeta.core.regression_losses import within
from skmeta.core.ridge import damping, variance_along, weighted_ridge

N_STEPS = 8
# Of a quantile: first to the median, then on; each step leaves |2 q - 1| of what is far. With 4 and 16 steps,
# quantiles of .2, .9 and .95 of 300 rows had .197, .897 and .94 below them, with 0 and 16 .17, .96 and 1.
TO_THE_MEDIAN, FROM_THE_MEDIAN, IS_LEFT = 4, 16, 0.05


class ReweightedHead(GaussianHead):
    """A loss of ``regression_losses`` of the residual: the posterior of its nearest normal noise.

    A row's weight is the curvature of the parabola above its loss, at the expected square of its residual:
    of what is known of it before, and what the task adds. So a row that is far from all others counts little.
    """

    starts_from_whole_tasks = False

    def __init__(self, n_features, n_outputs, loss):
        super().__init__(n_features, n_outputs)
        self.loss = loss

    def _layer(self, *args):
        layer = super()._layer(*args)
        if self.loss.has_variance:
            return layer
        return {name: layer[name] for name in ("weight", "bias")}

    def calibrated(self, layer):
        """Deviations are multiplied by the factor, if there are any."""
        return super().calibrated(layer) if self.loss.has_variance else layer

    def _steps(self):
        """Whether each step is to a shifted target."""
        if self.loss.has_variance:
            return [False] * N_STEPS
        of_each = abs(2 * self.loss.quantile - 1)
        n_steps = math.log(IS_LEFT) / math.log(of_each) if of_each else 0
        return [False] * TO_THE_MEDIAN + [True] * max(FROM_THE_MEDIAN, math.ceil(n_steps))

    def _posterior(self, x, before, y, weight):
        precision, t = 1 / self.noise[:, None], y - before
        f, variance = torch.zeros_like(t), x.square().sum(-1)
        for shifts in self._steps():
            square = ((t - f).square() + variance) * precision
            aim = t + self.loss.shift(square) / precision.sqrt() if shifts else t
            u, spread = weighted_ridge(x, aim, weight, precision * self.loss.curvature(square))
            f, variance = (x @ u)[..., 0], variance_along(x, spread)
        return u, spread


class PoissonHead(GaussianHead):
    """Counts, by the logarithms of their rates; noise is what rates vary by from row to row.

    Newton's steps on expected rates (Opper & Archambeau, 2009), from the logarithms of the targets on, damped
    by the largest change of a row's logarithm (Sun & Tran-Dinh, 2019). The constant of all tasks starts at
    ``log_rate``.
    """

    starts_from_whole_tasks = False

    def __init__(self, n_features, n_outputs, log_rate):
        super().__init__(n_features, n_outputs)
        self.mean.data[:, -1] = log_rate

    def _posterior(self, x, before, y, weight):
        noise = self.noise[:, None]
        rate = y + 0.5
        u, spread = weighted_ridge(x, rate.log() - before, weight, rate / (1 + noise * rate))
        for _ in range(N_STEPS):
            f = before + (x @ u)[..., 0]
            rate = within(f + (variance_along(x, spread) + noise) / 2).exp()
            t, curvature = f - before + (y - rate) / rate, rate / (1 + noise * rate)
            aim, spread = weighted_ridge(x, t, weight, curvature)
            u = u + damping(x, aim - u, weight) * (aim - u)
        return u, spread
