"""The tensors of episodes: what an engine takes, in training, in validation and to answer."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from skmeta.tasks import limits
from skmeta.tasks.targets import CommonScale, TargetScaler
from skmeta.tasks.weights import balancing


class Batch(NamedTuple):
    """Tensors of the episodes of several tasks; the first axis of each is ``n_tasks``.

    What there is none of is None: query labels when answers are wanted, the mask of classes where all
    tasks share theirs, level and scale where labels are classes.
    """

    support_x: torch.Tensor  # (n_tasks, n_support, ...)
    # (n_tasks, n_support) class numbers, (n_tasks, n_support, n_outputs) values, or a dict of tensors
    support_y: torch.Tensor | dict
    support_weight: torch.Tensor  # (n_tasks, n_support), zero for what fills up
    query_x: torch.Tensor  # (n_tasks, n_query, ...)
    query_y: torch.Tensor | dict | None = None
    query_weight: torch.Tensor | None = None
    class_mask: torch.Tensor | None = None  # (n_tasks, n_way): which classes an episode has
    output_scale: torch.Tensor | None = None  # (n_tasks, n_outputs): from outputs to units of the query's y

    def inputs(self):
        """Arguments of ``MetaLearner.forward``."""
        names = "support_x", "support_y", "support_weight", "query_x", "class_mask", "output_scale"
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def target(self):
        """What the objective compares with."""
        return {"query_y": self.query_y, "query_weight": self.query_weight}


def mapped(function, values):
    """``function`` of a tensor, or of each in a dict of them: targets may be more than one tensor."""
    if isinstance(values, dict):
        return {name: function(t) for name, t in values.items()}
    return function(values)


def on_device(values, device, dtype):
    """Tensors of labels on the device, those of floats in the network's type."""
    return mapped(lambda t: t.to(device, dtype if t.is_floating_point() else t.dtype), values)


class Rows:
    """Rows of all tasks as a network takes them, on the device, as they are asked for.

    Dense rows lie there once, prepared; others are made dense, and prepared, as they are drawn.

    Parameters
    ----------
    X : array, scipy sparse matrix or anything that an int array indexes to one, first axis ``n_rows``
    device : torch.device
    preparation : Preparation
    augment : callable, default=None
        Changes what ``augmented`` returns, before it is prepared.
    weight : array of shape (n_rows,), default=None
        What each row counts; None is one each.
    """

    def __init__(self, X, device, preparation, augment=None, weight=None):
        self.device, self.preparation, self.augment = device, preparation, augment
        self.weight = None if weight is None else torch.as_tensor(weight)
        # Apple's GPUs know no doubles: rows are prepared where there are some.
        self.home = torch.device("cpu") if device.type == "mps" else device
        self.X = X.tocsr() if hasattr(X, "tocsr") else X
        if isinstance(X, np.ndarray):  # torch takes neither negative strides nor read-only memory
            X = torch.as_tensor(np.require(X, requirements="CW"))
            self.X = X.to(self.home) if augment else self._all_prepared(X)

    @property
    def shape(self):
        """Shape of one row."""
        return torch.Size(self.X.shape[1:])

    @property
    def are_prepared(self):
        """Whether all rows are on the device, dense, as the network takes them."""
        return isinstance(self.X, torch.Tensor) and self.augment is None

    def __getitem__(self, index):
        """Rows at a slice, or at an int tensor of any shape."""
        if self.are_prepared:
            return self.X[index if isinstance(index, slice) else index.to(self.device)]
        return self._prepared(self._as_passed(index))

    def augmented(self, index, generator):
        """Rows at an int tensor of shape (n_tasks, n_rows), changed by ``augment``."""
        rows = self._as_passed(index)
        if not rows.is_floating_point():
            rows = rows.to(self.preparation.floating)
        changed = self.augment(rows, generator)
        _check_same_kind(changed, rows)
        return self._prepared(changed)

    def _as_passed(self, index):
        if isinstance(self.X, torch.Tensor):
            return self.X[index if isinstance(index, slice) else index.to(self.home)]
        if isinstance(index, slice):
            return self._dense(self.X[index])
        return self._dense(self.X[index.flatten().numpy()]).reshape(*index.shape, *self.shape)

    def _dense(self, rows):
        return torch.from_numpy(rows.toarray() if hasattr(rows, "toarray") else rows).to(self.home)

    def _prepared(self, rows):
        return self.preparation(rows).to(self.device)

    def _all_prepared(self, X):
        """All rows, a part at a time, since they may be in double precision on the way."""
        parts = [self._prepared(X[part].to(self.home)) for part in limits.parts(len(X), X.shape[1:])]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


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


class SharedClasses:
    """Labels are class numbers, the same in every task."""

    def read(self, episodes, codes, asked=True):
        """Labels of a ``Batch``, from the class number of each row; query labels only if ``asked``."""
        read = {"support_y": _at(codes, episodes.support), "query_weight": episodes.query_weight}
        return read | {"query_y": _at(codes, episodes.query)} if asked else read


class OwnClasses:
    """Labels mean something only inside a task: each episode numbers those of its support set, in order.

    A query row whose class the support set has not cannot be asked for, and counts nowhere. If they are
    ``balanced``, the rows of each class count alike, in each of the two sets.
    """

    def __init__(self, balanced=False):
        self.balanced = balanced

    def read(self, episodes, codes, asked=True):
        """As ``SharedClasses.read``, with the mask of classes."""
        support, weight = _at(codes, episodes.support), episodes.support_weight
        # What fills up comes last, as one more class, which no episode has.
        none = torch.iinfo(support.dtype).max
        ordered, order = support.masked_fill(weight == 0, none).sort(-1)
        is_first = torch.ones_like(ordered, dtype=torch.bool)
        is_first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
        number = is_first.cumsum(-1) - 1
        n_way = (is_first & (ordered < none)).sum(-1)
        own = torch.zeros_like(support).scatter(-1, order, number).masked_fill(weight == 0, 0)
        mask = torch.arange(max(int(n_way.max()), 1)) < n_way[..., None]
        read = {"support_y": own, "class_mask": mask, "query_weight": episodes.query_weight}
        if self.balanced:
            read["support_weight"] = _balanced(own, weight, mask.shape[-1])
        if not asked:
            return read
        query = _at(codes, episodes.query)
        place = torch.searchsorted(ordered, query).clamp_max(ordered.shape[-1] - 1)
        known = ordered.gather(-1, place) == query
        query_y, weight = number.gather(-1, place).masked_fill(~known, 0), episodes.query_weight * known
        if self.balanced:
            weight = _balanced(query_y, weight, mask.shape[-1])
        return read | {"query_y": query_y, "query_weight": weight}


def _balanced(y, weight, n_way):
    """Weights by which the rows of each class count alike, and all rows as much as before."""
    member = torch.nn.functional.one_hot(y, n_way) * weight[..., None]
    return (member * balancing(member.sum(-2))[..., None, :]).sum(-1)


@dataclass
class Values:
    """Targets of a regression, brought to the order of one by what a task's support set tells.

    Parameters
    ----------
    scaler : TargetScaler or CommonScale
    spread : tensor of shape (n_rows, n_outputs), or None
        Scale of each row's task, the unit of the errors in its query set: a support set whose targets
        happen to be much closer to each other than the task's would else count far too much.
    """

    scaler: TargetScaler | CommonScale
    spread: torch.Tensor | None = None

    def read(self, episodes, values, asked=True):
        """As ``SharedClasses.read``, with the scale of the outputs, from the targets of each row."""
        support = _at(values, episodes.support)
        level, scale = self.scaler(support, episodes.support_weight)
        read = {
            "support_y": (support - level[:, None]) / scale[:, None],
            "query_weight": episodes.query_weight,
        }
        if not asked:
            return read
        spread = self.spread[episodes.support[:, 0]]
        query = (_at(values, episodes.query) - level[:, None]) / spread[:, None]
        return read | {"query_y": query, "output_scale": scale / spread}


def make_batch(episodes, rows, labels, targets, *, dtype, asked=True, generator=None):
    """``Batch`` of the episodes.

    Parameters
    ----------
    episodes : Episodes
    rows : Rows
    labels : SharedClasses, OwnClasses or Values
    targets : tensor of shape (n_rows, ...)
        Of each row what ``labels`` reads; without ``asked``, of support rows alone, which come first.
    dtype : torch.dtype
        Of weights and targets.
    asked : bool, default=True
        Whether query rows have labels.
    generator : torch.Generator, default=None
        By which rows are augmented, if they are to be.
    """
    if rows.weight is not None:
        episodes = episodes.weighted(rows.weight)
    read = {"support_weight": episodes.support_weight} | labels.read(episodes, targets, asked)
    read = {name: on_device(part, rows.device, dtype) for name, part in read.items()}
    if generator is None:
        read |= {"support_x": rows[episodes.support], "query_x": rows[episodes.query]}
    else:
        both = rows.augmented(torch.cat([episodes.support, episodes.query], 1), generator)
        read["support_x"], read["query_x"] = both.tensor_split([episodes.support.shape[1]], 1)
    return Batch(**read)


def _at(targets, index):
    """Targets at row numbers; those of what fills up where there are none."""
    if len(targets) == 0:
        return targets.new_zeros(*index.shape, *targets.shape[1:])
    return targets[index.clamp_max(len(targets) - 1)]
