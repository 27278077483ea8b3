"""The inner loop and its rules: pure functions of a task, parameters in, parameters out.

They are written for one task; ``vmap`` or a loop adds the meta-batch around them. Leading axes of all
tensors, those of tasks, work too.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from skmeta.core.backbones import TINY

MOMENTUM_DECAY = 0.9
# Length of what a meta-model may add in one step, as a share of that of the parameters at the start. Without
# a bound it learns to let them grow at each step, and some new task explodes. Mean absolute errors without
# it, with 0.2 and with 0.1, and largest of a task: wages, two rows of each person, three seeds, .153, .145
# and .135, and 1.7, .9 and .6; sinusoids, ten rows, 500 outer steps, two seeds, .274, .287 and .331.
LARGEST_SHARE = 0.2


class Evidence(NamedTuple):
    """What the support set says about a task's current parameters.

    Where targets are a dict of tensors, ``outputs`` and ``y`` are what ``told`` of the loss makes of them.

    Attributes
    ----------
    outputs : Tensor of shape (n_support, n_way) or (n_support, n_outputs)
        Logits or predictions.
    y : Tensor of shape (n_support,) or (n_support, n_outputs)
        Class numbers or targets.
    weight : Tensor of shape (n_support,)
        Zero for padding.
    n_way : Tensor of shape ()
        Number of classes; 1 in a regression.
    loss : Tensor of shape ()
        Weighted mean loss; its axes are those of tasks, if all have them.
    """

    outputs: Tensor
    y: Tensor
    weight: Tensor
    n_way: Tensor
    loss: Tensor


class Step(NamedTuple):
    """What a meta-model sees before one inner step; the dicts map parameter names to tensors.

    Attributes
    ----------
    progress : float
        k/K: 0 at the first of the inner steps trained with, never above 1.
    params, initial_params : dict of str to Tensor
        The task's parameters now, and before its first step.
    grads : dict of str to Tensor
        Gradient of the support loss.
    momentum : dict of str to Tensor
        Decaying sum of the gradients, this one included.
    evidence : Evidence
        Of the support set: its ``outputs``, ``y``, ``weight``, ``n_way`` and ``loss``.
    sizes : dict of str to Tensor
        Number of elements of each tensor, without those of classes that the task lacks.
    """

    progress: float
    params: dict
    initial_params: dict
    grads: dict
    momentum: dict
    evidence: Evidence
    sizes: dict


def inner_loop(gradient, params, rule, n_steps, *, first_order=False):
    """Adapt ``params`` to one task by ``n_steps`` steps of ``rule``.

    Parameters
    ----------
    gradient : callable
        ``gradient(params)`` returns a dict like ``params``, and an ``Evidence``, or None for a rule that
        reads none.
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
    state = rule.start(params)
    for _ in range(n_steps):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not first_order):
            grads, evidence = gradient(params)
        params, state = rule.step(params, grads, evidence, state)
    return params


def gradient_of(loss):
    """The gradient of a support loss: ``loss(params)`` returns the loss and an ``Evidence``."""
    return grad(loss, has_aux=True)


def gradient_by_autograd(loss):
    """The same for one task at a time: plain autograd is faster, but ``vmap`` cannot map it."""

    def gradient(params):
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            # Views: a head made of features depends on the backbone, by which its part must not count.
            own = {name: _own_view(p if differentiable else p.detach()) for name, p in params.items()}
            value, evidence = loss(own)
            grads = torch.autograd.grad(
                value, list(own.values()), create_graph=differentiable, materialize_grads=True
            )
        if evidence is not None and not differentiable:
            evidence = Evidence(*(part.detach() for part in evidence))
        return dict(zip(params, grads, strict=True)), evidence

    return gradient


def _own_view(p):
    return p.view_as(p) if p.requires_grad else p.detach().requires_grad_()


def gradient_of_parts(parts):
    """The gradient of a large support set, one part in memory at a time: pairs of its share and gradient."""

    def gradient(params):
        total = {name: torch.zeros_like(p) for name, p in params.items()}
        seen = []
        for share, part in parts:
            grads, evidence = part(params)
            total = {name: g + share * grads[name] for name, g in total.items()}
            seen.append(evidence)
        return total, None if evidence is None else _joined([share for share, _ in parts], seen)

    return gradient


def _joined(shares, parts):
    """The ``Evidence`` of a support set from that of its parts."""
    loss = sum(share * part.loss for share, part in zip(shares, parts, strict=True))
    outputs, y, weight = (torch.cat(rows, loss.ndim) for rows in list(zip(*parts, strict=True))[:3])
    return Evidence(outputs, y, weight, parts[0].n_way, loss)


def bounded(gradient, largest, n_axes):
    """The gradient, drawn in to a norm of ``largest`` over all of a task's tensors where it is longer.

    ``n_axes`` leading axes are those of tasks. The factor counts as a constant in the outer derivative.
    """

    def drawn_in(params):
        grads, evidence = gradient(params)
        with torch.no_grad():
            factor = largest / _length(grads, n_axes).clamp_min(largest)
        axes = {name: [1] * (g.ndim - n_axes) for name, g in grads.items()}
        return {n: g * factor.reshape(*factor.shape, *axes[n]) for n, g in grads.items()}, evidence

    return drawn_in


@torch.no_grad()
def largest_update(initial_params, evidence):
    """Length of the longest update by a meta-model that is made as it is, for each task."""
    return LARGEST_SHARE * _length(initial_params, evidence.weight.ndim - 1)


@torch.no_grad()
def kept_share(update, meta_model_lr, largest, evidence):
    """The share of ``meta_model_lr * update`` that is made: one number, for all of a task's tensors.

    It is below one where that is longer than ``largest``, and zero without a support row, since there
    is nothing to predict from. It counts as a constant in the outer derivative: by an exact one the start
    itself learns to grow, which lets the updates grow, and nothing is bounded.
    """
    length = abs(meta_model_lr) * _length(update, evidence.weight.ndim - 1)
    share = largest / torch.maximum(length, largest).clamp_min(TINY)
    return share * (evidence.weight.sum(-1) > 0)


def _length(tensors, n_axes):
    """Euclidean norm over all of a task's tensors; ``n_axes`` leading axes are those of tasks."""
    norms = [torch.linalg.vector_norm(t.flatten(n_axes), dim=-1) for t in tensors.values()]
    return torch.linalg.vector_norm(torch.stack(norms), dim=0)


class GradientDescent:
    """``theta <- theta - inner_lr * gradient``.

    ``inner_lr`` is a dict of one step size for each parameter tensor, tensors of shape ``()``.
    """

    def __init__(self, inner_lr):
        self.inner_lr = inner_lr

    def start(self, params):
        return None

    def step(self, params, grads, evidence, state):
        return {n: torch.addcmul(p, self.inner_lr[n], grads[n], value=-1) for n, p in params.items()}, state


class LearnedUpdate(GradientDescent):
    """``theta <- theta - inner_lr * gradient + meta_model_lr * meta_model(step)``.

    No step adds more than ``kept_share`` allows. ``horizon`` is the number of inner steps trained with; later
    steps look like the last of them. ``sizes`` is as in ``Step``; None counts all elements.
    """

    def __init__(self, inner_lr, meta_model, meta_model_lr, horizon, sizes=None):
        super().__init__(inner_lr)
        self.meta_model, self.meta_model_lr, self.horizon = meta_model, meta_model_lr, horizon
        self.sizes = sizes

    def start(self, params):
        return 0, params, {name: torch.zeros_like(p) for name, p in params.items()}, None

    def step(self, params, grads, evidence, state):
        k, initial, momentum, largest = state
        if largest is None:  # once: to read all tensors takes as long as to change them
            largest = largest_update(initial, evidence)
        momentum = {name: torch.add(grads[name], m, alpha=MOMENTUM_DECAY) for name, m in momentum.items()}
        progress = min(k / self.horizon, 1.0)
        sizes = self.sizes or {name: p.numel() for name, p in params.items()}
        update = self._predict(Step(progress, params, initial, grads, momentum, evidence, sizes))
        params, _ = super().step(params, grads, evidence, None)
        kept = kept_share(update, self.meta_model_lr, largest, evidence)
        for name, p in params.items():
            share = kept.reshape((*kept.shape, *[1] * (p.ndim - kept.ndim)))
            params[name] = torch.addcmul(p, share, update[name], value=self.meta_model_lr)
        return params, (k + 1, initial, momentum, largest)

    def _predict(self, step):
        try:
            update = self.meta_model(step)
        except (TypeError, AttributeError) as error:
            raise TypeError(f"meta_model={self.meta_model!r} failed on a skmeta.Step: {error}") from error
        if not isinstance(update, dict) or update.keys() != step.params.keys():
            got = sorted(update) if isinstance(update, dict) else type(update).__name__
            raise TypeError(
                "meta_model must return a dict with an update for each tensor in step.params, "
                f"{sorted(step.params)}; got {got}."
            )
        return update
