"""Episodes: which rows of a task are its support set and which its query set.

A meta-batch is drawn as whole index tensors, without a Python loop over tasks, classes or rows.
Ragged episodes are padded with rows of weight zero, which repeat a row of the same task, so that a
padded task never looks at another task.
"""

from typing import NamedTuple

import numpy as np
import torch


class Episodes(NamedTuple):
    """Row numbers of an episode of each task: ``(n_tasks, n_support)`` and ``(n_tasks, n_query)``.

    A weight of zero marks what fills up a smaller episode; that of any other row is one, or what it counts.
    """

    support: torch.Tensor
    support_weight: torch.Tensor
    query: torch.Tensor
    query_weight: torch.Tensor

    def weighted(self, weight):
        """The same episodes, whose rows count as the ``weight`` of all rows says."""
        support, query = (weight[rows] for rows in (self.support, self.query))
        return self._replace(
            support_weight=self.support_weight * support, query_weight=self.query_weight * query
        )

    def narrowed(self):
        """The same episodes, without columns in which all that there is fills up."""
        support, query = ((w > 0).any(0) for w in (self.support_weight, self.query_weight))
        return Episodes(
            self.support[:, support],
            self.support_weight[:, support],
            self.query[:, query],
            self.query_weight[:, query],
        )

    def rows(self):
        """``(support, query)`` row numbers of each episode: int arrays, without what fills up."""
        for support, kept, query, asked in zip(*self, strict=True):
            yield support[kept > 0].numpy(), query[asked > 0].numpy()


class EpisodeSampler:
    """Draws episodes from tasks given row by row.

    Parameters
    ----------
    task, label : int tensors of shape (n_rows,)
        Task number, from 0 without gaps, and label of each row. With the same label for all rows, draws
        are natural, of rows of the task whatever their class; with class codes they are stratified.
    rows : int tensor of shape (n_rows,)
        Numbers of these rows, as drawn.
    n_way : int or None
        Labels drawn for an episode, at most; None takes all of the task.
    n_shot : int or pair of int
        Support rows of each label; of a pair ``(least, most)``, each episode draws its own number, small
        ones as often as large ones.
    n_query : int
        Query rows of each label, at most. A label with fewer than ``n_shot + 1`` rows gives half of them,
        rounded up, to the support set; a label of one row is only in support sets, unless ``n_shot`` is 0.
    """

    def __init__(self, task, label, rows, *, n_way, n_shot, n_query):
        self.n_way, self.n_query = n_way, n_query
        self.least, self.most = n_shot if isinstance(n_shot, (tuple, list)) else (n_shot, n_shot)
        # A cell is one label of one task; its rows stand together in self.rows. Pairs as one number each,
        # since torch.unique makes a tensor of each column.
        n_labels = int(label.max()) + 1
        cell, cell_of_row = torch.unique(task * n_labels + label, return_inverse=True)
        self.ordered = rows[torch.argsort(cell_of_row, stable=True)]
        self.cell_size = torch.bincount(cell_of_row)
        self.cell_start = self.cell_size.cumsum(0) - self.cell_size
        self.n_cells = torch.bincount(cell // n_labels)
        self.first_cell = self.n_cells.cumsum(0) - self.n_cells

    @property
    def n_tasks(self):
        return len(self.n_cells)

    @property
    def n_units(self):
        """How many episodes could differ in all: tasks, or of a single task sets of its labels."""
        return self.n_tasks if self.n_tasks > 1 else max(1, int(self.n_cells) // (self.n_way or self.n_cells))

    @property
    def n_rows(self):
        """Rows of an episode, at most."""
        return (self.n_way or int(self.n_cells.max())) * (self.most + self.n_query)

    def draw(self, tasks, generator):
        """Draw an episode of each task in ``tasks``, an int tensor of shape (n_tasks,)."""
        cells, present = self._draw_labels(tasks, generator)
        size = self.cell_size[cells] * present
        n_shot = self._draw_shots(size, generator)
        position = random_order(size, self.most + self.n_query, generator)
        n_support = torch.where(size > n_shot, n_shot, (size + 1) // 2)
        n_query = (size - n_support).clamp_max(self.n_query)
        first = self.ordered[self.cell_start[cells[:, :1]]]
        return Episodes(
            *self._take(cells, position, torch.zeros_like(size), n_support, first),
            *self._take(cells, position, n_support, n_query, first),
        )

    def _draw_labels(self, tasks, generator):
        """Cells of the episodes' labels, and which of them exist: both (n_tasks, n_way)."""
        available = self.n_cells[tasks]
        order = random_order(available, self.n_way or int(self.n_cells.max()), generator)
        present = torch.arange(order.shape[1]) < available[:, None]
        return self.first_cell[tasks, None] + order * present, present

    def _draw_shots(self, size, generator):
        """Support rows of each label, (n_tasks, 1): no more than leave a query row of the largest."""
        most = (size.amax(1, keepdim=True) - 1).clamp(self.least, self.most)
        if self.least == self.most:
            return most
        drawn = torch.rand(most.shape, generator=generator)
        # Evenly by the logarithm, from one up: a row more tells less, the more there are.
        number = (most - self.least + 2).float().pow(drawn).long()
        return (self.least + number - 1).clamp_max(most)

    def _take(self, cells, position, start, count, first):
        """Rows ``start`` to ``start + count`` of each cell's random order, filled up, and their weights."""
        slot = torch.arange(max(int(count.max()), 1)).expand(*cells.shape, -1)
        wanted = (start[..., None] + slot).clamp_max(position.shape[-1] - 1)
        row = self.cell_start[cells][..., None] + position.gather(-1, wanted)
        exists = (slot < count[..., None]).flatten(1)
        rows = self.ordered[torch.where(exists, row.flatten(1), 0)]
        return torch.where(exists, rows, first), exists.float()


class BothDraws:
    """Every other episode is drawn by one sampler of the same tasks, the others by another."""

    def __init__(self, *samplers):
        self.samplers = samplers

    @property
    def n_tasks(self):
        return self.samplers[0].n_tasks

    n_units = n_tasks

    @property
    def n_rows(self):
        """Rows of an episode, at most."""
        return max(sampler.n_rows for sampler in self.samplers)

    def draw(self, tasks, generator):
        """Draw an episode of each task in ``tasks``, an int tensor of shape (n_tasks,)."""
        samplers = self.samplers[: len(tasks)]
        parts = [s.draw(tasks[i :: len(samplers)], generator) for i, s in enumerate(samplers)]
        return Episodes(*(_by_turns(tensors) for tensors in zip(*parts, strict=True)))


def _by_turns(tensors):
    """Rows of each tensor in turn, to one width: row numbers filled up by the first, weights by zero."""
    shape = sum(map(len, tensors)), max(t.shape[1] for t in tensors)
    result = tensors[0].new_zeros(shape)
    for i, t in enumerate(tensors):
        if not t.is_floating_point():
            result[i :: len(tensors)] = t[:, :1]
        result[i :: len(tensors), : t.shape[1]] = t
    return result


class GivenEpisodes:
    """Episodes that are used as they are: a task's support rows stand together, and so do its query rows.

    Parameters
    ----------
    support, query : pairs of int arrays of shape (n_tasks,)
        The first row of each task, and one past the last.
    """

    def __init__(self, support, query):
        self.support, self.query = (
            [torch.as_tensor(np.asarray(bound, dtype=np.int64)) for bound in part]
            for part in (support, query)
        )

    @property
    def n_tasks(self):
        return len(self.query[0])

    n_units = n_tasks

    @property
    def n_rows(self):
        """Rows of an episode, at most."""
        return sum(int((end - first).max()) for first, end in (self.support, self.query))

    def draw(self, tasks, generator=None):
        """The episode of each task in ``tasks``, an int tensor of shape (n_tasks,)."""
        support, query = ([bound[tasks] for bound in part] for part in (self.support, self.query))
        # A support set may be empty, and so may a query set; not both.
        filling = torch.where(support[1] > support[0], support[0], query[0])[:, None]
        return Episodes(*_between(*support, filling), *_between(*query, filling))


def evenly(n, most):
    """All numbers below ``n``, or ``most`` of them, evenly spaced: an int array."""
    return np.arange(min(n, most)) * n // min(n, most)


def whole_tasks(rows, most):
    """``Episodes`` without query rows, whose support sets are tasks, or ``most`` rows of each at random.

    ``rows`` is a list of the row numbers of each task.
    """
    rng = np.random.default_rng(0)  # evenly spaced ones might all be of one class, or season
    kept = [r if len(r) <= most else np.sort(rng.choice(r, most, replace=False)) for r in rows]
    size = max(map(len, kept))
    support = np.stack([np.append(k, np.full(size - len(k), k[0])) for k in kept])
    weight = np.stack([np.arange(size) < len(k) for k in kept])
    support, none = torch.as_tensor(support), torch.zeros(len(kept), 0)
    return Episodes(support, torch.as_tensor(weight).float(), none.long(), none)


def _between(first, end, filling):
    """Row numbers from ``first`` to ``end``, filled up, and their weights: both (n_tasks, n_rows)."""
    row = first[:, None] + torch.arange(max(int((end - first).max()), 1))
    exists = row < end[:, None]
    return torch.where(exists, row, filling), exists.float()


def random_order(size, n, generator):
    """For each count in ``size``, the first ``n`` of a random order of ``0 .. count-1``.

    The last axis, of length ``n`` or the largest count, ends with other numbers where there are fewer.
    """
    most = max(int(size.max()), 1)
    enough = 8 * n
    key = torch.rand(*size.shape, min(most, enough), generator=generator)
    order = key.masked_fill(torch.arange(key.shape[-1]) >= size[..., None], 2.0).argsort(-1)[..., :n]
    if most <= enough:
        return order
    # A key for each row of a large class would cost more than learning from the few that are drawn.
    return torch.where(size[..., None] > enough, _distinct(size, n, generator), order)


def _distinct(size, n, generator):
    """``n`` different numbers below each count, of which there are more than ``8 * n``, in random order."""
    # Fewer than n different ones among so many have a chance of less than 1e-15.
    drawn = torch.rand(*size.shape, 4 * n + 8, generator=generator, dtype=torch.float64)
    drawn = (drawn * size[..., None]).long()
    value, order = drawn.sort(stable=True, dim=-1)
    again = torch.zeros_like(drawn, dtype=torch.bool)
    again.scatter_(-1, order[..., 1:], value[..., 1:] == value[..., :-1])
    return drawn.gather(-1, again.to(torch.uint8).argsort(stable=True, dim=-1)[..., :n])
