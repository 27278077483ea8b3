"""The inner loop: one contract for all rules, and closed forms on quadratic losses."""

from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional

from skmeta.core.inner_loop import (
    Evidence,
    GradientDescent,
    LearnedUpdate,
    bounded,
    gradient_by_autograd,
    gradient_of,
    gradient_of_parts,
    inner_loop,
)
from skmeta.core.losses import cross_entropy
from skmeta.core.meta_models import BasisMetaModel
from skmeta.core.regression_losses import squared_error

N_STEPS = 3


# ---- the rules and the tasks that they meet


class Smooth(nn.Module):
    """A meta-model whose whole derivative reaches the outer loop: it uses all of a step's tensors."""

    def forward(self, step):
        parts = step.params, step.initial_params, step.grads, step.momentum
        scale = (step.progress + step.evidence.loss.tanh()) * step.evidence.n_way
        return {n: scale * sum((i + 1) * part[n].sin() for i, part in enumerate(parts)) for n in step.params}


def make_basis():
    generator = torch.Generator().manual_seed(0)
    g = BasisMetaModel(hidden=8).double()
    for p in g.parameters():
        p.data.normal_(generator=generator)
    return g


BASIS = make_basis()


def step_sizes(params):
    return {name: torch.tensor(0.1 + 0.05 * i, dtype=torch.float64) for i, name in enumerate(params)}


# name: (rule for some params, is its outer derivative exact?). A basis model detaches its statistics, and no
# step of the smooth one reaches the bound, which counts as a constant.
RULES = {
    "gradient descent": (lambda p: GradientDescent(step_sizes(p)), True),
    "smooth": (lambda p: LearnedUpdate(step_sizes(p), Smooth(), 0.002, N_STEPS), True),
    "basis": (lambda p: LearnedUpdate(step_sizes(p), BASIS, 0.1, N_STEPS), False),
}


class Task(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor


def network(params, x):
    return functional.linear((x @ params["hidden"]).tanh(), params["weight"], params["bias"])


def make_params(n_outputs):
    generator = torch.Generator().manual_seed(1)
    shapes = {"hidden": (4, 3), "weight": (n_outputs, 3), "bias": (n_outputs,)}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()
    }


def classification(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 2, 1, 0])
    return Task(x, y, torch.ones(6, dtype=torch.float64))


def regression(seed=0):
    task = classification(seed)
    return task._replace(y=(task.x[:, :2] * 2).sin() + 1)


KINDS = {"classification": (classification, cross_entropy, 3), "regression": (regression, squared_error, 2)}


class Case(NamedTuple):
    make_rule: object
    make_task: object
    loss: object
    params: dict

    def adapt(self, task, params=None, n_steps=N_STEPS, gradient_of=gradient_of, **kwargs):
        params = self.params if params is None else params
        return inner_loop(gradient_of(self.loss_of(task)), params, self.make_rule(params), n_steps, **kwargs)

    def adapt_to_parts(self, parts, shares, **kwargs):
        gradients = [gradient_of(self.loss_of(part)) for part in parts]
        gradient = gradient_of_parts(list(zip(shares, gradients, strict=True)))
        return inner_loop(gradient, self.params, self.make_rule(self.params), N_STEPS, **kwargs)

    def loss_of(self, task):
        n_way = torch.tensor(len(self.params["bias"]))

        def loss(params):
            outputs = network(params, task.x)
            value = self.loss(outputs, task.y, task.weight)
            return value, Evidence(outputs, task.y, task.weight, n_way, value)

        return loss


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=RULES.values(), ids=RULES)
def case(request, kind):
    make_task, loss, n_outputs = kind
    return Case(request.param[0], make_task, loss, make_params(n_outputs))


def assert_same(params, expected, **tolerance):
    torch.testing.assert_close(params, expected, **({"rtol": 1e-10, "atol": 1e-12} | tolerance))


# ---- the contract


def test_adapts_to_the_same_names_and_shapes_and_leaves_its_input_alone(case):
    before = {name: p.clone() for name, p in case.params.items()}
    adapted = case.adapt(case.make_task())
    assert_same(case.params, before, rtol=0, atol=0)
    for name, p in before.items():
        assert adapted[name].shape == p.shape and not torch.equal(adapted[name], p)


def test_no_step_changes_nothing(case):
    assert_same(case.adapt(case.make_task(), n_steps=0), case.params, rtol=0, atol=0)


def test_vmap_is_a_loop_over_tasks(case):
    tasks = [case.make_task(seed) for seed in range(3)]
    stacked = Task(*(torch.stack(part) for part in zip(*tasks, strict=True)))
    mapped = torch.vmap(lambda *task: case.adapt(Task(*task)))(*stacked)
    for i, task in enumerate(tasks):
        assert_same({name: p[i] for name, p in mapped.items()}, case.adapt(task))


@pytest.mark.parametrize("first_order", [False, True])
def test_works_without_gradients_outside(case, first_order):
    params = {name: p.clone().requires_grad_() for name, p in case.params.items()}
    with torch.no_grad():
        adapted = case.adapt(case.make_task(), params, first_order=first_order)
    assert not any(p.requires_grad for p in adapted.values())
    assert_same(adapted, case.adapt(case.make_task()))


@pytest.mark.parametrize("first_order", [False, True])
def test_plain_autograd_gives_the_same(case, first_order):
    task, params = case.make_task(), {name: p.clone().requires_grad_() for name, p in case.params.items()}

    def adapted_and_derivatives(way):
        adapted = case.adapt(task, params, gradient_of=way, first_order=first_order)
        outer = sum(p.sin().sum() for p in adapted.values())
        return adapted, torch.autograd.grad(outer, list(params.values()))

    expected = adapted_and_derivatives(gradient_of)
    assert_same(adapted_and_derivatives(gradient_by_autograd), expected)
    with torch.no_grad():
        adapted = case.adapt(task, params, gradient_of=gradient_by_autograd, first_order=first_order)
    assert not any(p.requires_grad for p in adapted.values())
    assert_same(adapted, {name: p.detach() for name, p in expected[0].items()})


@pytest.mark.parametrize("way", [gradient_of, gradient_by_autograd])
def test_a_gradient_takes_its_tensors_as_independent(way):
    a, zero = torch.tensor([1.0, 2.0], requires_grad=True), torch.zeros(3)
    nothing = Evidence(*[torch.zeros(())] * 5)
    grads, _ = way(lambda p: ((p["a"] * p["b"]).sum(), nothing))({"a": a, "b": 3 * a, "unused": zero})
    assert_same(grads, {"a": 3 * a, "b": a, "unused": zero})
    # The derivative of the gradient knows that b is made of a.
    assert_same(torch.autograd.grad(grads["a"].sum(), a)[0], torch.full((2,), 3.0))


def test_first_order_changes_the_derivative_only(case):
    task = case.make_task()
    assert_same(case.adapt(task, first_order=True), case.adapt(task))


def test_permuted_support_changes_nothing(case):
    task = case.make_task()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert_same(case.adapt(Task(*(part[order] for part in task))), case.adapt(task))


def test_padding_changes_nothing(case):
    task = case.make_task()
    padded = Task(*(torch.cat([part, part[:1], part[:1]]) for part in task))
    padded.weight[-2:] = 0
    assert_same(case.adapt(padded), case.adapt(task))


@pytest.mark.parametrize("sizes", [(6,), (3, 3), (1, 4, 1), (1,) * 6], ids=str)
def test_parts_of_a_support_set_are_the_whole_of_it(case, sizes):
    task = case.make_task()
    task.weight[4] = 0
    parts = [Task(*part) for part in zip(*(t.split(sizes) for t in task), strict=True)]
    shares = [part.weight.sum() / 5 for part in parts]
    whole = case.adapt(task)
    assert_same(case.adapt_to_parts(parts, shares), whole)
    assert_same(case.adapt_to_parts(parts, shares, first_order=True), whole)


@pytest.mark.parametrize("name", [name for name, (_, exact) in RULES.items() if exact])
def test_gradcheck_of_the_outer_derivative(name, kind):
    make_task, loss, n_outputs = kind
    case = Case(RULES[name][0], make_task, loss, make_params(n_outputs))

    def adapt(*values):
        return tuple(case.adapt(make_task(), dict(zip(case.params, values, strict=True))).values())

    values = tuple(p.requires_grad_() for p in case.params.values())
    assert torch.autograd.gradcheck(adapt, values, rtol=1e-4)


# ---- quadratic losses (theta - c)' A (theta - c) / 2, whose gradient steps are linear maps

A = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
CENTRE = torch.tensor([1.0, -2.0], dtype=torch.float64)
THETA = torch.tensor([0.5, 4.0], dtype=torch.float64)
GOAL = torch.tensor([3.0, 1.0], dtype=torch.float64)
LR = 0.125
ONE_ROW = Evidence(*[torch.zeros(())] * 2, torch.ones(1), *[torch.zeros(())] * 2)


def quadratic(params):
    offset = params["theta"] - CENTRE
    return offset @ A @ offset / 2, ONE_ROW


def meta_step(n_steps, first_order):
    """Adapted theta, and the derivatives of |theta_K - GOAL|^2 / 2 by theta_0 and by the step size."""
    theta, lr = THETA.clone().requires_grad_(), torch.tensor(LR, dtype=torch.float64, requires_grad=True)
    rule = GradientDescent({"theta": lr})
    adapted = inner_loop(gradient_of(quadratic), {"theta": theta}, rule, n_steps, first_order=first_order)[
        "theta"
    ]
    outer = (adapted - GOAL).square().sum() / 2
    return adapted.detach(), *torch.autograd.grad(outer, [theta, lr], materialize_grads=True)


def contraction(n_steps):
    return torch.linalg.matrix_power(torch.eye(2, dtype=torch.float64) - LR * A, n_steps)


@pytest.mark.parametrize("n_steps", [0, 1, 2, 5, 20])
def test_second_order_on_a_quadratic(n_steps):
    adapted, by_theta, by_lr = meta_step(n_steps, first_order=False)
    expected = CENTRE + contraction(n_steps) @ (THETA - CENTRE)
    assert_same(adapted, expected)
    assert_same(by_theta, contraction(n_steps) @ (expected - GOAL))
    moved = n_steps * A @ contraction(max(n_steps - 1, 0)) @ (THETA - CENTRE)
    assert_same(by_lr, -moved @ (expected - GOAL))


@pytest.mark.parametrize("n_steps", [0, 1, 2, 5, 20])
def test_first_order_on_a_quadratic(n_steps):
    adapted, by_theta, by_lr = meta_step(n_steps, first_order=True)
    expected = CENTRE + contraction(n_steps) @ (THETA - CENTRE)
    assert_same(adapted, expected)
    assert_same(by_theta, expected - GOAL)
    # Each step's gradient is a constant, so the step size multiplies their sum.
    assert_same(by_lr, (expected - THETA) / LR @ (expected - GOAL))


def test_each_tensor_has_its_own_step_size():
    params = {"a": torch.tensor(1.0), "b": torch.tensor(1.0)}
    rule = GradientDescent({"a": torch.tensor(0.5), "b": torch.tensor(0.25)})
    adapted = inner_loop(gradient_of(lambda p: (p["a"] ** 2 + p["b"] ** 2, ONE_ROW)), params, rule, 2)
    assert {name: p.item() for name, p in adapted.items()} == {"a": 0.0, "b": 0.25}


# ---- what a meta-model sees


class Recorder(nn.Module):
    """Goes against the momentum, and keeps the steps that it saw."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def forward(self, step):
        self.steps.append(step)
        return {name: -m for name, m in step.momentum.items()}


def test_a_learned_update_is_added_to_the_gradient_step_and_sees_the_momentum():
    recorder = Recorder()
    rule = LearnedUpdate({"t": torch.tensor(0.25)}, recorder, 0.05, horizon=2)  # no step reaches the bound
    params = {"t": torch.tensor(16.0, dtype=torch.float64)}
    adapted = inner_loop(gradient_of(lambda p: (p["t"] ** 2 / 2, ONE_ROW)), params, rule, 4)
    # theta <- theta - theta/4 - m/20, with m <- 0.9 m + theta
    theta, momentum, seen = 16.0, 0.0, []
    for _ in range(4):
        momentum = 0.9 * momentum + theta
        seen.append((theta, momentum))
        theta = theta - theta / 4 - momentum / 20
    assert adapted["t"].item() == pytest.approx(theta)
    for step, (value, m) in zip(recorder.steps, seen, strict=True):
        assert step.grads["t"].item() == pytest.approx(value)
        assert step.params["t"].item() == pytest.approx(value)
        assert step.momentum["t"].item() == pytest.approx(m)
        assert step.initial_params["t"].item() == 16
    assert [step.progress for step in recorder.steps] == [0, 0.5, 1, 1]


@pytest.mark.parametrize("meta_model_lr", [0.5, -0.5])
@pytest.mark.parametrize(("size", "made"), [(0.9, 0.9), (1.0, 1.0), (4.0, 1.0), (1e6, 1.0)])
def test_what_a_meta_model_adds_is_no_longer_than_a_fifth_of_the_start(size, made, meta_model_lr):
    """Two tensors, 3 and 4, are of length five together; the update is of length ``size``."""
    params = {"a": torch.tensor([3.0]).double(), "b": torch.tensor([4.0]).double()}
    update = {"a": torch.tensor([size * 1.2]).double(), "b": torch.tensor([size * -1.6]).double()}
    rule = LearnedUpdate(
        dict.fromkeys("ab", torch.tensor(0.25)), lambda step: update, meta_model_lr, horizon=2
    )
    adapted = inner_loop(gradient_of(lambda p: ((p["a"] + p["b"]).sum() * 4, ONE_ROW)), params, rule, 3)
    sign = 1 if meta_model_lr > 0 else -1
    assert adapted["a"].item() == pytest.approx(3 + 3 * (-1 + sign * made * 0.6))
    assert adapted["b"].item() == pytest.approx(4 + 3 * (-1 - sign * made * 0.8))


def test_the_bound_is_that_of_each_task_and_a_constant_in_the_outer_derivative():
    kind = {"generator": torch.Generator().manual_seed(0), "dtype": torch.float64}
    start, update = (torch.randn(shape, **kind).requires_grad_() for shape in ((2, 3), (3,)))

    def adapt(start):
        rule = LearnedUpdate({"a": torch.tensor(0.0)}, lambda step: {"a": update}, 1.0, horizon=2)
        return inner_loop(gradient_of(lambda p: (p["a"].sum(), ONE_ROW)), {"a": start}, rule, 1)["a"]

    adapted = torch.vmap(adapt)(start)
    share = (0.2 * start.norm(dim=1) / update.norm()).detach()
    torch.testing.assert_close(adapted, start + share[:, None] * update)
    of_start, of_update = torch.autograd.grad(adapted.sum(), (start, update))
    torch.testing.assert_close(of_start, torch.ones_like(start))
    torch.testing.assert_close(of_update, share.sum().expand(3))


@pytest.mark.parametrize("first_order", [False, True])
def test_a_basis_model_that_starts_at_zero_is_gradient_descent_to_the_last_bit(kind, first_order):
    make_task, loss, n_outputs = kind
    g = BasisMetaModel().double()
    rules = RULES["gradient descent"][0], lambda p: LearnedUpdate(step_sizes(p), g, 0.1, N_STEPS)
    outcomes = []
    for make_rule in rules:
        params = {name: p.requires_grad_() for name, p in make_params(n_outputs).items()}
        adapted = Case(make_rule, make_task, loss, params).adapt(make_task(), first_order=first_order)
        outer = sum(p.square().sum() for p in adapted.values())
        outcomes.append([*adapted.values(), *torch.autograd.grad(outer, list(params.values()))])
    assert all(torch.equal(plain, learned) for plain, learned in zip(*outcomes, strict=True))


# ---- a bound on the gradient


def of_norm_5_and_10(params):
    tasks = torch.tensor([[3.0], [6.0]]), torch.tensor([[4.0], [8.0]])
    return {"weight": params["weight"] * tasks[0], "bias": params["bias"] * tasks[1]}, "evidence"


def test_a_long_gradient_is_drawn_in_and_a_short_one_stays():
    ones = {"weight": torch.ones(2, 1), "bias": torch.ones(2, 1)}
    grads, evidence = bounded(of_norm_5_and_10, 5.0, n_axes=1)(ones)
    assert grads["weight"].tolist() == [[3.0], [3.0]] and grads["bias"].tolist() == [[4.0], [4.0]]
    assert evidence == "evidence"


def test_the_bound_is_of_one_task_if_there_is_no_axis_of_tasks():
    ones = {"weight": torch.ones(2, 1), "bias": torch.ones(2, 1)}
    whole = (5.0**2 + 10.0**2) ** 0.5
    grads, _ = bounded(of_norm_5_and_10, 1.0, n_axes=0)(ones)
    torch.testing.assert_close(grads["weight"], torch.tensor([[3.0], [6.0]]) / whole)


def test_the_factor_of_a_bound_is_a_constant_in_the_outer_derivative():
    params = {name: torch.ones(2, 1, requires_grad=True) for name in ("weight", "bias")}
    grads, _ = bounded(of_norm_5_and_10, 5.0, n_axes=1)(params)
    sum(g.sum() for g in grads.values()).backward()
    assert params["weight"].grad.tolist() == [[3.0], [3.0]] and params["bias"].grad.tolist() == [[4.0], [4.0]]
