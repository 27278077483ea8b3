"""What a meta-trained net answers: adapted parameters, and outputs for rows or for whole tasks.

Rows are made dense, and tasks adapted to, a part at a time, so that the memory is bounded.
"""

from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from skmeta.core.backbones import MLP
from skmeta.engine import EpisodeSource, updates_of
from skmeta.tasks.episodes import Rows, fixed_draw
from skmeta.tasks.rows import concatenate_rows

# At once in memory: numbers of rows, rows, tasks, and adapted parameters.
NUMBERS_AT_ONCE = 2**23
ROWS_AT_ONCE = 4096
TASKS_AT_ONCE = 64
PARAMETERS_AT_ONCE = 2**25


class Support(NamedTuple):
    """A support set as the engine takes it, and ``decoder``, which turns outputs into predictions."""

    X: object
    targets: torch.Tensor
    class_mask: torch.Tensor | None
    decoder: object


def adapt_net(net, support, n_steps):
    """Parameters adapted to a task: dict of str to Tensor."""
    learner = net.module_.for_this_thread()
    task, at_once = _task(support, learner.log_inner_lr.device)
    with torch.no_grad():
        params = learner.adapt_task(*task, n_steps=n_steps, at_once=at_once)
    return {name: p.detach().clone() for name, p in params.items()}


def updates_of_net(net, support, n_steps):
    """What ``adapt_net`` with the same arguments does at each step: a dict of arrays."""
    task, at_once = _task(support, net.module_.log_inner_lr.device)
    return updates_of(net.module_, *task, n_steps=n_steps, at_once=at_once)


def _task(support, device):
    """Rows, targets, weights and mask of a support set on the device, and how many rows to take at once."""
    rows, targets = Rows(support.X, device), support.targets.to(device)
    class_mask = None if support.class_mask is None else support.class_mask.to(device)
    return (rows, targets, torch.ones(len(targets), device=device), class_mask), _at_once(rows)


def outputs_of_rows(net, params, X):
    """Outputs ``(n_rows, n_outputs)`` of an adapted task, an array."""
    learner = net.module_.for_this_thread()
    device = learner.log_inner_lr.device
    # A float32 product depends on how many rows it has, so a row alone would differ from the same row
    # among others; for the default network, doubles cost little.
    double = isinstance(learner.backbone, MLP) and device.type != "mps"
    dtype = torch.float64 if double else torch.float32
    params = {name: p.to(device, dtype) for name, p in params.items()}
    rows = Rows(X, device)
    with torch.no_grad():
        parts = [
            learner.outputs(params, rows[index].to(dtype)).cpu()
            for index in torch.arange(X.shape[0]).split(_at_once(rows))
        ]
    return torch.cat(parts).double().numpy()


def outputs_of_tasks(net, tasks, n_steps):
    """Outputs ``(n_query, n_outputs)`` and decoder of each of the ``tasks``: ``(Support, query rows)``."""
    tasks = iter(tasks)
    n_parameters = sum(p.numel() for p in net.module_.parameters())
    at_once = max(1, min(TASKS_AT_ONCE, PARAMETERS_AT_ONCE // n_parameters))
    while chunk := list(islice(tasks, at_once)):
        while chunk:
            part = chunk[: _n_that_fit(chunk)]
            for out, (support, X) in zip(_outputs_of_chunk(net, part, n_steps), part, strict=True):
                yield out[: X.shape[0]], support.decoder
            chunk = chunk[len(part) :]


def _outputs_of_chunk(net, tasks, n_steps):
    """Outputs ``(n_tasks, n_query, n_outputs)``, padded to the largest query set."""
    parts, targets, episodes, end = [], [], [], 0
    for (X, y, _, _), X_query in tasks:
        no_y = y.new_zeros((X_query.shape[0], *y.shape[1:]))
        rows = torch.arange(end, end + len(y) + len(no_y))
        end += len(rows)
        way, no_way = (v if v.ndim == 1 else v.new_zeros(len(v), dtype=torch.long) for v in (y, no_y))
        episodes.append((rows[: len(y)], way, rows[len(y) :], no_way))
        parts += [X, X_query]
        targets += [y, no_y]
    local = tasks[0][0].class_mask is not None
    learner = net.module_.for_this_thread()
    source = EpisodeSource(
        Rows(concatenate_rows(parts), learner.log_inner_lr.device), None if local else torch.cat(targets)
    )
    inputs, _ = source.batch(fixed_draw(episodes))
    with torch.no_grad():
        outputs = learner(**inputs, n_steps=n_steps)["outputs"]
    return outputs.cpu().double().numpy()


def _n_that_fit(tasks):
    """How many of the tasks, padded to the largest, have no more than ``NUMBERS_AT_ONCE``; one at least."""
    sizes = [support.X.shape[0] + X.shape[0] for support, X in tasks]
    row = int(np.prod(tasks[0][1].shape[1:]))
    padded = np.maximum.accumulate(sizes) * np.arange(1, len(sizes) + 1) * row
    return max(1, int((padded <= NUMBERS_AT_ONCE).sum()))


def _at_once(rows):
    return max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // max(1, int(np.prod(rows.shape)))))
