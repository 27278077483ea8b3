"""Meta-models: one contract for all, and the basis form against its formula."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.func import grad

from skmeta.core.inner_loop import (
    Evidence,
    LearnedUpdate,
    Step,
    gradient_of,
    inner_loop,
    kept_share,
    largest_update,
)
from skmeta.core.losses import cross_entropy
from skmeta.core.meta_models import BasisMetaModel, _mixed
from skmeta.core.regression_losses import squared_error

META_MODELS = {
    "basis": BasisMetaModel,
    "small basis": partial(BasisMetaModel, hidden=4, bound=2.0),
}


def active(make, scale=1.0, dtype=torch.float32):
    """A meta-model whose parameters, the output layer's too, are random."""
    generator = torch.Generator().manual_seed(0)
    g = make()
    for p in g.parameters():
        p.data.normal_(generator=generator).mul_(scale)
    return g.to(dtype)


@pytest.fixture(params=META_MODELS.values(), ids=META_MODELS)
def make(request):
    return request.param


# ---- a task: a small network of tensors with 0, 1 and 2 axes, and its support set


class Task(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    loss: object
    params: dict
    weight: torch.Tensor | None = None  # of the support rows; None is one each

    def value(self, params):
        hidden = (self.x @ params["hidden"]).tanh() * params["scale"]
        outputs = hidden @ params["weight"] + params["bias"]
        weight = self.x.new_ones(len(self.x)) if self.weight is None else self.weight
        value = self.loss(outputs, self.y, weight)
        return value, Evidence(outputs, self.y, weight, torch.tensor(3), value)

    def step(self, progress=0.5, seed=1):
        """A step in the middle of an inner loop."""
        grads, evidence = grad(self.value, has_aux=True)(self.params)
        initial, momentum = random_like(self.params, seed), random_like(self.params, seed + 1)
        return Step(
            progress,
            self.params,
            initial,
            grads,
            momentum,
            evidence,
            {name: p.numel() for name, p in self.params.items()},
        )

    def adapt(self, g, n_steps, meta_model_lr=0.1):
        inner_lr = dict.fromkeys(self.params, torch.tensor(0.1))
        return inner_loop(
            gradient_of(self.value), self.params, LearnedUpdate(inner_lr, g, meta_model_lr, n_steps), n_steps
        )


def random_like(params, seed):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in params.items()}


def make_task(kind, dtype=torch.float32, n_hidden=4):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(6, 5, generator=generator).to(dtype)
    shapes = {"hidden": (5, n_hidden), "scale": (), "weight": (n_hidden, 3), "bias": (3,)}
    params = random_like({name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}, 0)
    if kind == "regression":
        return Task(x, (2 * x[:, :3]).sin() + 1, squared_error, params)
    return Task(x, torch.tensor([0, 1, 2, 2, 1, 0]), cross_entropy, params)


@pytest.fixture(params=["classification", "regression"])
def kind(request):
    return request.param


def no_params(task):
    return task._replace(params={name: torch.zeros_like(p) for name, p in task.params.items()})


def perfect_fit(task):
    """Zero gradients with non-zero parameters: the loss is at its smallest."""
    outputs = task.value(task.params)[1].outputs
    y = outputs.detach() if task.loss is squared_error else outputs.argmax(1)
    params = task.params | {n: task.params[n] * 1e6 for n in ("weight", "bias") if task.loss is cross_entropy}
    return task._replace(y=y, params=params)


DEGENERATE = {
    "all parameters zero": no_params,
    "zero gradients": perfect_fit,
    "duplicate rows": lambda task: task._replace(x=task.x[:1].expand(6, -1)),
    "duplicate rows and labels": lambda task: task._replace(
        x=task.x[:1].expand(6, -1), y=task.y[:1].expand_as(task.y)
    ),
    "constant features": lambda task: task._replace(x=torch.ones_like(task.x)),
    "features zero": lambda task: task._replace(x=torch.zeros_like(task.x)),
    "one row": lambda task: task._replace(x=task.x[:1], y=task.y[:1]),
    "no row": lambda task: task._replace(x=task.x[:0], y=task.y[:0]),
}


# ---- the contract


def test_the_update_is_zero_at_the_start_and_not_later(make, kind):
    step = make_task(kind).step()
    for name, p in step.params.items():
        first, later = make()(step)[name], active(make)(step)[name]
        assert first.shape == later.shape == p.shape
        assert not first.any() and later.any()


def test_something_learns_from_the_start(make, kind):
    task, g = make_task(kind), make()
    task.value(task.adapt(g, 2))[0].backward()
    assert any(p.grad is not None and p.grad.any() for p in g.parameters())


def test_the_order_of_the_support_rows_does_not_matter(make, kind):
    g, task = active(make, dtype=torch.float64), make_task(kind, torch.float64)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    permuted = task._replace(x=task.x[order], y=task.y[order])
    torch.testing.assert_close(g(permuted.step()), g(task.step()))


def test_the_size_does_not_depend_on_the_network_it_adapts(make):
    g = active(make)
    for n_hidden in 1, 30:
        task = make_task("classification", n_hidden=n_hidden)
        assert g(task.step())["weight"].shape == (n_hidden, 3)
    images = {"kernel": (2, 1, 3, 3), "bias": (2,)}
    step = make_task("classification").step()
    params = random_like({name: torch.empty(shape) for name, shape in images.items()}, 0)
    sizes = {name: p.numel() for name, p in params.items()}
    same = dict.fromkeys(["params", "initial_params", "grads", "momentum"], params)
    update = g(step._replace(**same, sizes=sizes))
    assert {name: tuple(u.shape) for name, u in update.items()} == images


@pytest.mark.parametrize("degenerate", DEGENERATE.values(), ids=DEGENERATE)
def test_values_and_outer_gradients_are_finite_on_degenerate_support_sets(make, kind, degenerate):
    g, task = active(make), degenerate(make_task(kind))
    params = {name: p.clone().requires_grad_() for name, p in task.params.items()}
    adapted = task._replace(params=params).adapt(g, 3)
    sum(p.square().sum() for p in adapted.values()).backward()
    assert all(p.isfinite().all() for p in adapted.values())
    assert all(p.grad.isfinite().all() for p in [*params.values(), *g.parameters()] if p.grad is not None)
    assert all(p.grad is not None for p in params.values())


class OnesMetaModel(nn.Module):
    """One of the user's own, which adds to every task alike."""

    def forward(self, step):
        return {name: torch.ones_like(p) for name, p in step.params.items()}


@pytest.mark.parametrize("padding", [0, 6], ids=["none", "padding alone"])
def test_without_a_support_row_the_start_stays(make, kind, padding):
    task = make_task(kind)
    weight = torch.zeros(padding)
    for g in active(make), OnesMetaModel():
        empty = task._replace(x=task.x[:padding], y=task.y[:padding], weight=weight)
        assert all(torch.equal(p, task.params[name]) for name, p in empty.adapt(g, 3).items())
        assert not any(torch.equal(p, task.params[name]) for name, p in task.adapt(g, 3).items())


def test_an_empty_task_among_others_has_no_part_in_their_updates(make, kind):
    g, task = active(make, dtype=torch.float64), make_task(kind, torch.float64)
    weights = torch.stack([torch.ones(6), torch.zeros(6)]).double()
    mapped = torch.vmap(lambda weight: task._replace(weight=weight).adapt(g, 2))(weights)
    torch.testing.assert_close({n: p[0] for n, p in mapped.items()}, task.adapt(g, 2))
    assert all(torch.equal(p[1], task.params[n]) for n, p in mapped.items())


# The gradient of a cross-entropy is bounded, that of a squared error is not: weights that climb it
# diverge, however small, so there the meta-model stays near its start.
@pytest.mark.parametrize(
    ("kind", "scale"), [("classification", 1.0), ("classification", 1000.0), ("regression", 0.1)]
)
def test_twenty_steps_stay_finite(make, kind, scale):
    adapted = make_task(kind).adapt(active(make, scale), 20)
    assert all(p.isfinite().all() for p in adapted.values())


def test_works_under_vmap(make, kind):
    g, task = active(make, dtype=torch.float64), make_task(kind, torch.float64)
    scales = torch.tensor([0.5, 2.0], dtype=torch.float64)
    mapped = torch.vmap(lambda scale: task._replace(x=task.x * scale).adapt(g, 2))(scales)
    for i, scale in enumerate(scales):
        alone = task._replace(x=task.x * scale).adapt(g, 2)
        torch.testing.assert_close({name: p[i] for name, p in mapped.items()}, alone)


def test_the_outer_derivative_by_what_was_learned_is_exact_for_one_step(make, kind):
    g, task = active(make, scale=0.5, dtype=torch.float64), make_task(kind, torch.float64)
    lr = 1e-3  # so small that no update is longer than allowed: that bound counts as a constant
    names, values = zip(*g.named_parameters(), strict=True)

    def adapt(*values):
        def model(step):
            update = torch.func.functional_call(g, dict(zip(names, values, strict=True)), (step,))
            largest = largest_update(step.initial_params, step.evidence)
            assert kept_share(update, lr, largest, step.evidence) == 1
            return update

        return tuple(task.adapt(model, 1, lr).values())

    assert torch.autograd.gradcheck(adapt, values, atol=1e-7, fast_mode=True)


# ---- the explanation


def test_direction_weights_name_each_tensor_and_are_bounded(make, kind):
    step = make_task(kind).step()
    for scale in 1.0, 1000.0:
        g = active(make, scale)
        weights = g.direction_weights(step)
        assert list(weights) == list(step.params)
        for w in weights.values():
            assert w.shape == (len(g.directions),) and not w.requires_grad
            assert (w.abs() <= g.bound).all() and (scale == 1 or (w.abs() > 0.99 * g.bound).all())


def test_the_update_is_the_weighted_sum_of_the_directions(make, kind):
    step, g = make_task(kind).step(), active(make)
    update, weights = g(step), g.direction_weights(step)

    def rms(t):
        return t.square().mean().sqrt()

    assert g.directions == ("gradient", "sign", "decay", "momentum", "return")
    for name, theta in step.params.items():
        G, M = step.grads[name], step.momentum[name]
        start = step.initial_params[name]
        directions = [-G, -rms(G) * G.sign(), -theta, -rms(G) * M / rms(M), start - theta]
        expected = sum(w * b for w, b in zip(weights[name], directions, strict=True))
        torch.testing.assert_close(update[name], expected)


def test_basis_reads_the_support_set_and_how_far_the_inner_loop_is(kind):
    g, task = active(BasisMetaModel), make_task(kind)
    step = task.step()
    first = g.direction_weights(step)["hidden"]
    evidence = step.evidence
    others = {
        "progress": step._replace(progress=1.0),
        "loss": step._replace(evidence=evidence._replace(loss=evidence.loss * 9)),
        "n_way": step._replace(evidence=evidence._replace(n_way=torch.tensor(20))),
        "n_support": step._replace(evidence=evidence._replace(weight=evidence.weight * 9)),
        "outputs": step._replace(evidence=evidence._replace(outputs=evidence.outputs * 9)),
        "grads": step._replace(grads={n: p * 9 for n, p in step.grads.items()}),
        "params": step._replace(params={n: p * 9 for n, p in step.params.items()}),
        "momentum": step._replace(momentum=random_like(step.params, 9)),
    }
    for changed, other in others.items():
        assert not torch.allclose(g.direction_weights(other)["hidden"], first, atol=1e-3), changed


def test_rounding_errors_tell_basis_nothing(kind):
    g, step = active(BasisMetaModel), make_task(kind).step()

    def weights(size, seed):
        noise = {n: size * p for n, p in random_like(step.params, seed).items()}
        return g.direction_weights(step._replace(grads=noise, momentum=noise))["hidden"]

    torch.testing.assert_close(weights(1e-9, 5), weights(1e-10, 6), rtol=0, atol=1e-3)
    assert not torch.allclose(weights(1e-2, 5), weights(1e-3, 6), atol=1e-2)


def test_basis_reads_the_residuals_of_a_regression():
    g, step = active(BasisMetaModel), make_task("regression").step()

    def weights(outputs, y):
        evidence = step.evidence._replace(outputs=outputs, y=y)
        return g.direction_weights(step._replace(evidence=evidence))["hidden"]

    outputs, y = step.evidence.outputs, step.evidence.y
    torch.testing.assert_close(weights(outputs + 9, y + 9), weights(outputs, y), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(weights(outputs, y + 9), weights(outputs, y), atol=1e-3)


@pytest.mark.parametrize("axes", [(), (2,)], ids=["one task", "tasks"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_the_derivatives_of_the_mixed_directions_are_exact(axes, shape):
    generator = torch.Generator().manual_seed(0)
    kind = {"generator": generator, "dtype": torch.float64}
    weights = torch.randn((*axes, 5), **kind).requires_grad_()
    tensors = [torch.randn((*axes, *shape), **kind).requires_grad_() for _ in range(4)]
    assert torch.autograd.gradcheck(_mixed, (weights, *tensors))
    grad, *others = tensors
    expected = sum(
        w.reshape((*axes, *[1] * len(shape))) * t
        for w, t in zip(weights.unbind(-1), (grad, grad.sign(), *others), strict=True)
    )
    torch.testing.assert_close(_mixed(weights, *tensors), expected)
    if axes:  # what all tasks share has no axis of tasks
        start = others[-1][0]
        mapped = torch.vmap(_mixed, (0, 0, 0, 0, None))(weights, *tensors[:3], start)
        shared = start.expand_as(grad)
        torch.testing.assert_close(mapped, _mixed(weights, *tensors[:3], shared))
