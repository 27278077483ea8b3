"""How sure answers should be: one factor for all tasks, which held-out ones tell.

Deviations are multiplied by it, and logits are divided.
"""

import torch

from skmeta.core.losses import log_likelihood

# What is tried: from half as sure to twice as sure, and far less, since networks get too sure.
FACTORS = tuple(2 ** (quarter / 4) for quarter in range(-4, 13))


def log_likelihoods(loss, outcome, target):
    """Log likelihood of each task's query set by each of the ``FACTORS``: ``(n_tasks, n_factors)``."""
    tried = (log_likelihood(loss, _calibrated(outcome, factor), target) for factor in FACTORS)
    return torch.stack(list(tried), -1)


def _calibrated(outcome, factor):
    if "variance" in outcome:
        return outcome | {"variance": outcome["variance"] * factor**2}
    return outcome | {"outputs": outcome["outputs"] / factor}


def best_factor(values):
    """The factor at the top of ``values``, one for each of the ``FACTORS``: by a parabola between these."""
    i = int(values.argmax())
    if i in (0, len(FACTORS) - 1):
        return FACTORS[i]
    left, top, right = (float(values[j]) for j in (i - 1, i, i + 1))
    bend = left - 2 * top + right
    return FACTORS[i] * (FACTORS[1] / FACTORS[0]) ** ((left - right) / (2 * bend) if bend else 0.0)
