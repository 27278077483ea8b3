"""Episodes: from the flat rows of many tasks to tensors of support and query sets.

A meta-batch is drawn as whole index tensors, without a Python loop over tasks, classes or rows.
Ragged episodes are padded with rows of weight zero, which repeat a row of the same support set,
so that a padded task never looks at another task.
"""

from typing import NamedTuple

import numpy as np
import torch


class Draw(NamedTuple):
    """Row numbers of one meta-batch, shapes ``(n_tasks, n_support)`` and ``(n_tasks, n_query)``.

    ``way`` numbers the class of each row within its episode; ``class_mask``, shape
    ``(n_tasks, n_way)``, says which of these numbers an episode uses.
    """

    support: torch.Tensor
    support_weight: torch.Tensor
    support_way: torch.Tensor
    query: torch.Tensor
    query_weight: torch.Tensor
    query_way: torch.Tensor
    class_mask: torch.Tensor


class EpisodeSampler:
    """Draws episodes from tasks given row by row.

    Parameters
    ----------
    task, label : int tensors of shape (n_rows,)
        Task number, from 0 without gaps, and class code of each row. A regression has one label, 0.
    rows : int tensor of shape (n_rows,)
        Numbers of these rows, as drawn.
    n_way : int or None
        Classes drawn for an episode, at most; None takes all of the task.
    n_shot, n_query : int
        Support and query rows of each class. A class with fewer than ``n_shot + 1`` rows gives
        half of them, rounded up, to the support set; a class of one row is only in support sets.
    """

    def __init__(self, task, label, rows, *, n_way, n_shot, n_query):
        self.n_way, self.n_shot, self.n_query = n_way, n_shot, n_query
        # A cell is one class of one task; its rows stand together in self.rows. Pairs as one number each,
        # since torch.unique makes a tensor of each column.
        n_labels = int(label.max()) + 1
        cell, cell_of_row = torch.unique(task * n_labels + label, return_inverse=True)
        self.rows = rows[torch.argsort(cell_of_row, stable=True)]
        self.cell_size = torch.bincount(cell_of_row)
        self.cell_start = self.cell_size.cumsum(0) - self.cell_size
        self.n_cells = torch.bincount(cell // n_labels)
        self.first_cell = self.n_cells.cumsum(0) - self.n_cells

    @property
    def n_tasks(self):
        return len(self.n_cells)

    @property
    def n_rows(self):
        """Rows of an episode, at most."""
        return (self.n_way or int(self.n_cells.max())) * (self.n_shot + self.n_query)

    def draw(self, tasks, generator):
        """Draw an episode of each task in ``tasks``, an int tensor of shape (n_tasks,)."""
        cells, present = self._draw_classes(tasks, generator)
        size = self.cell_size[cells] * present
        position = random_order(size, self.n_shot + self.n_query, generator)
        n_support = torch.where(size > self.n_shot, self.n_shot, (size + 1) // 2)
        n_query = (size - n_support).clamp_max(self.n_query)
        support = self._take(cells, position, torch.zeros_like(size), n_support)
        query = self._take(cells, position, n_support, n_query)
        # The first support row of an episode always exists: it fills the gaps.
        first = support[0][:, 0, :1]
        return Draw(*_pad(*support, first), *_pad(*query, first), class_mask=present)

    def _draw_classes(self, tasks, generator):
        """Cells of the episodes' classes, and which of them exist: both (n_tasks, n_way)."""
        available = self.n_cells[tasks]
        order = random_order(available, self.n_way or int(self.n_cells.max()), generator)
        present = torch.arange(order.shape[1]) < available[:, None]
        return self.first_cell[tasks, None] + order * present, present

    def _take(self, cells, position, start, count):
        """Rows ``start`` to ``start + count`` of each cell's random order, and which exist."""
        slot = torch.arange(max(int(count.max()), 1)).expand(*cells.shape, -1)
        wanted = (start[..., None] + slot).clamp_max(position.shape[-1] - 1)
        row = self.cell_start[cells][..., None] + position.gather(-1, wanted)
        exists = slot < count[..., None]
        return self.rows[torch.where(exists, row, 0)], exists


def fixed_draw(episodes):
    """Draw of episodes whose rows are given: a list of ``(support, way, query, way)`` int tensors."""
    support, support_way, query, query_way = (
        torch.nn.utils.rnn.pad_sequence(list(part), batch_first=True, padding_value=-1)
        for part in zip(*episodes, strict=True)
    )
    n_way = support_way.amax(1) + 1
    first = support[:, :1], support_way[:, :1]
    return Draw(
        *_fill(support, support_way, support >= 0, *first),
        *_fill(query, query_way, query >= 0, *first),
        class_mask=torch.arange(int(n_way.max())) < n_way[:, None],
    )


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


def _pad(rows, exists, first):
    """(n_tasks, n_way, n) to (n_tasks, n_way * n), gaps filled with the row ``first``, of class 0."""
    way = torch.arange(rows.shape[1])[None, :, None].expand_as(rows).flatten(1)
    return _fill(rows.flatten(1), way, exists.flatten(1), first, torch.zeros_like(first))


def _fill(rows, way, exists, fill_rows, fill_way):
    return torch.where(exists, rows, fill_rows), exists.float(), torch.where(exists, way, fill_way)


class Rows:
    """All rows of all tasks: dense ones on the device once, others made dense as they are drawn.

    Parameters
    ----------
    X : array, scipy sparse matrix or anything that an int array indexes to one, first axis ``n_rows``
    device : torch.device
    """

    def __init__(self, X, device):
        self.device = device
        if isinstance(X, np.ndarray):  # torch takes neither negative strides nor read-only memory
            self.X = torch.as_tensor(np.require(X, requirements="CW")).to(device)
        else:
            self.X = X.tocsr() if hasattr(X, "tocsr") else X

    @property
    def shape(self):
        """Shape of one row."""
        return torch.Size(self.X.shape[1:])

    @property
    def on_device(self):
        """Whether all rows are in memory there, dense."""
        return isinstance(self.X, torch.Tensor)

    def __getitem__(self, index):
        """Rows at a slice, or at an int tensor of any shape, as float32 on the device."""
        if isinstance(index, slice):
            return self._dense(self.X[index])
        if self.on_device:
            return self.X[index.to(self.device)].float()
        return self._dense(self.X[index.flatten().numpy()]).reshape(*index.shape, *self.shape)

    def _dense(self, rows):
        if not isinstance(rows, torch.Tensor):
            rows = torch.from_numpy(rows.toarray() if hasattr(rows, "toarray") else rows)
        return rows.to(self.device).float()
