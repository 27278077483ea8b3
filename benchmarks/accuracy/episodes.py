"""Which tasks are for development and which are final, and the episodes of either."""

from typing import NamedTuple

import numpy as np

from skmeta.tasks.scored import draw_scored

FINAL = 0.4
N_FOLDS = 3
# Of fewer tasks, all are final ones in turn, once what is compared is frozen.
FEW_TASKS = 60
FINAL_FOLDS, N_REPEATS = 5, 2


class Episode(NamedTuple):
    """Numbers of its rows, of all tasks one after another, and of its task."""

    task: int
    support: np.ndarray
    query: np.ndarray


def split(tasks):
    """Numbers of the development tasks and of the final ones; those that are known are for development."""
    families = np.array([task.family for task in tasks])
    known = {family for family, task in zip(families, tasks, strict=True) if task.known}
    unknown = [family for family in np.unique(families) if family not in known]
    n_final = min(len(unknown), round(FINAL * len(set(families))))
    final = np.isin(families, np.random.RandomState(0).permutation(unknown)[:n_final])
    return np.flatnonzero(~final), np.flatnonzero(final)


def folds(tasks, numbers, n_folds=N_FOLDS, seed=1):
    """Pairs of the numbers of training tasks and of held-out ones; families stay together."""
    families = np.array([tasks[i].family for i in numbers])
    order = np.random.RandomState(seed).permutation(np.unique(families))
    return [
        (numbers[~held], numbers[held])
        for held in (np.isin(families, order[fold::n_folds]) for fold in range(n_folds))
    ]


def final_parts(tasks):
    """Pairs of the numbers of training tasks and of final ones; of few tasks, all are final in turn."""
    if len(tasks) >= FEW_TASKS:
        return [split(tasks)]
    return [
        pair for seed in range(N_REPEATS) for pair in folds(tasks, np.arange(len(tasks)), FINAL_FOLDS, seed)
    ]


def draw(study, cell, tasks):
    """The episodes of a cell, the same for every method."""
    labels = [task.y for task in tasks]
    if study.kind == "per_task":  # one task of all classes
        labels = [np.concatenate(labels)]
    if cell.draw == "time":
        return list(_first_rows(tasks, cell.n_shot))
    drawn = draw_scored(
        [(np.zeros((len(y), 1)), y) for y in labels],
        regression=study.kind == "regression",
        natural=cell.draw == "natural",
        own_classes=study.kind == "per_task",
        n_shot=cell.n_shot,
        seed=0,
        n_episodes=study.n_draws * len(labels),
        n_way=study.n_way,
        n_query=study.n_query,
    )
    return [Episode(int(i), *rows) for i, rows in zip(drawn.task, drawn.rows, strict=True)]


def _first_rows(tasks, n_shot):
    first = 0
    for i, task in enumerate(tasks):
        order = first + np.argsort(task.time, kind="stable")
        yield Episode(i, order[:n_shot], order[n_shot:])
        first += len(order)
