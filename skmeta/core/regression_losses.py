"""Losses of a regression: what an output costs, and how likely a target is.

Each is called as a task loss, ``loss(outputs, y, weight)`` with outputs and targets of shape
``(..., n_rows, n_outputs)``: the weighted mean over rows of the mean over outputs, which is never negative.
Where outputs have a variance, ``surprise`` is the negative log likelihood of targets.

A loss that grows more slowly than the square of a residual has a parabola above it, which touches it at that
residual and at its negative. ``curvature`` is that of the parabola, as a share of the squared error's. A few
ridge regressions that are so weighted minimise the loss (Hunter & Lange, A tutorial on MM algorithms, 2004).
"""

import math
from dataclasses import dataclass

import torch
from torch.special import ndtr

from skmeta.core.losses import weighted_mean

# Where the loss of a residual turns from its square to its size, in deviations: 95 % efficient with normal
# noise (Huber, Robust statistics, 1981).
THRESHOLD = 1.345
# Least square of a residual whose size is divided by, in units of the noise's variance.
LEAST_SQUARE = 1e-4
# Least variance of a logarithm of a rate, and largest size of both: rates stay finite.
LEAST_VARIANCE, MOST_LOG_RATE = 1e-6, 30.0


def _curvature_of_size(square):
    """Of the parabola above the size of a residual."""
    return (2 / square.clamp_min(LEAST_SQUARE)).sqrt()


class RegressionLoss:
    """Base of them."""

    # Whether a task's level and scale must not depend on a few targets unlike the others.
    is_robust = False
    # Whether outputs are logarithms of rates.
    of_rates = False
    # Whether outputs have a variance.
    has_variance = True

    def __call__(self, outputs, y, weight):
        return weighted_mean(self.of_outputs(outputs, y).mean(-1), weight)

    def surprise(self, mean, variance, y, weight):
        """The same of the negative log likelihood; ``mean`` and ``variance`` have the shape of ``y``."""
        return weighted_mean(self.of_answers(mean, variance, y).mean(-1), weight)


@dataclass(frozen=True)
class SquaredError(RegressionLoss):
    """The square of a residual: of normal noise."""

    def of_outputs(self, outputs, y):
        return (outputs - y).square()

    def of_answers(self, mean, variance, y):
        return ((y - mean).square() / variance + (2 * math.pi * variance).log()) / 2


@dataclass(frozen=True)
class Huber(RegressionLoss):
    """Half of the square of a small residual, and the size of a large one, as far as ``THRESHOLD``."""

    is_robust = True

    def of_outputs(self, outputs, y):
        return _huber(outputs - y)

    def of_answers(self, mean, variance, y):
        deviation = variance.sqrt()
        return _huber((y - mean) / deviation) + deviation.log() + _log_total_of_huber()

    def curvature(self, square):
        return THRESHOLD / square.clamp_min(THRESHOLD**2).sqrt()


def _huber(residual):
    size = residual.abs()
    inside = size.clamp_max(THRESHOLD)
    return inside * (size - inside / 2)


def _log_total_of_huber():
    """Logarithm of the integral of ``exp(-loss)``."""
    inside = math.sqrt(2 * math.pi) * (2 * ndtr(torch.tensor(THRESHOLD)).item() - 1)
    return math.log(inside + 2 * math.exp(-(THRESHOLD**2) / 2) / THRESHOLD)


@dataclass(frozen=True)
class AbsoluteError(RegressionLoss):
    """The size of a residual: of Laplace's noise, whose centre is the median."""

    is_robust = True

    def of_outputs(self, outputs, y):
        return (outputs - y).abs()

    def of_answers(self, mean, variance, y):
        return math.sqrt(2) * (y - mean).abs() / variance.sqrt() + (2 * variance).log() / 2

    def curvature(self, square):
        return _curvature_of_size(square)


@dataclass(frozen=True)
class Quantile(RegressionLoss):
    """The pinball loss, least at a ``quantile`` of the targets (Koenker & Bassett, 1978)."""

    quantile: float

    is_robust, has_variance = True, False

    def of_outputs(self, outputs, y):
        residual = y - outputs
        return torch.maximum(self.quantile * residual, (self.quantile - 1) * residual)

    def curvature(self, square):
        return _curvature_of_size(square)

    def shift(self, square):
        """What the parabola adds to a target, in deviations of the noise."""
        return (2 * self.quantile - 1) * square.clamp_min(LEAST_SQUARE).sqrt()


@dataclass(frozen=True)
class Poisson(RegressionLoss):
    """Half of the deviance of counts, or other values of 0 or more, by the logarithm of their rate.

    Where that has a variance, rates are taken to follow a gamma distribution with the mean and variance of a
    log-normal one, so that counts are negative binomial.
    """

    of_rates = True

    def of_outputs(self, outputs, y):
        log_rate = within(outputs)
        return log_rate.exp() - y * log_rate + torch.special.xlogy(y, y) - y

    def of_answers(self, mean, variance, y):
        if mean.device.type != "mps":  # which knows no doubles: logarithms of large factorials differ little
            mean, variance, y = mean.double(), variance.double(), y.double()
        variance = variance.clamp(LEAST_VARIANCE, MOST_LOG_RATE)
        log_rate, log_shape = within(mean + variance / 2), -_log_expm1(variance)
        shape = log_shape.exp()
        log_total = torch.logaddexp(log_rate, log_shape)
        log_binomial = torch.lgamma(y + shape) - torch.lgamma(shape) - torch.lgamma(y + 1)
        return (y + shape) * log_total - shape * log_shape - y * log_rate - log_binomial


def within(log_rate):
    """Logarithms of rates that are finite."""
    return log_rate.clamp(-MOST_LOG_RATE, MOST_LOG_RATE)


def _log_expm1(x):
    """``log(exp(x) - 1)`` of positive values, large ones too."""
    return x + (-torch.expm1(-x)).log()


squared_error = SquaredError()
