"""How the outputs of a regression are read: as scaled targets, or as logarithms of rates."""

import numpy as np
import torch
from scipy.stats import nbinom, norm

from skmeta.core.regression_losses import MOST_LOG_RATE, within

# Least variance of counts beyond that of a Poisson distribution, in units of it.
LEAST_EXCESS = 1e-6


class ScaledTargets:
    """Outputs are targets, less a level and over a scale; answers are normal."""

    # Whether what is predicted depends on the variance of an answer.
    reads_variance = False

    def check(self, y, where=""):
        """Targets may be any number."""

    def means(self, answers):
        """What ``values`` takes of answers, a dict of arrays of shape (n_rows, n_outputs)."""
        return answers["outputs"]

    def values(self, means, level, scale):
        return level + scale * means

    def deviations(self, answers, values, scale):
        return scale * np.sqrt(answers["variance"])

    def interval(self, values, deviations, coverage):
        """Pair of ends."""
        half = norm.ppf((1 + coverage) / 2) * deviations
        return values - half, values + half


class Rates:
    """Outputs are logarithms of rates, which are log-normal; targets are counts by them."""

    reads_variance = True

    def check(self, y, where=""):
        """Raise ValueError for targets below zero."""
        if (y < 0).any():
            raise ValueError(
                f"{where}y must be 0 or more with loss='poisson'; got {y.min():g}. Use another loss, such as "
                "'squared_error', for targets that may be negative."
            )

    def means(self, answers):
        if "variance" not in answers:
            return answers["outputs"]
        return answers["outputs"] + _bounded_variance(answers) / 2

    def values(self, means, level, scale):
        return within(torch.as_tensor(means)).exp().numpy()

    def deviations(self, answers, values, scale):
        """Of counts: of their rate, and by it."""
        return np.sqrt(values + values**2 * np.expm1(_bounded_variance(answers)))

    def interval(self, values, deviations, coverage):
        """Whole numbers beyond each of which counts are as improbable, at most."""
        excess = np.maximum(deviations**2 - values, LEAST_EXCESS * values)
        counts = nbinom(values**2 / excess, values / (values + excess))
        return counts.ppf((1 - coverage) / 2), counts.ppf((1 + coverage) / 2)


def _bounded_variance(answers):
    """Variances of logarithms of rates, as the loss bounds them."""
    return answers["variance"].clip(max=MOST_LOG_RATE)
