"""Meta-batches: what a step of the outer loop sees, as skorch iterates over it."""

from itertools import islice

import torch
from torch.utils.data import Dataset

from skmeta.tasks.episodes import Draw, random_order

# Outer steps in what skorch calls an epoch: a row of the history, a look at the validation tasks.
STEPS_PER_EPOCH = 50
# Meta-batches that are drawn together, one by one small ones take as long to draw as to learn from; and
# how many numbers they may hold.
DRAWN_AT_ONCE = 64
NUMBERS_AT_ONCE = 2**20
# Episodes are drawn by seeds below this one, so that augmentation shares no random numbers with them.
FIRST_SEED_TO_AUGMENT = 2**31


class EpisodeSource(Dataset):
    """Meta-batches of tensors, drawn from tasks whose rows are on the device.

    Parameters
    ----------
    rows : episodes.Rows
    targets : Tensor of shape (n_rows, ...) or None
        Class codes or values; None numbers the classes within each episode.
    sampler : object with ``n_tasks``, ``n_rows`` and ``draw(tasks, generator)``, default=None
        Only ``meta_batch`` needs one.
    seed : int, default=0
        With the same tasks, meta-batch ``step`` of a size depends on ``seed`` and ``step`` alone, so a run
        can be resumed.
    steps : range, default=range(0)
        The meta-batches to draw.
    scaler : TargetScaler, default=None
        Brings the values of an episode to the order of one, by its support set.
    spread : Tensor of shape (n_rows, n_outputs), default=None
        Scale of each row's task, the unit of the errors in its query set: a support set whose targets
        happen to be much closer to each other than the task's would else count far too much.
    augment : callable, default=None
        As in the estimators. Meta-batch ``step`` is changed the same way each time.
    """

    def __init__(
        self, rows, targets, sampler=None, seed=0, steps=range(0), *, scaler=None, spread=None, augment=None
    ):
        self.rows, self.targets, self.sampler, self.seed = rows, targets, sampler, seed
        self.steps, self.scaler, self.spread, self.augment = steps, scaler, spread, augment
        self.drawn = None, None, None

    def __len__(self):
        return self.sampler.n_tasks

    def meta_batch(self, step, size):
        """``(inputs, target)`` of ``size`` episodes; a task comes again only after all the others."""
        inputs, target = self._meta_batch(step, size)
        return inputs if self.augment is None else self._augmented(inputs, step), target

    def _meta_batch(self, step, size):
        n = self._n_at_once(size)
        block, place = divmod(step, n)
        if self.drawn[:2] != (block, size):
            draw = self._draw(block, size, n)
            self.drawn = block, size, self.batch(draw) if self.rows.on_device else draw
        rows = slice(place * size, (place + 1) * size)
        drawn = self.drawn[2]
        if isinstance(drawn, Draw):
            return self.batch(Draw(*(t[rows] for t in drawn)))
        return tuple({name: t[rows] for name, t in part.items()} for part in drawn)

    def _augmented(self, inputs, step):
        rows = torch.cat([inputs["support_x"], inputs["query_x"]], 1)
        generator = torch.Generator(rows.device).manual_seed(FIRST_SEED_TO_AUGMENT + self.seed + step)
        changed = self.augment(rows, generator)
        _check_same_kind(changed, rows)
        support_x, query_x = changed.tensor_split([inputs["support_x"].shape[1]], 1)
        return inputs | {"support_x": support_x, "query_x": query_x}

    def _draw(self, block, size, n):
        """``n`` meta-batches, one after the other on the first axis."""
        generator = torch.Generator().manual_seed(self.seed + block)
        order = random_order(torch.full((n,), len(self)), min(size, len(self)), generator)
        tasks = order.repeat(1, -(-size // len(self)))[:, :size]
        return self.sampler.draw(tasks.flatten(), generator)

    def _n_at_once(self, size):
        numbers = len(self) + size * self.sampler.n_rows * self.rows.shape.numel()
        return max(1, min(DRAWN_AT_ONCE, NUMBERS_AT_ONCE // numbers))

    def batch(self, draw):
        """``(inputs, target)``: arguments of ``MetaLearner.forward`` and of the objective."""
        device = self.rows.device
        support_y = self._labels(draw.support, draw.support_way)
        query_y = self._labels(draw.query, draw.query_way)
        inputs = {}
        if self.targets is None:
            inputs["class_mask"] = draw.class_mask.to(device)
        if self.scaler is not None:
            level, scale = self.scaler(support_y, draw.support_weight)
            spread = self.spread[draw.support[:, 0]]
            support_y = ((support_y - level[:, None]) / scale[:, None]).float()
            query_y = ((query_y - level[:, None]) / spread[:, None]).float()
            inputs["output_scale"] = (scale / spread).float().to(device)
        inputs |= {
            "support_x": self.rows[draw.support],
            "support_y": support_y.to(device),
            "support_weight": draw.support_weight.to(device),
            "query_x": self.rows[draw.query],
        }
        return inputs, {"query_y": query_y.to(device), "query_weight": draw.query_weight.to(device)}

    def _labels(self, index, way):
        return way if self.targets is None else self.targets[index]


def _check_same_kind(changed, rows):
    """Raise ValueError if what ``augment`` made of rows is no tensor like them."""
    kind, expected = (
        (tuple(v.shape), v.dtype, v.device) if isinstance(v, torch.Tensor) else type(v).__name__
        for v in (changed, rows)
    )
    if kind != expected:
        raise ValueError(
            f"augment must return a tensor of the shape, dtype and device {expected}; got {kind}."
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
