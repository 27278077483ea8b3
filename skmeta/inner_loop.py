"""The inner loop and its rules: pure functions of one task, parameters in, parameters out.

Nothing here knows a meta-batch: ``vmap`` or a loop adds that axis around it.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad

MOMENTUM_DECAY = 0.9


class Evidence(NamedTuple):
    """What the support set says about a task's current parameters."""

    outputs: Tensor  # (n_support, n_way) logits, or (n_support, n_outputs) predictions
    y: Tensor  # (n_support,) class numbers, or (n_support, n_outputs) targets
    weight: Tensor  # (n_support,), zero for padding
    n_way: Tensor  # () number of classes; 1 in a regression
    loss: Tensor  # () weighted mean loss


class Step(NamedTuple):
    """What a meta-model sees before one inner step; the dicts map parameter names to tensors."""

    progress: float  # k/K: 0 at the first of the inner steps trained with, never above 1
    params: dict
    initial_params: dict
    grads: dict
    momentum: dict  # decaying sum of the gradients, this one included
    evidence: Evidence
    sizes: dict  # number of elements of each tensor, without those of classes that the task lacks


def inner_loop(loss, params, rule, n_steps, *, first_order=False):
    """Adapt ``params`` to one task by ``n_steps`` steps of ``rule``.

    Parameters
    ----------
    loss : callable, or list of (float, callable)
        ``loss(params)`` returns the support loss and an ``Evidence``. A list splits a large support set:
        the loss is the sum of the parts' by these shares, and one part is in memory at a time.
    params : dict of str to Tensor
    rule : GradientDescent or LearnedUpdate
    n_steps : int
    first_order : bool, default=False
        Treat the gradients as constants in the outer derivative (FOMAML, Finn et al. 2017).

    Returns
    -------
    dict of str to Tensor
        Adapted; the input is unchanged.
    """
    gradient = grad(loss, has_aux=True) if callable(loss) else _gradient_of_parts(loss)
    state = rule.start(params)
    for _ in range(n_steps):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not first_order):
            grads, evidence = gradient(params)
        params, state = rule.step(params, grads, evidence, state)
    return params


def _gradient_of_parts(parts):
    def gradient(params):
        total = {name: torch.zeros_like(p) for name, p in params.items()}
        seen = []
        for share, loss in parts:
            grads, evidence = grad(loss, has_aux=True)(params)
            total = {name: g + share * grads[name] for name, g in total.items()}
            seen.append(evidence)
        outputs, y, weight = (torch.cat(values) for values in list(zip(*seen, strict=True))[:3])
        value = sum(share * evidence.loss for (share, _), evidence in zip(parts, seen, strict=True))
        return total, Evidence(outputs, y, weight, seen[0].n_way, value)

    return gradient


class GradientDescent:
    """``theta <- theta - inner_lr * gradient``, with one step size for each parameter tensor."""

    def __init__(self, inner_lr):
        self.inner_lr = inner_lr

    def start(self, params):
        return None

    def step(self, params, grads, evidence, state):
        return {name: p - self.inner_lr[name] * grads[name] for name, p in params.items()}, state


class LearnedUpdate(GradientDescent):
    """``theta <- theta - inner_lr * gradient + meta_model_lr * meta_model(step)``.

    ``horizon`` is the number of inner steps trained with; later steps look like the last of them.
    ``sizes`` is as in ``Step``; None counts all elements.
    """

    def __init__(self, inner_lr, meta_model, meta_model_lr, horizon, sizes=None):
        super().__init__(inner_lr)
        self.meta_model, self.meta_model_lr, self.horizon = meta_model, meta_model_lr, horizon
        self.sizes = sizes

    def start(self, params):
        return 0, params, {name: torch.zeros_like(p) for name, p in params.items()}

    def step(self, params, grads, evidence, state):
        k, initial, momentum = state
        momentum = {name: MOMENTUM_DECAY * m + grads[name] for name, m in momentum.items()}
        progress = min(k / self.horizon, 1.0)
        sizes = self.sizes or {name: p.numel() for name, p in params.items()}
        update = self._predict(Step(progress, params, initial, grads, momentum, evidence, sizes))
        params, _ = super().step(params, grads, evidence, None)
        params = {name: p + self.meta_model_lr * update[name] for name, p in params.items()}
        return params, (k + 1, initial, momentum)

    def _predict(self, step):
        try:
            update = self.meta_model(step)
        except (TypeError, AttributeError) as error:
            raise TypeError(
                f"meta_model={self.meta_model!r} failed on a skmeta.inner_loop.Step: {error}"
            ) from error
        if not isinstance(update, dict) or update.keys() != step.params.keys():
            got = sorted(update) if isinstance(update, dict) else type(update).__name__
            raise TypeError(
                "meta_model must return a dict with an update for each tensor in step.params, "
                f"{sorted(step.params)}; got {got}."
            )
        return update
