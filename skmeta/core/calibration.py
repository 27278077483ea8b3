"""A factor by which all answers are made less sure, or more: held-out tasks tell.

Deviations are multiplied by it, and logits are divided; values without a deviation stay as they are.
"""

import math

import torch

from skmeta.core.losses import log_likelihood

# What is tried: from twice as sure, 1/2, to an eighth as sure, 8, since networks get far too sure.
QUARTERS = range(-4, 13)
FACTORS = tuple(2 ** (quarter / 4) for quarter in QUARTERS)


def log_likelihoods(loss, outcome, target):
    """Log likelihood of each task's query set by each of the ``FACTORS``: ``(n_tasks, n_factors)``."""
    are_values = target["query_y"].is_floating_point()
    tried = (log_likelihood(loss, _calibrated(outcome, factor, are_values), target) for factor in FACTORS)
    return torch.stack(list(tried), -1)


def _calibrated(outcome, factor, are_values):
    if "variance" in outcome:
        return outcome | {"variance": outcome["variance"] * factor**2}
    return outcome if are_values else outcome | {"outputs": outcome["outputs"] / factor}


def best_factor(values):
    """The factor at the top of ``values``, one for each of the ``FACTORS``: by a parabola between these.

    Where several are as good, the one next to 1.
    """
    values = [float(value) for value in values]
    i = max(range(len(values)), key=lambda j: (values[j], -abs(QUARTERS[j])))
    left, top, right = (values[j] if 0 <= j < len(values) else math.nan for j in (i - 1, i, i + 1))
    bend = left - 2 * top + right
    if not math.isfinite(bend) or bend == 0:
        return FACTORS[i]
    return FACTORS[i] * (FACTORS[1] / FACTORS[0]) ** ((left - right) / (2 * bend))
