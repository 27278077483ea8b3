"""Votes: what a pooled forest thinks of a row, as features beside its own.

A forest of all meta-train rows votes on the rows of other tasks. On those of a meta-train task, a forest of
other meta-train tasks does: its votes are worth no more there than on a new task.
"""

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict

VOTERS = RandomForestClassifier(200, min_samples_leaf=3, random_state=0)


def with_votes(train, *others):
    """The tasks of meta-train and of the ``others``, with a column for each class that they share."""
    X, y = (np.concatenate(column) for column in zip(*train, strict=True))
    sizes = [len(labels) for _, labels in train]
    votes = cross_val_predict(
        VOTERS,
        X,
        y,
        groups=np.repeat(np.arange(len(train)), sizes),
        cv=GroupKFold(5),
        method="predict_proba",
    )
    parts = [_beside(train, np.split(votes, np.cumsum(sizes)[:-1]))]
    forest = clone(VOTERS).fit(X, y)
    return parts + [_beside(tasks, [forest.predict_proba(X) for X, _ in tasks]) for tasks in others]


def _beside(tasks, votes):
    # Logarithms: half against nine tenths then counts for less than a tenth against nearly nothing.
    return [
        (np.hstack([X, np.log(10 * p + 0.2)]).astype("f4"), y) for (X, y), p in zip(tasks, votes, strict=True)
    ]
