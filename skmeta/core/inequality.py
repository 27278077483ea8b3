"""Inequality of a vector of task losses: how unevenly the tasks are served.

Each function maps the non-negative losses of the tasks of one meta-batch, shape ``(n_tasks,)``,
to a scalar tensor that is zero when all are equal and does not change when all are scaled.
Formulas: Jamal & Qi, Task Agnostic Meta-Learning for Few-Shot Learning, CVPR 2019, section 3.2.
"""

import torch

from skmeta.parameter_rules import POSITIVE, check_value

# A share of zero would make its logarithm or power infinite, and so would its derivative.
SMALLEST_SHARE = 1e-6


def theil(losses):
    """Theil index, ``mean(r ln r)`` for shares ``r = loss / mean loss``.

    >>> import torch
    >>> round(theil(torch.tensor([1.0, 3.0])).item(), 4)
    0.1308
    """
    r = _shares(losses)
    return (r * r.log()).mean()


def generalized_entropy(losses, alpha=2.0):
    """Generalized entropy index; ``alpha=1`` is Theil's, ``alpha=0`` the mean log deviation."""
    if alpha == 1:
        return theil(losses)
    r = _shares(losses)
    if alpha == 0:
        return -r.log().mean()
    return (r**alpha - 1).mean() / (alpha * (alpha - 1))


def atkinson(losses, epsilon=1.0):
    """Atkinson index with inequality aversion ``epsilon`` > 0."""
    epsilon = check_value("atkinson", "epsilon", epsilon, [POSITIVE])
    r = _shares(losses)
    if epsilon == 1:
        return 1 - r.log().mean().exp()
    return 1 - (r ** (1 - epsilon)).mean() ** (1 / (1 - epsilon))


def gini(losses):
    """Gini coefficient: mean absolute difference of two tasks over twice the mean, by sorting."""
    r = _shares(losses).sort().values
    n = len(r)
    rank = torch.arange(1, n + 1, dtype=r.dtype, device=r.device)
    return ((2 * rank - n - 1) * r).sum() / n**2


def log_variance(losses):
    """Population variance of the logarithms of the losses."""
    return _shares(losses).log().var(correction=0)


INEQUALITIES = {
    "theil": theil,
    "gini": gini,
    "atkinson": atkinson,
    "generalized_entropy": generalized_entropy,
    "log_variance": log_variance,
}


def _shares(losses):
    """Losses over their mean, each at least ``SMALLEST_SHARE``, with mean one again."""
    if (losses < 0).any():
        raise ValueError(f"losses must be non-negative; got a minimum of {losses.min().item():g}.")
    tiny = torch.finfo(losses.dtype).tiny
    share = (losses / losses.mean().clamp_min(tiny)).clamp_min(SMALLEST_SHARE)
    return share / share.mean()
