"""That all contestants compute the same: meta-gradients of one meta-batch."""

from dataclasses import replace

import torch
from torch import nn

from skmeta.core.heads import LinearHead
from skmeta.core.losses import OuterObjective, cross_entropy
from skmeta.core.regression_losses import squared_error
from skmeta.engine import MetaLearner, forced_strategy

TOLERANCE = 1e-4
STRATEGIES = {"skmeta": "auto", "skmeta, vmap": "vmap", "skmeta, loop": "loop"}


def check_gradients(case, contestants, device="cpu"):
    """Relative error of each contestant's meta-gradient; raises if one is above ``TOLERANCE``."""
    if case.convolves:  # a step takes seconds, and all its tasks are alike
        case = replace(case, n_tasks=min(case.n_tasks, 4))
    model, batch = case.model().to(device), case.batch(device=device)
    tutorial = case.tutorial_model().to(device)
    # A GPU else convolves with ten bits of mantissa.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = skmeta_gradient(model, batch, case)
        found = {name: skmeta_gradient(model, batch, case, s) for name, s in STRATEGIES.items()}
        found |= {name: gradient(fill, tutorial, batch, case) for name, fill in contestants.items()}
    return {name: check_gradient(name, g, expected) for name, g in found.items()}


def check_gradient(name, found, expected):
    """Relative error of a meta-gradient, a vector; raises if it is above ``TOLERANCE``."""
    error = ((found - expected).norm() / expected.norm()).item()
    if not error <= TOLERANCE:
        raise ValueError(f"The meta-gradient of {name!r} differs from skmeta's by {error:.1e} of its norm.")
    return error


def gradient(fill_gradient, model, batch, case):
    """Meta-gradient of a contestant, as a vector."""
    model.zero_grad()
    fill_gradient(model, batch, case)
    return _grads(model.parameters())


def skmeta_gradient(model, batch, case, strategy="auto"):
    """Meta-gradient of skmeta's engine, as a vector in the same order."""
    learner = make_learner(model, case)
    weight = torch.ones(batch.support_x.shape[:2], device=batch.support_x.device)
    with forced_strategy(strategy):
        outputs = learner(batch.support_x, batch.support_y, weight, batch.query_x)["outputs"]
    torch.stack([case.loss(out, y) for out, y in zip(outputs, batch.query_y, strict=True)]).mean().backward()
    return _grads([*learner.backbone.parameters(), learner.head.weight, learner.head.bias])


def make_learner(model, case):
    """skmeta's engine around the backbone and the linear head of ``model``."""
    backbone, linear = model
    head = LinearHead(linear.in_features, linear.out_features)
    head.weight, head.bias = (nn.Parameter(p.detach().clone()) for p in (linear.weight, linear.bias))
    learner = MetaLearner(
        backbone,
        head,
        objective=OuterObjective(squared_error if case.is_regression else cross_entropy),
        adapted=[
            *(f"backbone.{name}" for name, _ in backbone.named_parameters()),
            "head.weight",
            "head.bias",
        ],
        inner_lr=case.inner_lr,
        inner_steps=case.inner_steps,
        adapt_steps=case.inner_steps,
        meta_gradient="second_order" if case.second_order else "first_order",
    ).to(linear.weight.device)
    learner.zero_grad()
    return learner


def _grads(parameters):
    return torch.cat([p.grad.flatten() for p in parameters])
