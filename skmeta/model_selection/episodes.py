"""Episodes to evaluate on: drawn as row numbers, whose rows are taken from the tasks a part at a time."""

from dataclasses import dataclass
from itertools import groupby, islice
from numbers import Integral
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor

# Private by name, but documented; nothing public takes rows of whatever container a task may hold.
from sklearn.utils import _safe_indexing

from skmeta.estimators.inference import NUMBERS_AT_ONCE, TASKS_AT_ONCE
from skmeta.parameter_rules import COUNT, NONE, Number, check_value
from skmeta.tasks.checks_of_episodes import check_classes, check_sizes, draw_episodes
from skmeta.tasks.rows import Tasks, is_task_list, read_tasks
from skmeta.tasks.task_list import TaskList

# What the arguments that say which episodes to draw may be.
DRAW = {
    "n_episodes": [Number(Integral, 2)],
    "n_way": [Number(Integral, 2), NONE],
    "n_shot": [COUNT],
    "n_query": [COUNT],
    "random_state": [Number(Integral, 0)],
}


class Episode(NamedTuple):
    """Rows of one episode, of the type that the user gave; ``name`` is its task in messages."""

    name: str
    X_support: object
    y_support: np.ndarray
    X_query: object
    y_query: np.ndarray


@dataclass
class Episodes:
    """Row numbers of episodes, those of a task one after another, so that each task is loaded once.

    ``codes`` numbers the class of each row among ``classes``, which is None in a regression. ``task``
    numbers the task of each episode; ``rows`` holds its ``(support, query)`` row numbers.
    """

    tasks: TaskList
    checked: Tasks
    classes: np.ndarray | None
    codes: np.ndarray
    task: np.ndarray
    rows: list

    def __iter__(self):
        """Each ``Episode``."""
        names, y, first, given = self.checked.names, self.checked.y, self.checked.bounds(), self.checked.given
        first_query = first if given is None else first[:-1] + given
        for i, of_task in groupby(zip(self.task, self.rows, strict=True), key=itemgetter(0)):
            parts = self.tasks[i]
            X_support, X_query = parts[0], parts[-2]  # the same where a task has no query set of its own
            for _, (support, query) in of_task:
                yield Episode(
                    names[i],
                    _take(X_support, support - first[i]),
                    y[support],
                    _take(X_query, query - first_query[i]),
                    y[query],
                )

    def chunks(self):
        """Lists of episodes that are held in memory at once."""
        n_rows = max(len(support) + len(query) for support, query in self.rows)
        n_numbers = n_rows * int(np.prod(self.checked.X.shape[1:]))
        at_once = min(TASKS_AT_ONCE, max(1, NUMBERS_AT_ONCE // max(1, n_numbers)))
        episodes = iter(self)
        while chunk := list(islice(episodes, at_once)):
            yield chunk


def check_draw(owner, regression, params):
    """Raise ValueError for the first of ``params``, arguments of ``owner`` by name, that is not allowed."""
    for name, value in params.items():
        check_value(owner, name, value, DRAW[name])
    if regression:
        check_value(f"{owner}, for a regressor,", "n_way", params["n_way"], [NONE])


def draw_tasks(tasks, regression, *, n_episodes, random_state, **shape):
    """``Episodes`` of a list of tasks, spread evenly over them; one of each task that has a query set."""
    if not is_task_list(tasks):
        raise ValueError(
            f"tasks must be a list of tasks, each a tuple as in fit. Got {type(tasks).__name__} instead."
        )
    if not isinstance(tasks, TaskList):  # then the rows of all tasks are not copied, only looked at
        tasks = TaskList(tasks.__getitem__, range(len(tasks)))
    checked = read_tasks(DummyRegressor() if regression else BaseEstimator(), tasks, None, None, reset=True)
    if regression:
        classes, codes = None, np.zeros(len(checked.y), dtype=np.int64)
        check_sizes(checked)
    else:
        classes, codes = np.unique(checked.y, return_inverse=True)
        check_classes(checked, classes, codes)
    n_episodes = checked.n_tasks if checked.given is not None else n_episodes
    if n_episodes < 2:
        raise ValueError(f"tasks that come with a query set must be 2 or more; got {n_episodes}.")
    task = np.sort(np.arange(n_episodes) % checked.n_tasks)
    rows = draw_episodes(checked, codes, task, seed=random_state, **shape)
    return Episodes(tasks, checked, classes, codes, task, rows)


def _take(X, index):
    return _safe_indexing(X.tocsr() if hasattr(X, "tocsr") else X, index)
