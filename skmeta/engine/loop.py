"""Tasks one after another: each has a backward pass of its own, so one graph is in memory at a time."""

from operator import itemgetter

import torch
from torch.autograd.function import once_differentiable

from skmeta.tasks.batch import mapped


def loop(function, tasks):
    """Add the meta-batch axis to what ``function`` of one task returns, a dict of tensors.

    ``tasks`` is a list of its arguments, a tuple for each task.
    """
    results = [function(*task) for task in tasks]
    return {name: torch.stack([r[name] for r in results]) for name in results[0]}


def loop_with_gradient(function, tasks, objective, target, learned, outputs_before):
    """As ``loop``, without a graph, and the ``"objective"``, whose gradient is already computed.

    Parameters
    ----------
    function : callable
    tasks : list of tuples
    objective : OuterObjective
    target : dict of Tensor, or of dicts of them
        What the objective takes; the first axis is that of tasks.
    learned : list of Parameter
        What the gradient is by.
    outputs_before : callable
        Outputs of one task before adaptation; asked without a graph, where an objective that weighs the
        tasks by each other must know of all tasks first.
    """
    slopes = None
    if objective.weighs_tasks:
        with torch.no_grad():
            before = torch.stack([outputs_before(*task) for task in tasks])
        slopes = objective.slopes(before, target)
    grads, results = [None] * len(learned), []
    for i, task in enumerate(tasks):
        result = function(*task)
        of_task = {name: mapped(itemgetter(i), t) for name, t in target.items()}
        share = objective.terms(result, of_task) / len(tasks)
        if slopes is not None:
            share = share + (slopes[i] * result["initial_outputs"]).sum()
        more = torch.autograd.grad(share, learned, allow_unused=True)
        grads = [_sum(*of_one) for of_one in zip(grads, more, learned, strict=True)]
        results.append({name: t.detach() for name, t in result.items()})
        del result, share, more  # else they would live on beside those of the next task
    outcome = {name: torch.stack([r[name] for r in results]) for name in results[0]}
    return outcome | {"objective": _WithGradient.apply(objective(outcome, target), grads, *learned)}


def _sum(total, grad, p):
    """The sum of gradients so far, changed in place, which lies in memory as the parameter does."""
    if grad is None:
        return total
    return torch.empty_like(p).copy_(grad) if total is None else total.add_(grad)


class _WithGradient(torch.autograd.Function):
    """A value, and its gradient by ``learned``, computed before."""

    @staticmethod
    def forward(ctx, value, grads, *learned):
        ctx.grads = grads
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, along):
        return None, None, *(None if g is None else along * g for g in ctx.grads)
