"""What a meta-trained net answers: adapted parameters, and outputs for rows or for whole tasks.

Rows are made dense, and tasks adapted to, a part at a time, so that the memory is bounded.
"""

from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import torch

from skmeta.core.backbones import MLP, InputAndMLP
from skmeta.engine import threads_of_answer, updates_of
from skmeta.tasks import limits
from skmeta.tasks.batch import Rows, make_batch, mapped, on_device
from skmeta.tasks.episodes import Episodes, GivenEpisodes
from skmeta.tasks.preparation import Preparation
from skmeta.tasks.rows import concatenate_rows
from skmeta.tasks.weights import ones_if_none

LOWER = "Lower inner_lr, adapt_steps or, of TAML, meta_model_lr, or look for rows unlike those of fit."


class Network(NamedTuple):
    """What answers: the net, how rows are prepared for it, and how it reads labels."""

    net: object
    preparation: Preparation
    labels: object

    @property
    def device(self):
        return self.net.module_.log_inner_lr.device

    @property
    def dtype(self):
        return self.net.module_.log_inner_lr.dtype

    def rows(self, X, augment=None, weight=None):
        return Rows(X, self.device, self.preparation, augment, weight)


class Question(NamedTuple):
    """A task to answer for: its support set, what its labels say, and its query rows.

    ``targets`` are class numbers or values; ``decoder`` turns outputs into answers; ``weight`` is what
    support rows count, None one each; errors begin with ``where``.
    """

    X: object
    targets: torch.Tensor
    decoder: object
    X_query: object = None
    weight: np.ndarray | None = None
    where: str = ""


def adapted_params(network, question, n_steps):
    """Parameters adapted to a task: dict of str to Tensor; FloatingPointError if they are not finite."""
    support, how = _support(network, question, n_steps)
    learner = network.net.module_
    with torch.no_grad(), threads_of_answer(learner, len(question.targets)):
        params = learner.for_this_thread().adapt_task(*support, **how)
    if not torch.cat([p.flatten() for p in params.values()]).isfinite().all():
        raise FloatingPointError(
            f"{question.where}the parameters are not finite after {how['n_steps']} inner steps. {LOWER}"
        )
    return {name: p.detach().clone() for name, p in params.items()}


def updates_of_net(network, question, n_steps):
    """What ``adapted_params`` with the same arguments does at each step: a dict of arrays."""
    support, how = _support(network, question, n_steps)
    with threads_of_answer(network.net.module_, len(question.targets)):
        return updates_of(network.net.module_, *support, **how)


def _support(network, question, n_steps):
    """Rows, targets, weights and mask of a support set, and how to adapt to it: steps, parts of the rows."""
    n = len(question.targets)
    rows, none = torch.arange(n)[None], torch.zeros(1, 0)
    episode = Episodes(rows, ones_if_none(question.weight, n)[None], none.long(), none)
    read = network.labels.read(episode, question.targets, asked=False)
    read = {"support_weight": episode.support_weight, "class_mask": None} | read
    of_task = (read[name] for name in ("support_y", "support_weight", "class_mask"))
    targets, weight, mask = (
        None if t is None else on_device(mapped(itemgetter(0), t), network.device, network.dtype)
        for t in of_task
    )
    rows = network.rows(question.X)
    # Where targets are a dict, a row has many of them, which no slice of rows is of.
    parts = (slice(None),) if isinstance(targets, dict) else limits.parts(n, rows.shape)
    how = {"n_steps": n_steps if n else 0, "parts": parts}
    return (rows, targets, weight, mask), how


# Tensors of the last layer that only a variance takes.
OF_VARIANCE = {"head.deviation", "head.spread", "head.noise"}


def answers_of_rows(network, params, X, *, with_variance=True):
    """``outputs`` of an adapted task, ``(n_rows, n_outputs)``, and their ``variance`` if they have one.

    A variance takes longer than all else, and can be left out; that of logits, by which they are drawn to
    zero, is the same for both of two classes.
    A dict of arrays; FloatingPointError if one is not finite.
    """
    learner = network.net.module_.for_this_thread()
    # A float32 product depends on how many rows it has, so a row alone would differ from the same row
    # among others; for the default network, doubles cost little.
    double = isinstance(learner.backbone, MLP | InputAndMLP) and network.device.type != "mps"
    dtype = torch.float64 if double else network.dtype
    params = {name: p.to(network.device, dtype) for name, p in params.items()}
    if not with_variance:
        params = {name: p for name, p in params.items() if name not in OF_VARIANCE}
    rows = network.rows(X)
    with torch.no_grad(), threads_of_answer(learner, X.shape[0]):
        parts = [
            learner.answers(params, rows[index].to(dtype) if double else rows[index])
            for index in limits.parts(X.shape[0], rows.shape)
        ]
    answers = {name: torch.cat([part[name].cpu() for part in parts]).double().numpy() for name in parts[0]}
    for values in answers.values():
        check_outputs(values)
    return answers


def answers_of_tasks(network, questions, n_steps):
    """Each of the ``questions`` with its answers, as ``answers_of_rows`` has them."""
    questions = iter(questions)
    at_once = limits.tasks_at_once(sum(p.numel() for p in network.net.module_.parameters()))
    while chunk := list(islice(questions, at_once)):
        while chunk:
            n_rows = [question.X.shape[0] + question.X_query.shape[0] for question in chunk]
            part = chunk[: limits.first_that_fit(n_rows, chunk[0].X_query.shape[1:])]
            of_chunk = _answers_of_chunk(network, part, n_steps)
            for i, question in enumerate(part):
                n_query = question.X_query.shape[0]
                answers = {name: values[i, :n_query] for name, values in of_chunk.items()}
                for values in answers.values():
                    check_outputs(values, question.where)
                yield question, answers
            chunk = chunk[len(part) :]


def check_outputs(outputs, where=""):
    """Raise FloatingPointError, which begins with ``where``, for outputs that are not finite."""
    if not np.isfinite(outputs).all():
        raise FloatingPointError(
            f"{where}the outputs of {(~np.isfinite(outputs)).any(1).sum()} of {len(outputs)} query rows are "
            f"not finite. {LOWER}"
        )


def _answers_of_chunk(network, questions, n_steps):
    """Answers ``(n_tasks, n_query, n_outputs)``, padded to the largest query set."""
    supports, queries = [q.X for q in questions], [q.X_query for q in questions]
    support_ends = np.cumsum([0, *(X.shape[0] for X in supports)])
    query_ends = support_ends[-1] + np.cumsum([0, *(X.shape[0] for X in queries)])
    bounds = [(ends[:-1], ends[1:]) for ends in (support_ends, query_ends)]
    weight = None
    if any(q.weight is not None for q in questions):
        of_tasks = (ones_if_none(q.weight, len(q.targets)) for q in questions)
        weight = torch.cat([*of_tasks, torch.ones(query_ends[-1] - support_ends[-1])])
    batch = make_batch(
        GivenEpisodes(*bounds).draw(np.arange(len(questions))),
        network.rows(concatenate_rows(supports + queries), weight=weight),
        network.labels,
        torch.cat([question.targets for question in questions]),
        dtype=network.dtype,
        asked=False,
    )
    learner = network.net.module_.for_this_thread()
    with torch.no_grad(), threads_of_answer(learner, support_ends[-1] + query_ends[-1]):
        answers = learner(**batch.inputs(), n_steps=n_steps)
    return {n: answers[n].cpu().double().numpy() for n in ("outputs", "variance") if n in answers}
