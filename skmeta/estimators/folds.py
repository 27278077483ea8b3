"""How long to train, and how sure to be: by folds of tasks, since few can be spared to be held out."""

import copy
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from skmeta.core.calibration import best_factor, log_likelihoods
from skmeta.engine import HeldOutScores, meta_train
from skmeta.estimators.training import make_sources, split_rows, started


class Gain(NamedTuple):
    """What meta-training was worth to tasks that had no say in when it stops.

    Attributes
    ----------
    start, kept : float
        Mean log likelihood of a query row by the start, and by the state that the other folds chose.
    difference : float
        What the latter gains.
    task_interval : float
        Half of its 95 % interval over tasks.
    """

    start: float
    kept: float
    difference: float
    task_interval: float


class Choice(NamedTuple):
    """What folds of tasks say of a training by all of them.

    Attributes
    ----------
    n_steps : int
        Outer steps after which held-out tasks are answered best; 0 is the start.
    scores : list of float
        Mean log likelihood of held-out tasks at each epoch, calibrated.
    calibration : float
        How sure to be then: of ``core.calibration``.
    gain : Gain or None
        None of a single fold, which chose.
    """

    n_steps: int
    scores: list
    calibration: float
    gain: Gain | None

    def __str__(self):
        told = f"Folds of tasks choose {self.n_steps} outer steps"
        if self.gain is None:
            return f"{told}."
        gain = f"{self.gain.difference:+.3g} ± {self.gain.task_interval:.2g}"
        return f"{told}; held-out tasks gain {gain} of log likelihood over the start, {self.gain.start:.3g}."


def choose_by_folds(estimator, tasks, plan, n_folds, seed, device):
    """The ``Choice``: tasks of each fold are answered by what the others taught.

    A single fold is of those tasks that early stopping would hold out.
    """
    scores, n_held, counts = [], 0, [None] * estimator.max_iter
    for training_rows, held_rows in _parts(estimator, tasks, plan, n_folds, seed):
        of_fold, counts = _scores_of(
            estimator, tasks, copy.copy(plan), training_rows, held_rows, seed, device, len(counts)
        )
        scores.append(of_fold)
        n_held += len(np.unique(tasks.task[held_rows]))
    scores = [of_fold[: 1 + len(counts)] for of_fold in scores]
    least = estimator.tol if plan.start_suffices else None
    gain = _gain(scores, n_held, least) if n_folds > 1 else None
    scores = torch.cat(scores, 1)
    best = best_look(scores, n_held, least)
    values = scores.mean(1)
    return Choice(sum(counts[:best]), values.amax(1)[1:].tolist(), best_factor(values[best]), gain)


def best_look(scores, n_tasks, least):
    """The look whose scores ``(n_looks, n_episodes, n_factors)`` are best, each by its best factor.

    The first one is of the start. It is only left for one that is better by more than ``least`` and half a
    standard error: its score is not the best of many, as that of a later state is. If ``least`` is None, it
    is left in any case.
    """
    if len(scores) == 1:
        return 0
    values, factors = scores.mean(1).max(1)
    best = 1 + int(values[1:].argmax())
    gain = scores[best, :, factors[best]] - scores[0, :, factors[0]]
    return best if least is None or gain.mean() > max(least, gain.std() / n_tasks**0.5 / 2) else 0


def _gain(scores, n_tasks, least):
    """The ``Gain`` by what each fold chooses for the tasks of another one."""
    pairs = []
    for i, asked in enumerate(scores):
        others = torch.cat([*scores[:i], *scores[i + 1 :]], 1)
        best = best_look(others, n_tasks * (1 - 1 / len(scores)), least)
        factors = others.mean(1).argmax(1)
        pairs.append(torch.stack([asked[look, :, factors[look]] for look in (0, best)]))
    start, kept = torch.cat(pairs, 1).double()
    gain = kept - start
    half = 1.96 * gain.std().item() / n_tasks**0.5
    return Gain(start.mean().item(), kept.mean().item(), gain.mean().item(), half)


def _parts(estimator, tasks, plan, n_folds, seed):
    """Pairs of rows to train on and rows to answer."""
    if n_folds == 1:
        return [split_rows(estimator, tasks, plan, seed)]
    ids = np.random.default_rng(seed).permutation(np.unique(tasks.task[plan.rows]))
    are_held = [np.isin(tasks.task[plan.rows], part) for part in np.array_split(ids, n_folds)]
    return [(plan.rows[~held], plan.rows[held]) for held in are_held]


def _scores_of(estimator, tasks, plan, training_rows, held_rows, seed, device, most_epochs):
    """Scores of the held-out rows before the first step and after each epoch, and the steps of each epoch."""
    held_out = HeldOutScores(partial(log_likelihoods, plan.loss), estimator.n_iter_no_change)
    # Callbacks of the user are for the training that is kept.
    twin = copy.copy(estimator).set_params(early_stopping=False, callbacks=[("held_out", held_out)])
    plan.learn(training_rows)
    network, rows = started(twin, tasks, plan, training_rows, seed, device)
    steps = range(twin.max_iter)
    training, held_out.source = make_sources(
        twin, network, rows, tasks, plan, training_rows, held_rows, seed, steps
    )
    meta_train(network.net, training, None, seed, most_epochs)
    n_epochs = len(held_out.scores_) - 1  # the last one may have been interrupted
    counts = [row["train_batch_count"] for row in network.net.history[:n_epochs]]
    return torch.stack(held_out.scores_), counts
