"""What a data set of the benchmark is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from sklearn.base import clone


@dataclass(frozen=True)
class Task:
    """A group of rows that stays together when tasks are split.

    Where labels mean something only inside a task (text, images), it is a class, and a task is made of
    several of them.

    Parameters
    ----------
    name : str
    views : dict of str to {array, CSR matrix} of shape (n_rows, n_features)
        The rows as methods may see them; the first view is what skmeta gets.
    y : array of shape (n_rows,)
    time : array of shape (n_rows,) or None
        Order of the rows, where it matters.
    known : bool
        Whether it must be for development, since its scores were seen before.
    columns : list of str or None
        Names of the columns of the first view.
    about : dict
        What a method or a split needs beside: ``slopes``, numbers of the columns with random slopes;
        ``items``, the film of each row; ``family``, the name of tasks that stay together.
    """

    name: str
    views: dict
    y: np.ndarray
    time: np.ndarray | None = None
    known: bool = False
    columns: list | None = None
    about: dict = field(default_factory=dict)

    @property
    def family(self):
        """What it stays together with when tasks are split."""
        return self.about.get("family", self.name)


def as_they_are(train, others):
    """Views that learn nothing from training tasks."""
    return train, others


def learned(raw, **views):
    """A ``prepare`` whose views are what transformers, fitted on training tasks, make of the ``raw`` rows."""

    def prepare(train, others):
        fitted = {name: clone(view).fit(_rows(train, raw)) for name, view in views.items()}
        return tuple(_seen(tasks, _rows(tasks, raw), fitted) for tasks in (train, others))

    return prepare


def _rows(tasks, view):
    return np.concatenate([task.views[view] for task in tasks])


def _seen(tasks, rows, fitted):
    views = {name: view.transform(rows) for name, view in fitted.items()}
    ends = np.cumsum([len(task.y) for task in tasks])
    return [
        replace(task, views={name: X[end - len(task.y) : end] for name, X in views.items()})
        for task, end in zip(tasks, ends, strict=True)
    ]


class DataSet(NamedTuple):
    """Where tasks come from.

    Parameters
    ----------
    read : callable
        ``read(folder)``: all tasks, a list of ``Task``, as raw as methods get them.
    prepare : callable
        ``prepare(train, others)``: the same two lists with views that are learned from ``train`` alone.
    files : tuple of str
        What ``folder`` must hold.
    packages : tuple of str
        What must be installed.
    """

    read: Callable
    prepare: Callable = as_they_are
    files: tuple = ()
    packages: tuple = ()
