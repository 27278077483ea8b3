"""The learner: meta-gradients against a textbook loop, and tasks that do not see each other."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from made_learners import (
    HEADS,
    N_FEATURES,
    N_HIDDEN,
    N_TASKS,
    N_WAY,
    RAGGED,
    StubSource,
    assert_same,
    make_learner,
    make_test_net,
    meta_batch,
    meta_gradient,
    one_layer,
    ragged_batch,
    task,
)
from torch import nn
from torch.nn import functional

from skmeta.core.backbones import MLP, Conv4
from skmeta.core.losses import cross_entropy
from skmeta.core.regression_losses import squared_error
from skmeta.engine import forced_strategy, settle, train

STRATEGIES = "batched", "vmap", "loop"


def by_each_strategy(function):
    """What ``function()`` returns under each of ``STRATEGIES``."""
    results = []
    for strategy in STRATEGIES:
        with forced_strategy(strategy):
            results.append(function())
    return results


# ---- the meta-gradient, against a plain PyTorch loop


def mlp_outputs(params, x):
    hidden = functional.linear(x, params["backbone.layers.0.weight"], params["backbone.layers.0.bias"]).relu()
    return functional.linear(hidden, params["head.weight"], params["head.bias"])


def textbook_loop(learner, batch, n_steps, *, first_order=False, outputs=mlp_outputs):
    """Mean query loss and its derivatives, by ``torch.autograd.grad``; also the adapted parameters."""
    inputs, target = batch
    start = {name: p for name, p in learner.named_parameters() if name in learner.adapted}
    lr = dict(zip(learner.adapted, learner.log_inner_lr.exp(), strict=True))
    losses, all_adapted = [], []
    for i in range(len(target["query_y"])):
        params = start
        for _ in range(n_steps):
            loss = functional.cross_entropy(outputs(params, inputs["support_x"][i]), inputs["support_y"][i])
            grads = torch.autograd.grad(loss, list(params.values()), create_graph=not first_order)
            steps = zip(params.items(), grads, strict=True)
            params = {name: p - lr[name] * g for (name, p), g in steps}
        losses.append(functional.cross_entropy(outputs(params, inputs["query_x"][i]), target["query_y"][i]))
        all_adapted.append(params)
    value = torch.stack(losses).mean()
    learned = {name: p for name, p in learner.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(value, list(learned.values()), allow_unused=True)
    grads = {name: g for name, g in zip(learned, grads, strict=True) if g is not None}
    return value.detach(), grads, all_adapted


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("learn_inner_lr", [False, True])
@pytest.mark.parametrize("order", ["second_order", "first_order"])
def test_the_meta_gradient_is_that_of_a_textbook_loop(order, learn_inner_lr, strategy):
    learner = make_learner(meta_gradient=order, learn_inner_lr=learn_inner_lr)
    value, grads, _ = textbook_loop(learner, meta_batch(), 3, first_order=order == "first_order")
    assert ("log_inner_lr" in grads) == learn_inner_lr
    with forced_strategy(strategy):
        assert_same(meta_gradient(learner, meta_batch()), (value, grads))


@pytest.mark.parametrize("order", ["second_order", "first_order"])
def test_a_bound_on_the_inner_gradient_is_each_tasks_own(order):
    # The loop sees one task at a time, so it cannot take the norm of all.
    bounded, plain = {"meta_gradient": order, "largest_gradient": 0.2}, {"meta_gradient": order}
    batched, vmap, loop = by_each_strategy(lambda: meta_gradient(make_learner(**bounded), meta_batch()))
    assert_same(batched, loop)
    assert_same(vmap, loop)
    assert (meta_gradient(make_learner(**plain), meta_batch())[0] - loop[0]).abs() > 1e-3
    far = meta_gradient(make_learner(**plain | {"largest_gradient": 1e6}), meta_batch())
    assert_same(far, meta_gradient(make_learner(**plain), meta_batch()))


def test_first_and_second_order_differ():
    first, second = (make_learner(meta_gradient=order) for order in ("first_order", "second_order"))
    values, grads = zip(*(meta_gradient(learner, meta_batch()) for learner in (first, second)), strict=True)
    assert_same(*values)
    assert all((grads[0][name] - g).abs().max() > 1e-3 for name, g in grads[1].items())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_reptile_goes_from_where_tasks_start_to_where_they_end(strategy):
    learner = make_learner(meta_gradient="reptile", learn_inner_lr=True)
    value, _, all_adapted = textbook_loop(learner, meta_batch(), 3)
    start = dict(learner.named_parameters())
    expected = {
        name: torch.stack([start[name] - adapted[name] for adapted in all_adapted]).mean(0).detach()
        for name in learner.adapted
    }
    with forced_strategy(strategy):
        assert_same(meta_gradient(learner, meta_batch()), (value, expected))


def test_joint_training_takes_no_inner_step():
    learner = make_learner(meta_gradient="joint")
    value, grads, _ = textbook_loop(learner, meta_batch(), 0)
    assert_same(meta_gradient(learner, meta_batch()), (value, grads))


def test_the_number_of_inner_steps_to_train_to_validate_and_to_ask_for():
    learner = make_learner(inner_steps=1, adapt_steps=4)
    inputs, _ = meta_batch()

    def outputs(**kwargs):
        return learner(**inputs, **kwargs)["outputs"]

    assert_same(outputs(), outputs(n_steps=1))
    learner.eval()
    assert_same(outputs(), outputs(n_steps=4))
    learner.train()
    learner.meta_gradient = "joint"
    assert_same(outputs(), outputs(n_steps=0))


# ---- one task at a time, whatever the strategy and the padding


@pytest.mark.parametrize("with_meta_model", [False, True])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("order", ["second_order", "first_order"])
def test_strategies_give_the_same(order, head, with_meta_model):
    batch = meta_batch(class_mask=head != "linear")
    settings = {
        "head": head,
        "with_meta_model": with_meta_model,
        "meta_gradient": order,
        "task_regularizer": "theil",
    }
    learner = make_learner(**settings)
    outcomes = by_each_strategy(lambda: learner(**batch[0]))
    gradients = by_each_strategy(lambda: meta_gradient(learner, batch))
    # Classes that start alike give the backbone a gradient of zero, whose rounding the meta-model scales up.
    atol = 1e-7 if head == "tied" and with_meta_model else 1e-10
    for other in 1, 2:
        torch.testing.assert_close(outcomes[other], outcomes[0], rtol=1e-8, atol=atol)
        torch.testing.assert_close(gradients[other], gradients[0], rtol=1e-8, atol=atol)


@pytest.mark.parametrize("head", HEADS)
def test_adapt_task_is_what_forward_does(head):
    learner = make_learner(head=head, with_meta_model=True, task_regularizer="theil")
    inputs, _ = meta_batch(class_mask=True)
    outcome = learner(**inputs)
    for i in range(N_TASKS):
        one = task(inputs, i)
        query_x, mask = one.pop("query_x"), one["class_mask"]
        adapted, start = learner.adapt_task(**one, n_steps=3), learner.start(**one)
        assert_same(learner.answers(adapted, query_x, mask)["outputs"], outcome["outputs"][i])
        assert_same(learner.answers(start, query_x, mask)["outputs"], outcome["initial_outputs"][i])


class CountedRows:
    """Rows that note how many of them were asked for at a time."""

    def __init__(self, x):
        self.x, self.asked = x, []

    def __getitem__(self, part):
        self.asked.append(len(self.x[part]))
        return self.x[part]


@pytest.mark.parametrize("at_once", [1, 2, 4, 6, 100])
@pytest.mark.parametrize("with_meta_model", [False, True])
@pytest.mark.parametrize(("adapted", "strategy"), [("all", "batched"), ("all", "vmap"), ("head", "vmap")])
@pytest.mark.parametrize("kind", [*HEADS, "regression"])
def test_a_support_set_in_parts_gives_what_it_gives_at_once(
    kind, adapted, strategy, with_meta_model, at_once
):
    settings = {"head": "linear", "loss": squared_error} if kind == "regression" else {"head": kind}
    if adapted == "head":
        settings["adapted"] = ["head.weight", "head.bias"]
    learner = make_learner(with_meta_model=with_meta_model, **settings)
    one = task(meta_batch(class_mask=kind != "regression")[0], 0)
    one.pop("query_x")
    one["support_weight"][1] = 0
    if kind == "regression":
        one["support_y"] = one["support_x"][:, :N_WAY].sin()
    rows = one["support_x"] = CountedRows(one["support_x"])
    with forced_strategy(strategy):
        whole = learner.adapt_task(**one, n_steps=3)
        assert max(rows.asked) == 6
        rows.asked.clear()
        parts = [slice(first, first + at_once) for first in range(0, 6, at_once)]
        in_parts = learner.adapt_task(**one, n_steps=3, parts=parts)
    # Classes that start alike give the backbone a gradient of zero, whose rounding the meta-model scales up.
    atol = 1e-7 if kind == "tied" and with_meta_model else 1e-10
    torch.testing.assert_close(in_parts, whole, rtol=0, atol=atol)
    assert max(rows.asked) == min(at_once, 6)


def test_outputs_are_multiplied_by_their_scale():
    """Those of the query set, also before adaptation; the support set has a scale of its own."""
    inputs, _ = meta_batch()
    learner = make_learner(task_regularizer="theil")
    plain = learner(**inputs)
    scale = torch.rand(N_TASKS, N_WAY, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for scaled in by_each_strategy(lambda: learner(**inputs, output_scale=scale)):
        assert_same(scaled, {name: values * scale[:, None] for name, values in plain.items()})


def without_padding(inputs, target, i):
    """Task ``i`` as a meta-batch of one: without the rows and the classes that it does not have."""
    support, query = inputs["support_weight"][i] > 0, target["query_weight"][i] > 0
    rows = {"support_x": support, "support_y": support, "support_weight": support, "query_x": query}
    alone = {name: inputs[name][i, kept][None] for name, kept in rows.items()}
    if "class_mask" in inputs:
        classes = inputs["class_mask"][i]
        alone["class_mask"] = classes[classes][None]
    return alone, {name: t[i, query][None] for name, t in target.items()}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("with_meta_model", [False, True])
@pytest.mark.parametrize(
    ("targets", "head"),
    [
        ("per task", "tied"),
        ("per task", "prototype"),
        ("per task", "cosine"),
        ("shared", "linear"),
        ("values", "linear"),
    ],
)
def test_a_padded_task_gives_the_numbers_of_the_task_alone(targets, head, with_meta_model, strategy):
    loss = squared_error if targets == "values" else cross_entropy
    learner = make_learner(head=head, loss=loss, with_meta_model=with_meta_model)
    batch = ragged_batch(targets)
    with forced_strategy(strategy):
        check_that_padding_changes_nothing(learner, batch)


def check_that_padding_changes_nothing(learner, batch):
    outputs = learner(**batch[0])["outputs"]
    value, grads = meta_gradient(learner, batch)
    values, gradients = [], []
    for i in range(len(RAGGED)):
        alone = without_padding(*batch, i)
        expected = learner(**alone[0])["outputs"][0]
        rows = batch[1]["query_weight"][i] > 0
        assert_same(outputs[i, rows, : expected.shape[1]], expected)
        v, g = meta_gradient(learner, alone)
        values.append(v)
        gradients.append(g)
    assert_same(value, torch.stack(values).mean())
    assert_same(grads, {name: torch.stack([g[name] for g in gradients]).mean(0) for name in grads})


@pytest.mark.parametrize("with_meta_model", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_a_query_row_is_predicted_the_same_alone_and_among_others(head, with_meta_model):
    learner = make_learner(head=head, with_meta_model=with_meta_model)
    inputs, _ = meta_batch(class_mask=True)
    outputs = learner(**inputs)["outputs"]
    for row in range(inputs["query_x"].shape[1]):
        alone = learner(**inputs | {"query_x": inputs["query_x"][:, row : row + 1]})["outputs"]
        assert_same(alone[:, 0], outputs[:, row])


@pytest.mark.parametrize("head", HEADS)
def test_a_network_that_is_changed_is_not_batched(head):
    """Batched products know nothing of hooks, of other layers, or of what does not adapt."""

    def hooked():
        backbone = one_layer()
        backbone.layers[0].register_forward_hook(lambda module, inputs, output: output * 2)
        return backbone

    def frozen():
        backbone = one_layer()
        backbone.layers[0].bias.requires_grad_(False)
        return backbone

    def other():
        return nn.utils.parametrizations.weight_norm(one_layer().layers[0])

    def without_bias():
        backbone = one_layer()
        backbone.layers[0] = nn.Linear(N_FEATURES, N_HIDDEN, bias=False)
        return backbone

    def shared():
        backbone = MLP(N_FEATURES, (N_FEATURES, N_FEATURES, N_HIDDEN))
        backbone.layers[1] = backbone.layers[0]
        return backbone

    def patched():
        backbone = one_layer()
        backbone.forward = lambda x: MLP.forward(backbone, x) * 2
        return backbone

    for make_backbone in hooked, frozen, other, without_bias, shared, patched:
        assert make_learner(make_backbone, head).chosen_strategy() == "vmap"
        learner, needs = make_learner(make_backbone, head), r"forced_strategy\('batched'\) needs the default"
        with forced_strategy("batched"), pytest.raises(ValueError, match=needs):
            learner(**meta_batch()[0])


def test_forward_without_gradients_builds_no_graph():
    learner = make_learner(with_meta_model=True)
    with torch.no_grad():
        outcome = learner(**meta_batch()[0])
    assert_same(outcome["outputs"], learner(**meta_batch()[0])["outputs"])
    assert not outcome["outputs"].requires_grad


def test_auto_batches_the_default_network_and_loops_for_convolutions_on_a_cpu():
    assert make_learner().chosen_strategy() == "batched"

    def convolutions():
        return Conv4(hidden_channels=8)

    assert make_learner(convolutions).chosen_strategy() == "loop"
    assert make_learner(TiedLayers, n_hidden=4).chosen_strategy() == "vmap"


def test_a_strategy_is_forced_inside_and_in_this_thread_alone():
    learner = make_learner()
    with forced_strategy("loop"), ThreadPoolExecutor(1) as pool:
        assert learner.chosen_strategy() == "loop"
        assert pool.submit(learner.chosen_strategy).result() == "batched"
        with forced_strategy("vmap"):
            assert learner.chosen_strategy() == "vmap"
            with forced_strategy("auto"):
                assert learner.chosen_strategy() == "batched"
        assert learner.chosen_strategy() == "loop"
    with pytest.raises(KeyError), forced_strategy("loop"):
        raise KeyError
    assert learner.chosen_strategy() == "batched"
    with pytest.raises(ValueError, match=r"one of .*'loop'.* Got 'batch' instead"), forced_strategy("batch"):
        pass


# ---- which parameters adapt, which learn


def adapted_and_start(learner):
    one = task(meta_batch(class_mask=True)[0], 0)
    one.pop("query_x")
    return learner.adapt_task(**one, n_steps=3), learner.start(**one)


@pytest.mark.parametrize("strategy", ["vmap", "loop"])
def test_adapting_the_head_alone_leaves_the_backbone_which_still_learns(strategy):
    learner = make_learner(adapted=["head.weight", "head.bias"])
    with forced_strategy(strategy):
        adapted, start = adapted_and_start(learner)
        found = meta_gradient(learner, meta_batch())
    changed = {name for name, p in start.items() if not torch.equal(adapted[name], p)}
    assert changed == {"head.weight", "head.bias"}

    def outputs(params, x):
        return mlp_outputs(dict(learner.named_parameters()) | params, x)

    assert_same(found, textbook_loop(learner, meta_batch(), 3, outputs=outputs)[:2])


def test_frozen_parameters_neither_adapt_nor_learn():
    def pretrained():
        backbone = MLP(N_FEATURES, (N_HIDDEN, N_HIDDEN))
        backbone.layers[0].requires_grad_(False)
        return backbone

    learner, frozen = make_learner(pretrained), {"backbone.layers.0.weight", "backbone.layers.0.bias"}
    adapted, start = adapted_and_start(learner)
    assert {name for name, p in start.items() if torch.equal(adapted[name], p)} == frozen
    before = copy.deepcopy(learner.state_dict())
    net = make_test_net(learner, optimizer__weight_decay=0.5)
    train(net, StubSource(range(3)))
    after = net.module_.state_dict()
    assert {name for name, p in before.items() if torch.equal(after[name], p)} == frozen | {"log_inner_lr"}


class TiedLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x).tanh()).tanh()


def tied_outputs(params, x):
    shared = params["backbone.first.weight"]
    hidden = functional.linear(x, shared, params["backbone.first.bias"]).tanh()
    hidden = functional.linear(hidden, shared, params["backbone.second.bias"]).tanh()
    return functional.linear(hidden, params["head.weight"], params["head.bias"])


@pytest.mark.parametrize("strategy", ["vmap", "loop"])
def test_tied_parameters_stay_tied(strategy):
    learner = make_learner(TiedLayers, n_hidden=4)
    assert sum("weight" in name for name in learner.adapted) == 2
    expected = textbook_loop(learner, meta_batch(), 3, outputs=tied_outputs)[:2]
    net = make_test_net(learner)
    before = net.module_.backbone.first.weight.clone()
    with forced_strategy(strategy):
        assert_same(meta_gradient(learner, meta_batch()), expected)
        train(net, StubSource(range(2)))
    backbone = net.module_.backbone
    assert backbone.first.weight is backbone.second.weight and not torch.equal(backbone.first.weight, before)


def test_batch_normalisation_keeps_its_trained_statistics():
    def pretrained():
        return nn.Sequential(nn.Linear(N_FEATURES, 4), nn.BatchNorm1d(4), nn.Tanh()).eval()

    net = make_test_net(make_learner(pretrained, n_hidden=4))
    before = net.module_.backbone[1].running_mean.clone()
    train(net, StubSource(range(2)))
    assert torch.equal(net.module_.backbone[1].running_mean, before)
    assert not net.module_.train().backbone[1].training and net.module_.backbone[0].training


@pytest.mark.parametrize("strategy", ["vmap", "loop"])
def test_dropout_differs_between_tasks_in_training_only(strategy):
    def dropout():
        return nn.Sequential(nn.Linear(N_FEATURES, 20), nn.Dropout(0.5), nn.Linear(20, N_HIDDEN))

    learner = make_learner(dropout)
    same = {name: t[:1].expand_as(t) for name, t in meta_batch()[0].items()}
    with torch.random.fork_rng(devices=[]), forced_strategy(strategy):
        torch.manual_seed(0)
        first, second, _ = learner(**same)["outputs"]
        assert not torch.allclose(first, second)
        net = make_test_net(learner)
        settle(net, meta_batch())
        train(net, StubSource(range(3)))
        assert net.module_.vmap_works and all(p.isfinite().all() for p in net.module_.parameters())
    first, second, _ = net.module_.eval()(**same)["outputs"]
    assert_same(first, second)
