"""Tasks that are loaded one at a time, when they are used."""

from collections.abc import Sequence

import numpy as np


class TaskList(Sequence):
    """A list of tasks that stay where they are, on a disk or in a database, until one is used.

    It goes wherever a list of tasks goes: ``fit``, ``score``, searches and splits, which take parts of it
    without loading any. ``fit`` looks at every task once, to check it and learn its labels, and loads
    those of a meta-batch as it is drawn; it gives the same model as a list.

    Parameters
    ----------
    load : callable
        ``load(id)`` returns a task: ``(X, y)``, ``(X, y, sample_weight)`` or ``(X_support, y_support,
        X_query, y_query)``, the same one each time. A function of a module, so that the list can be pickled.
    ids : sequence of shape (n_tasks,)
        What ``load`` takes: names, paths, numbers.

    Raises
    ------
    TypeError
        If ``load`` cannot be called or ``ids`` is no sequence, or ``load`` returned something else than
        a tuple.

    Examples
    --------
    >>> from skmeta import TaskList
    >>> from skmeta.datasets import make_scanners
    >>> tasks = TaskList(make_scanners(n_train=3, n_test=1, random_state=0).train.__getitem__, range(3))
    >>> len(tasks[1:]), tasks[2][0].shape
    (2, (200, 64))
    """

    def __init__(self, load, ids):
        if not callable(load):
            raise TypeError(f"load must be a callable that takes an id. Got {load!r} instead.")
        if not hasattr(ids, "__len__") or not hasattr(ids, "__getitem__"):
            raise TypeError(f"ids must be a sequence. Got {ids!r} instead.")
        self.load = load
        self.ids = ids.to_numpy() if hasattr(ids, "iloc") else ids  # a Series is indexed by its labels

    @property
    def shape(self):
        """``(n_tasks,)``: by it scikit-learn's splits know that they may index with an array."""
        return (len(self),)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        """The task at an int; a ``TaskList`` for a slice, a mask or an array of ints."""
        if isinstance(index, tuple):  # scikit-learn asks for [index, ...]
            index = index[0]
        if isinstance(index, (int, np.integer)):
            return self._load(self.ids[index])
        if isinstance(index, slice):
            return TaskList(self.load, self.ids[index])
        return TaskList(self.load, [self.ids[i] for i in np.arange(len(self))[index]])

    def __repr__(self):
        return f"TaskList({self.load!r}, <{len(self)} ids>)"

    def _load(self, name):
        task = self.load(name)
        if not isinstance(task, tuple):
            raise TypeError(
                "load must return a tuple (X, y), (X, y, sample_weight) or (X_support, y_support, X_query, "
                f"y_query); for {name!r} it returned {type(task).__name__}."
            )
        return task
