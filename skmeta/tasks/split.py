"""Which rows of checked tasks are used, which are held out, and the sampler of episodes of the others."""

import warnings

import numpy as np
import torch

from skmeta.tasks.episodes import EpisodeSampler, GivenEpisodes

# Tasks that a message names.
NAMED = 5
# What an episode needs.
CLASSES = "2 classes or more"
ROWS = "a row for the support set and one for the query set"
ROWS_OF_A_CLASS = "2 rows of a class, one for each of its sets, unless sampling='natural'"


def make_sampler(tasks, labels, rows, *, n_way, n_shot, n_query):
    """The sampler of episodes of those ``rows``, int numbers; given ones are used as they are.

    ``labels`` are class codes, for stratified draws, or zeros, for natural ones.
    """
    ids, task = np.unique(tasks.task[rows], return_inverse=True)
    if tasks.given is not None:
        first, end = tasks.bounds()[ids], tasks.bounds()[ids + 1]
        cut = first + tasks.given[ids]
        return GivenEpisodes((first, cut), (cut, end))
    return EpisodeSampler(
        torch.as_tensor(task),
        torch.as_tensor(labels[rows]),
        rows=torch.as_tensor(rows),
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
    )


def usable_rows(tasks, codes, *, natural, own_classes, n_shot):
    """Numbers of the rows of tasks that can give an episode; the others are told in one warning.

    Parameters
    ----------
    tasks : Tasks
    codes : int array of shape (n_rows,) or None
        Class codes; None in a regression.
    natural : bool
        Whether rows are drawn whatever their class, as in a regression.
    own_classes : bool
        Whether a label means something only inside its task: then a support set needs two classes.
    n_shot : int or pair of int

    Raises
    ------
    ValueError
        If no task can give an episode.
    """
    if tasks.given is not None:
        why = _why_given_cannot(tasks, codes, own_classes)
    else:
        why = _why_cannot(tasks, codes, natural, own_classes, np.max(n_shot) > 0)
    return without(tasks, {i: reason for i, reason in enumerate(why) if reason})


def without(tasks, left_out):
    """Numbers of the rows of all tasks but those ``left_out``, which are told in one warning.

    ``left_out`` is a dict of task number to why it can give no episode, and what one needs, in words.
    ValueError if no task is left.
    """
    if not left_out:
        return np.arange(len(tasks.task))
    told = ", ".join(f"{tasks.names[i]} {reason}" for i, (reason, _) in list(left_out.items())[:NAMED])
    told += ", ..." if len(left_out) > NAMED else ""
    needs = " and ".join(dict.fromkeys(need for _, need in left_out.values()))
    if len(left_out) == tasks.n_tasks:
        raise ValueError(f"{told}; an episode needs {needs}.")
    warnings.warn(
        f"{len(left_out)} of {tasks.n_tasks} tasks cannot give an episode and are left out: {told}; an "
        f"episode needs {needs}.",
        stacklevel=4,
    )
    return np.flatnonzero(~np.isin(tasks.task, list(left_out)))


def _why_cannot(tasks, codes, natural, own_classes, has_support):
    """For each task why it can give no episode, and what one needs, in words; None where it can."""
    largest = _largest(tasks, np.zeros_like(tasks.task) if natural else codes)
    n_classes, only = (None, None) if codes is None else _classes(tasks, codes, np.arange(len(tasks.y)))
    least = 2 if has_support else 1
    for i in range(tasks.n_tasks):
        if largest[i] == 0:
            yield "has no rows" if tasks.weight is None else "has no rows of a weight above 0", ROWS
        elif own_classes and n_classes[i] < 2:
            yield f"has only the class {only[i]!r}", CLASSES
        elif largest[i] >= least:
            yield None
        elif not natural and n_classes[i] > 1:
            yield "has 1 row of each class", ROWS_OF_A_CLASS
        else:
            yield "has n_samples=1" if tasks.flat else "has 1 row", ROWS


def _why_given_cannot(tasks, codes, own_classes):
    bounds = tasks.bounds()
    n_query = np.diff(bounds) - tasks.given
    if own_classes:
        is_support = np.arange(len(tasks.y)) < (bounds[:-1] + tasks.given)[tasks.task]
        n_classes, only = _classes(tasks, codes, np.flatnonzero(is_support))
    for i in range(tasks.n_tasks):
        if n_query[i] == 0:
            yield "has no query rows", ROWS
        elif own_classes and tasks.given[i] == 0:
            yield "has no support rows", CLASSES
        elif own_classes and n_classes[i] < 2:
            yield f"has only the class {only[i]!r} in its support set", CLASSES
        else:
            yield None


def _largest(tasks, labels):
    """Rows of the most frequent label of each task."""
    n_labels = int(labels.max(initial=0)) + 1
    cells, size = np.unique(tasks.task * n_labels + labels, return_counts=True)
    largest = np.zeros(tasks.n_tasks, dtype=np.int64)
    np.maximum.at(largest, cells // n_labels, size)
    return largest


def _classes(tasks, codes, rows):
    """How many classes those rows of each task have, and the label of one of them."""
    n_codes = int(codes.max(initial=0)) + 1
    cells, first = np.unique(tasks.task[rows] * n_codes + codes[rows], return_index=True)
    task = cells // n_codes
    only = np.empty(tasks.n_tasks, dtype=object)
    only[task] = tasks.y[rows[first]].tolist()
    return np.bincount(task, minlength=tasks.n_tasks), only


def check_query_classes(tasks, codes, classes, rows):
    """Raise ValueError for a given query set among ``rows`` with a class that its support set lacks."""
    bounds = tasks.bounds()
    for i in np.unique(tasks.task[rows]):
        cut = bounds[i] + tasks.given[i]
        new = np.setdiff1d(codes[cut : bounds[i + 1]], codes[bounds[i] : cut])
        if len(new):
            raise ValueError(
                f"{tasks.names[i]}, class {classes[new[0]].item()!r} is in the query set but not in the "
                "support set."
            )


def hold_out(tasks, codes, rows, fraction, n_way, rng):
    """Mask of the rows that are for meta-validation: of whole tasks, else classes, else of each class.

    Only ``rows`` are split. A single task with at least twice ``n_way`` classes gives up some of them, any
    other single task some rows of each class.
    """
    ids = np.unique(tasks.task[rows])
    if len(ids) > 1 or tasks.given is not None:
        held_out = _some(ids, fraction, 1, len(ids) - 1, "tasks", rng)
        return np.isin(tasks.task, held_out)
    classes = np.unique(codes[rows])
    if n_way is not None and len(classes) >= 2 * n_way:
        return np.isin(codes, _some(classes, fraction, n_way, len(classes) - n_way, "classes", rng))
    of_classes = [rows[codes[rows] == code] for code in classes]
    # Two rows of a class make an episode, on either side; a smaller class is only trained on.
    held_out = [
        _some(r, min(fraction, 1 - 2 / len(r)), 2, len(r) - 2, "rows", rng) for r in of_classes if len(r) >= 4
    ]
    if not held_out:
        raise ValueError(
            "early_stopping of a single task needs 4 rows or more, of a class if it has classes; got fewer."
        )
    return np.isin(np.arange(len(codes)), np.concatenate(held_out))


def _some(items, fraction, least, most, words, rng):
    """That fraction of the items at random, ``least`` at least; an error if it is more than ``most``."""
    n_items = max(least, round(fraction * len(items)))
    if n_items > most:
        raise ValueError(
            f"early_stopping with validation_fraction={fraction} leaves {max(0, len(items) - n_items)} of "
            f"{len(items)} {words} to train on, too few. Pass a smaller one, or early_stopping=False."
        )
    return rng.choice(items, n_items, replace=False)
