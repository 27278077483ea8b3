"""Targets of a regression: the level and the scale that bring a task's targets to the order of one.

Tasks may differ in both by factors of a million, and a few support rows tell little of either. So both
are estimated by empirical Bayes: the fewer the rows, and the more alike the tasks, the closer to what
the tasks have in common.
"""

import torch

# A standard deviation of less than this share of the mean is rounding.
ROUNDING = 1e-12
# Deviation of a normal variable in units of its median absolute deviation.
MAD_OF_NORMAL = 1.4826
# Largest variances over tasks of the scale's logarithm, and of the level in units of the scale, of tasks that
# are alike.
ALIKE, LEVELS_ALIKE = 1.0, 1e4


def moments(y, weight):
    """Rows, mean and variance ``(..., n_outputs)`` of a task's targets ``(..., n_rows, n_outputs)``."""
    n = weight.sum(-1, keepdim=True).to(y.dtype)
    mean = (y * weight[..., None]).sum(-2) / n.clamp_min(torch.finfo(y.dtype).tiny)  # no rows: any will do
    variance = ((y - mean[..., None, :]).square() * weight[..., None]).sum(-2) / (n - 1).clamp_min(1)
    return n.expand_as(mean), mean, variance


def robust_moments(y, weight):
    """The same, of which few targets unlike the others tell little: median and median absolute deviation."""
    n = weight.sum(-1, keepdim=True).to(y.dtype)
    weight = weight[..., None].expand_as(y)
    median = _weighted_median(y, weight)
    size = (y - median[..., None, :]).abs()
    deviation = _weighted_median(size, weight)
    # If half of the targets or more are the same, that is zero: then by the others, if they are two or more.
    differs = weight * (size > 0)
    several = (differs > 0).sum(-2) > 1
    of_others = _weighted_median(size, differs, lower=True).where(several, torch.zeros_like(median))
    deviation = MAD_OF_NORMAL * torch.where(deviation > 0, deviation, of_others)
    return n.expand_as(median), median, deviation.square()


def _weighted_median(values, weight, lower=False):
    """Of values ``(..., n_rows, n_outputs)``, each of so much weight; zero of no rows.

    Where two are in the middle, their mean, or the ``lower`` one.
    """
    if values.shape[-2] == 0:
        return values.new_zeros(*values.shape[:-2], values.shape[-1])
    values, order = torch.where(weight > 0, values, torch.inf).sort(-2)
    share = weight.gather(-2, order).cumsum(-2)
    half = share[..., -1:, :] / 2
    # Between the two values at which half of the weight is reached and passed: both, of an even number.
    reached, passed = ((share < half).sum(-2), (share <= half).sum(-2).clamp_max(values.shape[-2] - 1))
    both = [values.gather(-2, i[..., None, :])[..., 0, :] for i in (reached, reached if lower else passed)]
    return torch.stack(both).mean(0).where(half[..., 0, :] > 0, 0.0)


class TargetScaler:
    """Level and scale of a task's targets, from its support set and from what all tasks have in common.

    The logarithm of the scale, and the level in units of the scale, are taken to be normal over the
    tasks. With few rows, or tasks that are alike, a task's estimate is drawn to their mean; with tasks
    that differ by orders of magnitude, it is its own.

    Parameters
    ----------
    n, mean, variance : tensors of shape (n_tasks, n_outputs)
        ``moments`` of the tasks, in double precision.
    of_task : callable
        ``moments`` or ``robust_moments``: what they are.

    References
    ----------
    R. DerSimonian, N. Laird, Meta-analysis in clinical trials, 1986, for the variance between tasks.
    G. K. Smyth, Linear models and empirical Bayes methods, 2004, for the logarithm of a variance.
    """

    def __init__(self, n, mean, variance, of_task=moments):
        self.of_task = of_task
        log_scale, noise, known = _log_scale(n, mean, variance)
        self.log_scale = _mean_and_variance(log_scale, noise, known)
        _, scale = self.from_moments(n, mean, variance, levels=False)
        self.level = _mean_and_variance(mean / scale, 1 / n, torch.ones_like(known))

    def __call__(self, y, weight):
        """Level and scale, both ``(..., n_outputs)``, of a task's targets ``(..., n_rows, n_outputs)``."""
        return self.from_moments(*self.of_task(y, weight))

    def from_moments(self, n, mean, variance, levels=True):
        """Level, or None, and scale of tasks whose moments have the shape ``(..., n_outputs)``."""
        log_scale, noise, known = _log_scale(n, mean, variance)
        scale = _drawn(torch.where(known, log_scale, self.log_scale[0]), noise, *self.log_scale).exp()
        return scale * _drawn(mean / scale, 1 / n, *self.level) if levels else None, scale


class CommonScale:
    """One level and one scale for all tasks, where a head knows how these differ; as ``TargetScaler``."""

    def __init__(self, n, mean, variance):
        total = n.sum(0)
        self.level = (n * mean).sum(0) / total
        squares = (n - 1).clamp_min(1) * variance + n * (mean - self.level).square()
        scale = (squares.sum(0) / total).sqrt()
        self.scale = scale.where(scale > ROUNDING * self.level.abs(), torch.ones_like(scale))

    def __call__(self, y, weight):
        """Level and scale, both ``(..., n_outputs)``."""
        shape = *y.shape[:-2], y.shape[-1]
        return self.level.expand(shape), self.scale.expand(shape)

    def from_moments(self, n, mean, variance):
        """Level and scale of tasks whose moments have the shape ``(..., n_outputs)``."""
        return self.level.expand(mean.shape), self.scale.expand(mean.shape)


class AsTheyAre:
    """No level and a scale of one, where targets are rates; as ``TargetScaler``."""

    def __call__(self, y, weight):
        """Level and scale, both ``(..., n_outputs)``."""
        return self.from_moments(None, y.new_zeros(*y.shape[:-2], y.shape[-1]), None)

    def from_moments(self, n, mean, variance):
        """Level and scale of tasks whose moments have the shape ``(..., n_outputs)``."""
        return torch.zeros_like(mean), torch.ones_like(mean)


def are_alike(scaler):
    """Whether the tasks of a ``TargetScaler`` differ so little that one level and scale suit them all."""
    return bool((scaler.log_scale[1] < ALIKE).all() and (scaler.level[1] < LEVELS_ALIKE).all())


def _log_scale(n, mean, variance):
    """Unbiased logarithm of the standard deviation, the variance of that, and where it is known."""
    known = (n > 1) & (variance.sqrt() > ROUNDING * mean.abs())
    half = (n - 1).clamp_min(1) / 2
    log_scale = (variance.where(known, torch.ones_like(mean)).log() - half.digamma() + half.log()) / 2
    return log_scale, torch.polygamma(1, half) / 4, known


def _mean_and_variance(values, noise, known):
    """Mean over the tasks and variance between them, of values with variance ``noise``; zero if none."""
    weight = known / noise
    total = weight.sum(0).clamp_min(torch.finfo(values.dtype).tiny)
    mean = (weight * values).sum(0) / total
    excess = (weight * (values - mean).square()).sum(0) - known.sum(0) + 1
    spare = (total - weight.square().sum(0) / total).clamp_min(torch.finfo(values.dtype).tiny)
    variance = torch.where(known.sum(0) > 1, (excess / spare).clamp_min(0), 0.0)
    # With tasks that differ much, all count alike: the surest ones alone would not be typical.
    weight = known / (noise + variance)
    mean = (weight * values).sum(0) / weight.sum(0).clamp_min(torch.finfo(values.dtype).tiny)
    return mean, variance


def _drawn(value, noise, mean, variance):
    """``value`` drawn to ``mean``: the posterior mean of a normal."""
    return mean + variance / (variance + noise) * (value - mean)
