"""Episodes of checked tasks: what is held out, what is drawn, what a task must hold to give one."""

import numpy as np
import torch

from skmeta.tasks.episodes import EpisodeSampler, fixed_draw


class GivenEpisodes:
    """Episodes with rows of their own, drawn as they are.

    ``episodes`` is a list of ``(support, query)`` row numbers. A class is numbered by its rank in the
    support set.
    """

    def __init__(self, episodes, codes):
        self.episodes = []
        for support, query in episodes:
            classes = np.unique(codes[support])
            ways = (np.searchsorted(classes, codes[rows]) for rows in (support, query))
            parts = zip((support, query), ways, strict=True)
            self.episodes.append([torch.as_tensor(a) for pair in parts for a in pair])

    @property
    def n_tasks(self):
        return len(self.episodes)

    @property
    def n_rows(self):
        return max(len(support) + len(query) for support, _, query, _ in self.episodes)

    def draw(self, tasks, generator=None):
        return fixed_draw([self.episodes[i] for i in tasks])


def make_sampler(tasks, codes, *, n_way, n_shot, n_query, rows=None):
    """``EpisodeSampler`` of the tasks' rows, or of the row numbers ``rows`` among them."""
    rows = np.arange(len(codes)) if rows is None else rows
    _, task = np.unique(tasks.task[rows], return_inverse=True)
    return EpisodeSampler(
        torch.as_tensor(task),
        torch.as_tensor(codes[rows]),
        rows=torch.as_tensor(rows),
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
    )


def given_episodes(tasks, ids):
    """``(support, query)`` row numbers of tasks ``ids`` that come with a query set of their own."""
    bounds = tasks.bounds()
    cut = bounds[:-1] + tasks.given
    return [(np.arange(bounds[i], cut[i]), np.arange(cut[i], bounds[i + 1])) for i in ids]


def draw_episodes(tasks, codes, ids, *, n_way, n_shot, n_query, seed):
    """One episode of each task in ``ids`` as ``(support, query)`` row numbers."""
    if tasks.given is not None:
        return given_episodes(tasks, ids)
    sampler = make_sampler(tasks, codes, n_way=n_way, n_shot=n_shot, n_query=n_query)
    generator = torch.Generator().manual_seed(seed)
    episodes = []
    for chunk in torch.as_tensor(ids).split(64):
        draw = sampler.draw(chunk, generator)
        episodes += [
            (support[kept > 0].numpy(), query[asked > 0].numpy())
            for support, kept, query, asked in zip(
                draw.support, draw.support_weight, draw.query, draw.query_weight, strict=True
            )
        ]
    return episodes


def hold_out(tasks, codes, fraction, n_way, rng):
    """Mask of the rows that are for meta-validation: of whole tasks, else classes, else of each class.

    A single task with at least twice ``n_way`` classes gives up some of them, any other single task
    some rows of each class.
    """
    if tasks.n_tasks > 1 or tasks.given is not None:
        held_out = _some(np.arange(tasks.n_tasks), fraction, 1, tasks.n_tasks - 1, "tasks", rng)
        return np.isin(tasks.task, held_out)
    classes = np.unique(codes)
    if n_way is not None and len(classes) >= 2 * n_way:
        return np.isin(codes, _some(classes, fraction, n_way, len(classes) - n_way, "classes", rng))
    rows = [np.flatnonzero(codes == code) for code in classes]
    # Two rows of a class make an episode, on either side; a smaller class is only trained on.
    held_out = [
        _some(r, min(fraction, 1 - 2 / len(r)), 2, len(r) - 2, "rows", rng) for r in rows if len(r) >= 4
    ]
    if not held_out:
        raise ValueError("early_stopping of a single task needs a class of 4 rows or more; got none.")
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


def check_sizes(tasks):
    """Raise ValueError for a task of a regression that cannot give an episode, and name it."""
    if tasks.given is not None:
        return  # one row on either side is enough, and no part is empty
    for name, n_rows in zip(tasks.names, np.diff(tasks.bounds()), strict=True):
        if n_rows < 2:
            has = "X, y have n_samples=1" if tasks.flat else f"{name} has 1 row"
            raise ValueError(
                f"{has}; an episode needs 2 or more, one for the support set and one for the query set."
            )


def check_classes(tasks, classes, codes, *, local=True):
    """Raise ValueError for a task that cannot give an episode, and name it.

    With ``local`` labels, a query set can hold only the classes of its support set.
    """
    n_classes = len(classes)
    size = np.bincount(tasks.task * n_classes + codes, minlength=tasks.n_tasks * n_classes)
    size = size.reshape(tasks.n_tasks, n_classes)
    if tasks.given is not None:
        return _check_given_classes(tasks, classes, codes, local)
    for name, row in zip(tasks.names, size, strict=True):
        held = classes[row > 0]
        if len(held) < 2:
            only = f"y has only 1 class, {held[0].item()!r}"
            if not tasks.flat:
                only = f"{name} has only the class {held[0].item()!r}"
            raise ValueError(f"{only}; an episode needs 2 classes or more.")
        if not tasks.flat and (row == 1).any():
            label = classes[row == 1][0].item()
            raise ValueError(
                f"{name}, class {label!r} has 1 row; an episode needs 2 or more, "
                "one for the support set and one for the query set."
            )
        if tasks.flat and (row > 1).sum() == 0:
            raise ValueError(
                f"{name} have 1 row for each class; an episode needs 2 or more of one class at least, "
                "one for the support set and one for the query set."
            )


def _check_given_classes(tasks, classes, codes, local):
    for name, (support, query) in zip(tasks.names, given_episodes(tasks, range(tasks.n_tasks)), strict=True):
        held = np.unique(codes[support])
        if len(held) < 2:
            raise ValueError(
                f"{name} has only the class {classes[held[0]].item()!r} in its support set; "
                "an episode needs 2 classes or more."
            )
        new = np.setdiff1d(codes[query], held)
        if local and len(new):
            raise ValueError(
                f"{name}, class {classes[new[0]].item()!r} is in the query set but not in the support set."
            )
