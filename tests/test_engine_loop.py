"""A loop over tasks with a backward pass for each: the gradient of all together, in the memory of one."""

import weakref
from itertools import product

import pytest
import torch
from made_learners import (
    HEADS,
    N_FEATURES,
    N_HIDDEN,
    StubSource,
    make_learner,
    make_test_net,
    meta_batch,
    meta_gradient,
    ragged_batch,
)
from torch import nn

from skmeta.core.backbones import MLP
from skmeta.core.inequality import INEQUALITIES
from skmeta.core.regression_losses import squared_error
from skmeta.engine import forced_strategy, train

REGULARIZERS = [None, "entropy", *INEQUALITIES]
ORDERS = ["second_order", "first_order", "reptile", "joint"]


@pytest.fixture(autouse=True)
def looped():
    with forced_strategy("loop"):
        yield


def partly_frozen():
    backbone = MLP(N_FEATURES, (N_HIDDEN, N_HIDDEN))
    backbone.layers[0].requires_grad_(False)
    return backbone


def with_labels(batch):
    inputs, target = batch
    return inputs | target, target


def assert_same_gradient(learner, batch):
    """The value and the gradient of the graph of all tasks, to the last bits of a float64."""
    together = meta_gradient(learner, batch)
    one_by_one = meta_gradient(learner, with_labels(batch))
    assert one_by_one[1].keys() == together[1].keys()
    torch.testing.assert_close(one_by_one, together, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("with_meta_model", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_the_gradient_is_that_of_all_tasks_together(order, with_meta_model, regularizer):
    settings = {"meta_gradient": order, "learn_inner_lr": True, "task_regularizer": regularizer}
    learner = make_learner(partly_frozen, with_meta_model=with_meta_model, **settings)
    assert_same_gradient(learner, meta_batch())


@pytest.mark.parametrize(
    ("targets", "regularizer"),
    [*product(["per task", "shared"], REGULARIZERS), *product(["values"], [None, *INEQUALITIES])],
)
def test_the_gradient_of_ragged_tasks(targets, regularizer):
    settings = {"loss": squared_error} if targets == "values" else {}
    head = "prototype" if targets == "per task" else "linear"
    learner = make_learner(head=head, with_meta_model=True, task_regularizer=regularizer, **settings)
    inputs, target = ragged_batch(targets)
    generator = torch.Generator().manual_seed(0)
    scale = torch.rand(len(target["query_y"]), 1, generator=generator, dtype=torch.float64)
    assert_same_gradient(learner, (inputs | {"output_scale": scale}, target))


@pytest.mark.parametrize("head", HEADS)
def test_the_gradient_where_the_head_alone_adapts(head):
    learner = make_learner(head=head, adapted=["head.weight", "head.bias"], learn_inner_lr=True)
    assert_same_gradient(learner, meta_batch(class_mask=True))


def test_outputs_are_those_without_labels():
    learner = make_learner(task_regularizer="gini")
    inputs, target = meta_batch()
    plain, labelled = learner(**inputs), learner(**inputs, **target)
    assert labelled.keys() == plain.keys() | {"objective"}
    for name, values in plain.items():
        assert torch.equal(labelled[name], values) and not labelled[name].requires_grad


def test_labels_change_nothing_outside_training():
    learner = make_learner()
    inputs, target = meta_batch()
    with torch.no_grad():
        assert learner(**inputs, **target).keys() == {"outputs"}
    assert learner.eval()(**inputs, **target).keys() == {"outputs"}


def test_the_objective_can_be_scaled_and_derived_twice():
    learner = make_learner()
    _, expected = meta_gradient(learner, meta_batch())
    inputs, target = meta_batch()
    learner.zero_grad()
    objective = 3 * learner(**inputs, **target)["objective"]
    objective.backward(retain_graph=True)
    objective.backward()
    for name, g in expected.items():
        torch.testing.assert_close(learner.get_parameter(name).grad, 6 * g, rtol=1e-12, atol=1e-13)


class Shared(nn.Module):
    """Two parameters whose gradients are one tensor in memory."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.full((N_FEATURES, N_HIDDEN), v)) for v in (0.1, 0.3))

    def forward(self, x):
        return x @ (self.a + self.b)


def test_gradients_that_share_their_memory_do_not_add_up():
    assert_same_gradient(make_learner(Shared, inner_steps=0), meta_batch())


class Marked(torch.autograd.Function):
    """The identity; its node in the graph holds a mark."""

    @staticmethod
    def forward(ctx, x, mark):
        ctx.mark = mark
        return x.clone()

    @staticmethod
    def backward(ctx, along):
        return along.clone(), None


class Mark:
    pass


class Watched(nn.Module):
    """A layer that counts how many of its earlier calls have a graph that is still in memory."""

    def __init__(self):
        super().__init__()
        self.layer, self.marks, self.most = nn.Linear(N_FEATURES, N_HIDDEN), [], 0

    def forward(self, x):
        mark = Mark()
        self.marks.append(weakref.ref(mark))
        hidden = Marked.apply(self.layer(x).tanh(), mark)
        del mark
        self.most = max(self.most, sum(mark() is not None for mark in self.marks))
        return hidden


@pytest.mark.parametrize("order", ["second_order", "first_order"])
@pytest.mark.parametrize("regularizer", [None, "entropy", "theil"])
def test_no_more_is_in_memory_than_for_one_task(regularizer, order):
    def most(n_tasks, with_target):
        learner = make_learner(Watched, meta_gradient=order, task_regularizer=regularizer)
        inputs, target = meta_batch(n_tasks=n_tasks)
        outcome = learner(**inputs, **(target if with_target else {}))
        learner.objective(outcome, target).backward()
        return learner.backbone.most

    assert most(8, True) == most(1, True)
    assert most(8, False) > most(1, False)


def test_fit_gives_the_loop_its_labels():
    given = []
    net = make_test_net()
    net.module_.register_forward_pre_hook(lambda m, args, kw: given.append(sorted(kw)), with_kwargs=True)
    train(net, StubSource(range(2)))
    assert len(given) == 2 and all({"query_y", "query_weight"} <= set(names) for names in given)


@pytest.mark.parametrize("strategy", ["batched", "vmap"])
def test_labels_change_nothing_where_tasks_are_computed_together(strategy):
    learner = make_learner()
    with forced_strategy(strategy):
        plain, labelled = (meta_gradient(learner, b) for b in (meta_batch(), with_labels(meta_batch())))
    torch.testing.assert_close(labelled, plain, rtol=0, atol=0)


def test_a_step_that_is_not_finite_is_skipped():
    net = make_test_net()
    with pytest.warns(UserWarning, match="was not finite and was skipped"):
        train(net, StubSource(range(3), broken=[1]))
    assert dict(net.callbacks_)["skip_non_finite"].n_skipped_ == 1
    assert all(p.isfinite().all() for p in net.module_.parameters())
