"""Meta-batches: what a step of the outer loop sees, as skorch iterates over it."""

from itertools import islice

import torch
from torch.utils.data import Dataset

# Outer steps in what skorch calls an epoch: a row of the history, a look at the validation tasks.
STEPS_PER_EPOCH = 50


class EpisodeSource(Dataset):
    """Meta-batches of tensors, drawn from tasks whose rows are on the device.

    Parameters
    ----------
    rows : episodes.Rows
    targets : Tensor of shape (n_rows, ...) or None
        Class codes or values; None numbers the classes within each episode.
    sampler : object with ``n_tasks`` and ``draw(tasks, generator)``, default=None
        Only ``meta_batch`` needs one.
    seed : int, default=0
        Meta-batch ``step`` depends on ``seed + step`` alone, so a run can be resumed.
    steps : range, default=range(0)
        The meta-batches to draw.
    """

    def __init__(self, rows, targets, sampler=None, seed=0, steps=range(0)):
        self.rows, self.targets, self.sampler, self.seed = rows, targets, sampler, seed
        self.steps = steps

    def __len__(self):
        return self.sampler.n_tasks

    def meta_batch(self, step, size):
        """``(inputs, target)`` of ``size`` episodes; a task comes again only after all the others."""
        generator = torch.Generator().manual_seed(self.seed + step)
        order = torch.randperm(len(self), generator=generator)
        tasks = order.repeat(-(-size // len(self)))[:size]
        return self.batch(self.sampler.draw(tasks, generator))

    def batch(self, draw):
        """``(inputs, target)``: arguments of ``MetaLearner.forward`` and of the objective."""
        device = self.rows.device
        inputs = {
            "support_x": self.rows[draw.support],
            "support_y": self._labels(draw.support, draw.support_way),
            "support_weight": draw.support_weight.to(device),
            "query_x": self.rows[draw.query],
        }
        if self.targets is None:
            inputs["class_mask"] = draw.class_mask.to(device)
        query_y = self._labels(draw.query, draw.query_way)
        return inputs, {"query_y": query_y, "query_weight": draw.query_weight.to(device)}

    def _labels(self, index, way):
        labels = way if self.targets is None else self.targets[index]
        return labels.to(self.rows.device)


class MetaBatches:
    """skorch iterator over meta-batches: an epoch goes on where the one before it stopped."""

    def __init__(self, source, batch_size):
        self.source, self.batch_size, self.steps = source, batch_size, iter(source.steps)

    def __iter__(self):
        for step in islice(self.steps, STEPS_PER_EPOCH):
            yield self.source.meta_batch(step, self.batch_size)


class SameMetaBatches:
    """skorch iterator over the same meta-batches at every epoch, for validation."""

    def __init__(self, source, batch_size):
        self.source, self.batch_size = source, batch_size

    def __iter__(self):
        return (self.source.meta_batch(step, self.batch_size) for step in self.source.steps)
