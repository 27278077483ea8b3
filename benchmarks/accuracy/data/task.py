"""What a data set of the benchmark is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


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
        What a rival needs beside: ``slopes``, numbers of the columns with random slopes, or ``items``,
        the film of each row.
    """

    name: str
    views: dict
    y: np.ndarray
    time: np.ndarray | None = None
    known: bool = False
    columns: list | None = None
    about: dict = field(default_factory=dict)


def as_they_are(train, others):
    """Views that learn nothing from training tasks."""
    return train, others


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
    """

    read: Callable
    prepare: Callable = as_they_are
    files: tuple = ()
