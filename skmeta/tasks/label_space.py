"""Whether a label means the same in every task, where nobody says so."""

import numpy as np
from scipy import sparse

from skmeta.tasks.episodes import evenly

# Tasks whose numbered labels are compared, at least and at most; and how often labels are dealt anew.
LEAST_COMPARED, MOST_COMPARED, N_DEALS = 10, 100, 199
MOST_COLUMNS = 256
# Labels that mean nothing pass each of three tests so often, and are taken for shared then.
LEVEL = 0.05


def are_shared(tasks, codes, classes, is_table):
    """Whether labels mean the same in all tasks, of which there are several.

    They do if some task holds every class, or most classes occur in several tasks. If tasks may have numbered
    their own classes, rows tell, where they are those of a table.
    """
    held = np.unique(np.stack([tasks.task, codes]), axis=1)
    if is_table and _may_be_numbers(held, classes, tasks.n_tasks):
        return _mean_the_same(tasks, codes)
    one_has_all = np.bincount(held[0]).max() == len(classes)
    return bool(one_has_all or (np.bincount(held[1]) > 1).mean() > 0.5)


def _may_be_numbers(held, classes, n_tasks):
    """Whether tasks may have numbered their own classes: 0, 1, 2 and so on in each, or from 1 on.

    ``held`` are pairs of a task and a class that it has.
    """
    if classes.dtype.kind not in "iuf" or len(classes) < 3 or n_tasks < LEAST_COMPARED:
        return False
    if not np.array_equal(classes - classes[0], np.arange(len(classes))) or classes[0] not in (0, 1):
        return False
    last = np.zeros(n_tasks, dtype=np.int64)
    np.maximum.at(last, *held)
    return bool((np.bincount(held[0], minlength=n_tasks) == last + 1).all())


def _mean_the_same(tasks, codes):
    """Whether classes of one label are more alike between tasks than with labels dealt anew in each of them.

    Permutation tests, on some tasks, of what labels without a meaning cannot have in common: the means of
    their rows, how many these are, and which labels have means close to each other; by the last, digits are
    digits, though every other scanner inverts them.
    """
    means, shares = _classes_of_tasks(tasks, codes)
    is_held = means.any(-1)
    close = means @ means.swapaxes(1, 2)
    size = np.sqrt(np.square(close).mean((1, 2), keepdims=True))
    close = close / np.where(size > 0, size, 1)
    close -= close.mean()

    def alike(order):
        dealt = [np.take_along_axis(values, order[:, :, None], 1) for values in (means, shares, close)]
        dealt[2] = np.take_along_axis(dealt[2], order[:, None], 2)
        return np.array([np.square(values.sum(0)).sum() for values in dealt])

    rng, last = np.random.default_rng(0), np.arange(is_held.shape[1])
    truth = alike(np.tile(last, (len(means), 1)))
    keys = (np.where(is_held, rng.random(is_held.shape), 1.0 + last) for _ in range(N_DEALS))
    n_as_alike = sum(alike(key.argsort(1)) >= truth for key in keys)
    return bool(((1 + n_as_alike) / (1 + N_DEALS) <= LEVEL).any())


def _classes_of_tasks(tasks, codes):
    """Of some tasks, the mean of each class and its share, less what the task's classes have on average.

    Arrays of shape (n_tasks, n_classes, n_features), in units of each feature's spread, and (n_tasks,
    n_classes, 1); zero for classes that a task has not.
    """
    n_classes, bounds = int(codes.max()) + 1, tasks.bounds()
    means, shares = [], []
    for i in evenly(tasks.n_tasks, MOST_COMPARED):
        rows = np.arange(bounds[i], bounds[i + 1])
        member = np.eye(n_classes)[codes[rows]]
        if tasks.weight is not None:
            member *= tasks.weight[rows, None]
        size = member.sum(0)[:, None]
        mean = member.T @ _numbers(tasks.X[rows]) / np.where(size > 0, size, 1)
        held = size[:, 0] > 0
        mean[held] -= mean[held].mean(0)
        means.append(mean)
        shares.append(np.where(size > 0, size / size.sum() - 1 / held.sum(), 0.0))
    means = np.stack(means)
    spread = means.std((0, 1))
    means /= np.where(spread > 0, spread, 1)
    if means.shape[-1] > MOST_COLUMNS:  # a random projection keeps distances, nearly
        means = means @ np.random.default_rng(0).normal(size=(means.shape[-1], MOST_COLUMNS))
    return means, np.stack(shares)


def _numbers(X):
    X = X.toarray() if sparse.issparse(X) else X
    return np.nan_to_num(X.astype(np.float64))
