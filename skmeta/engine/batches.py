"""Meta-batches: what a step of the outer loop sees, as skorch iterates over it."""

from itertools import islice
from operator import itemgetter

import torch
from torch.utils.data import Dataset

from skmeta.tasks import limits
from skmeta.tasks.batch import Batch, make_batch, mapped
from skmeta.tasks.episodes import Episodes, random_order

# Outer steps in what skorch calls an epoch: a row of the history, a look at the validation tasks.
STEPS_PER_EPOCH = 50
# Episodes are drawn by seeds below this one, so that augmentation shares no random numbers with them.
FIRST_SEED_TO_AUGMENT = 2**31


class EpisodeSource(Dataset):
    """Meta-batches of tensors, drawn from tasks.

    Parameters
    ----------
    sampler : object with ``n_tasks``, ``n_rows`` and ``draw(tasks, generator)``
    rows : Rows
    labels : SharedClasses, OwnClasses or Values
    targets : Tensor of shape (n_rows, ...), or a list of something for each row
        What ``labels`` reads.
    seed : int, default=0
        With the same tasks, meta-batch ``step`` of a size depends on ``seed`` and ``step`` alone, so a run
        can be resumed.
    steps : range, default=range(0)
        The meta-batches to draw.
    dtype : torch.dtype, default=torch.float32
        Of weights and targets.
    augmented : bool, default=False
        Whether ``rows`` are augmented. Meta-batch ``step`` is changed the same way each time.
    """

    def __init__(
        self, sampler, rows, labels, targets, seed=0, steps=range(0), *, dtype=torch.float32, augmented=False
    ):
        self.sampler, self.rows, self.labels, self.targets = sampler, rows, labels, targets
        self.seed, self.steps, self.dtype, self.augmented = seed, steps, dtype, augmented
        self.drawn = None, None, None

    def __len__(self):
        return self.sampler.n_tasks

    def tasks(self, size):
        """Number of the task of each episode of its ``steps``, in meta-batches of a ``size``."""
        n = self._n_at_once(size)
        blocks = {block: self._tasks(block, size, n)[0] for block in {step // n for step in self.steps}}
        return torch.cat([blocks[step // n][step % n] for step in self.steps])

    def meta_batch(self, step, size):
        """``(inputs, target)`` of ``size`` episodes; a task comes again only after all the others."""
        batch = self._meta_batch(step, size)
        return batch.inputs(), batch.target()

    def _meta_batch(self, step, size):
        n = self._n_at_once(size)
        block, place = divmod(step, n)
        # Rows whose targets are no tensor are large: a network is to see none in vain.
        are_large = isinstance(self.targets, list)
        at_once = self.rows.are_prepared and not are_large
        if self.drawn[:2] != (block, size):
            drawn = self._draw(block, size, n)
            self.drawn = block, size, self._batch(drawn) if at_once else drawn
        of_step = itemgetter(slice(place * size, (place + 1) * size))
        drawn = self.drawn[2]._make(None if t is None else mapped(of_step, t) for t in self.drawn[2])
        if isinstance(drawn, Batch):
            return drawn
        return self._batch(drawn.narrowed() if are_large else drawn, step)

    def _draw(self, block, size, n):
        """``Episodes`` of ``n`` meta-batches, one after the other on the first axis."""
        tasks, generator = self._tasks(block, size, n)
        return self.sampler.draw(tasks.flatten(), generator)

    def _tasks(self, block, size, n):
        """Numbers of the tasks of ``n`` meta-batches, ``(n, size)``, and the generator that drew them."""
        generator = torch.Generator().manual_seed(self.seed + block)
        order = random_order(torch.full((n,), len(self)), min(size, len(self)), generator)
        return order.repeat(1, -(-size // len(self)))[:, :size], generator

    def _n_at_once(self, size):
        return limits.meta_batches_at_once(len(self) + size * self.sampler.n_rows * self.rows.shape.numel())

    def _batch(self, episodes: Episodes, step=0) -> Batch:
        generator = None
        if self.augmented:
            generator = torch.Generator(self.rows.home).manual_seed(FIRST_SEED_TO_AUGMENT + self.seed + step)
        return make_batch(
            episodes, self.rows, self.labels, self.targets, dtype=self.dtype, generator=generator
        )


class MetaBatches:
    """skorch iterator over meta-batches: an epoch goes on where the one before it stopped."""

    def __init__(self, source, batch_size, steps_per_epoch=STEPS_PER_EPOCH):
        self.source, self.batch_size, self.steps = source, batch_size, iter(source.steps)
        self.steps_per_epoch = steps_per_epoch

    def __iter__(self):
        for step in islice(self.steps, self.steps_per_epoch):
            inputs, target = self.source.meta_batch(step, self.batch_size)
            yield inputs | target, target  # a loop over tasks needs the labels where it computes the outputs


class SameMetaBatches:
    """skorch iterator over the same meta-batches at every epoch, for validation."""

    def __init__(self, source, batch_size):
        self.source, self.batch_size = source, batch_size

    def __iter__(self):
        return (self.source.meta_batch(step, self.batch_size) for step in self.source.steps)
