"""Means of scores and the 95 % intervals around them."""

import numpy as np
from scipy.stats import t


def episode_interval(scores):
    """Half the width of the interval of the mean of ``(..., n_episodes)`` scores, as published.

    ``1.96 * std / sqrt(n_episodes)``: it takes the episodes for independent.
    """
    return 1.96 * scores.std(axis=-1, ddof=1) / np.sqrt(scores.shape[-1])


def task_interval(scores, task):
    """Half the width of the interval of the mean, with tasks, not episodes, as what is independent.

    The cluster-robust standard error (Liang & Zeger, 1986), times Student's t of ``n_tasks - 1`` degrees of
    freedom; for as many episodes of each task it is the interval of the tasks' means. NaN for one task.

    Parameters
    ----------
    scores : ndarray of shape (..., n_episodes)
    task : int ndarray of shape (n_episodes,)
        Number of each episode's task, in order.
    """
    first = np.flatnonzero(np.diff(task, prepend=-1))
    n_tasks = len(first)
    if n_tasks < 2:
        return np.full(scores.shape[:-1], np.nan)[()]
    sums = np.add.reduceat(scores - scores.mean(axis=-1, keepdims=True), first, axis=-1)
    error = np.sqrt(n_tasks / (n_tasks - 1) * (sums**2).sum(axis=-1)) / scores.shape[-1]
    return t.ppf(0.975, n_tasks - 1) * error
