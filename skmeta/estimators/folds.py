"""How long to train, and how sure to be: by folds of tasks, since few can be spared to be held out."""

import copy
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import t

from skmeta.core.calibration import best_factor, log_likelihoods
from skmeta.engine import HeldOutScores, is_surely_better, meta_train
from skmeta.estimators.auto import N_CENTERS, may_have_kernel
from skmeta.estimators.training import make_sources, split_rows, started


class Gain(NamedTuple):
    """What meta-training was worth to tasks that had no say in when it stops.

    Attributes
    ----------
    start, kept : float
        Mean log likelihood of a query row by the start, and by the state that the other folds chose; of
        targets in units of their scale.
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
        What ``core.calibration`` then does to all answers.
    gain : Gain or None
        None of a single fold, which chose.
    n_centers : int
        Of the kernel of the start; 0 if none is better.
    """

    n_steps: int
    scores: list
    calibration: float
    gain: Gain | None
    n_centers: int

    def __str__(self):
        kernel = "a start with a kernel and " if self.n_centers else ""
        told = f"Folds of tasks choose {kernel}{self.n_steps} outer steps"
        if self.gain is None:
            return f"{told}."
        gain = f"{self.gain.difference:+.3g} ± {self.gain.task_interval:.2g}"
        return f"{told}; held-out tasks gain {gain} of log likelihood over the start, {self.gain.start:.3g}."


class Fold(NamedTuple):
    """What the tasks of a fold say.

    Attributes
    ----------
    scores : Tensor of shape (n_looks, n_episodes, n_factors)
        Before the first step and after each epoch.
    task : int array of shape (n_episodes,)
        The task of each episode.
    counts : list of int
        Steps of each epoch.
    is_whole : bool
        False if Ctrl-C ended it.
    learner : MetaLearner
        What answered last.
    """

    scores: torch.Tensor
    task: np.ndarray
    counts: list
    is_whole: bool
    learner: torch.nn.Module


def choose_by_folds(estimator, tasks, plan, n_folds, seed, device):
    """The ``Choice``: tasks of each fold are answered by what the others taught.

    A single fold is of those tasks that early stopping would hold out. Ctrl-C ends the folds: those that are
    whole choose, or if none is, what there is of the first one.
    """
    folds, parts = [], _parts(estimator, tasks, plan, n_folds, seed)
    plan.n_centers, starts = _choose_centers(estimator, tasks, plan, parts, seed, device)
    for part, start in zip_longest(parts, starts):
        # Looks that another fold has not had cannot be compared.
        steps = range(sum(folds[-1].counts) if folds else estimator.max_iter)
        fold = _fold(estimator, tasks, replace(plan), *part, seed, device, steps, start)
        if fold.is_whole or not folds:
            folds.append(fold)
        if not fold.is_whole:
            break
    counts = folds[-1].counts
    scores = [fold.scores[: 1 + len(counts)] for fold in folds]
    least = estimator.tol if plan.start_suffices else None
    gain = _gain(scores, [fold.task for fold in folds], least) if len(folds) > 1 else None
    scores = torch.cat(scores, 1)
    best = best_look(scores, _n_tasks(folds), least)
    values = scores.mean(1)
    validation = values.amax(1)[1:].tolist()
    return Choice(sum(counts[:best]), validation, best_factor(values[best]), gain, plan.n_centers)


def _choose_centers(estimator, tasks, plan, parts, seed, device):
    """Centers of the start's kernel, and learners with such a start, of the first parts.

    There are none, unless held-out tasks are surely answered better with them. They must be so after each
    fold: where the first one says no, the others are not asked, to save time.
    """
    if not may_have_kernel(estimator, plan, tasks):
        return 0, []
    folds = {0: [], N_CENTERS: []}
    for part in parts:
        for n_centers, found in folds.items():
            twin = replace(plan, n_centers=n_centers)
            found.append(_fold(estimator, tasks, twin, *part, seed, device, range(0)))
        looks = torch.cat([torch.cat([fold.scores for fold in found], 1) for found in folds.values()])
        chosen = N_CENTERS if best_look(looks, _n_tasks(folds[0]), estimator.tol) else 0
        if not chosen:
            break
    return chosen, [fold.learner for fold in folds[chosen]]


def _n_tasks(folds):
    """Tasks that the folds answer."""
    return sum(len(np.unique(fold.task)) for fold in folds)


def best_look(scores, n_tasks, least):
    """The look whose scores ``(n_looks, n_episodes, n_factors)`` are best, each by its best factor.

    The first one is of the start. It is only left for one that ``is_surely_better``, by ``least`` or more; if
    that is None, in any case.
    """
    if len(scores) == 1:
        return 0
    values, factors = scores.mean(1).max(1)
    best = 1 + int(values[1:].argmax())
    gain = scores[best, :, factors[best]] - scores[0, :, factors[0]]
    return best if least is None or is_surely_better(gain, n_tasks, least) else 0


def _gain(scores, task, least):
    """The ``Gain`` by what each fold chooses for the tasks of another one."""
    pairs = []
    for i, asked in enumerate(scores):
        others = torch.cat([*scores[:i], *scores[i + 1 :]], 1)
        n_others = sum(len(np.unique(ids)) for ids in [*task[:i], *task[i + 1 :]])
        best = best_look(others, n_others, least)
        factors = others.mean(1).argmax(1)
        pairs.append(torch.stack([asked[look, :, factors[look]] for look in (0, best)]))
    start, kept = torch.cat(pairs, 1).double().numpy()
    _, number, n_episodes = np.unique(np.concatenate(task), return_inverse=True, return_counts=True)
    of_tasks = np.bincount(number, kept - start) / n_episodes
    half = t.ppf(0.975, len(of_tasks) - 1) * of_tasks.std(ddof=1) / len(of_tasks) ** 0.5
    return Gain(*map(float, (start.mean(), kept.mean(), (kept - start).mean(), half)))


def _parts(estimator, tasks, plan, n_folds, seed):
    """Pairs of rows to train on and rows to answer."""
    if n_folds == 1:
        return [split_rows(estimator, tasks, plan, seed)]
    ids = np.random.default_rng(seed).permutation(np.unique(tasks.task[plan.rows]))
    are_held = [np.isin(tasks.task[plan.rows], part) for part in np.array_split(ids, n_folds)]
    return [(plan.rows[~held], plan.rows[held]) for held in are_held]


def _fold(estimator, tasks, plan, training_rows, held_rows, seed, device, steps, start=None):
    """The ``Fold`` of the held-out rows, of those outer steps or fewer; ``start`` as ``started`` takes it."""
    score = partial(log_likelihoods, plan.loss)
    held_out = HeldOutScores(score, estimator.n_iter_no_change, estimator.tol, plan.start_suffices)
    verbose = estimator.verbose if len(steps) else 0  # no progress bar of no step
    callbacks = [("held_out", held_out)]
    twin = copy.copy(estimator).set_params(early_stopping=False, callbacks=callbacks, verbose=verbose)
    plan.learn(training_rows)
    network, rows = started(twin, tasks, plan, training_rows, seed, device, start)
    training, held_out.source = make_sources(
        twin, network, rows, tasks, plan, training_rows, held_rows, seed, steps
    )
    meta_train(network.net, training, None, seed)
    n_epochs = len(held_out.scores_) - 1  # the last one may have been interrupted
    counts = [row["train_batch_count"] for row in network.net.history[:n_epochs]]
    is_whole = held_out.is_done_ or sum(counts) == len(steps)
    numbers = held_out.source.tasks(network.net.batch_size)
    task = np.unique(tasks.task[held_rows])[numbers]
    return Fold(torch.stack(held_out.scores_), task, counts, is_whole, network.net.module_)
