"""The outer loop: its steps, those that are not finite, and what torch cannot differentiate or map."""

import copy
import pickle
from functools import partial
from inspect import signature

import pytest
import torch
from made_learners import (
    N_FEATURES,
    StubSource,
    assert_same,
    make_learner,
    make_test_net,
    meta_batch,
    meta_gradient,
    params_of,
)
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional

from skmeta import WeightedFeatures
from skmeta.core.losses import accuracy, of_query
from skmeta.engine import (
    StepProgress,
    average_iterates,
    early_stopping,
    forced_strategy,
    settle,
    train,
)


@pytest.mark.parametrize(
    ("steps", "epochs"),
    [(range(120), [50, 50, 20]), (range(7, 57), [50]), (range(3), [3])],
    ids=["120", "50 from 7", "3"],
)
def test_steps_are_counted_exactly_and_in_order(steps, epochs):
    net, source = make_test_net(), StubSource(steps)
    train(net, source)
    assert source.seen == list(steps)
    assert net.history[:, "train_batch_count"] == epochs


def test_a_step_is_one_of_the_optimizer_down_the_meta_gradient():
    net = make_test_net(optimizer="sgd")
    before, (_, grads) = params_of(net), meta_gradient(copy.deepcopy(net.module_), meta_batch(4))
    train(net, StubSource(range(4, 5)))
    expected = {name: p - 0.01 * grads[name] for name, p in before.items() if name in grads}
    assert_same(params_of(net), before | expected)


def test_stop_and_resume_is_one_run():
    whole, resumed = make_test_net(), make_test_net()
    train(whole, StubSource(range(70)))
    for steps in range(30), range(30, 70):
        train(resumed, StubSource(steps))
    torch.testing.assert_close(params_of(resumed), params_of(whole), rtol=0, atol=0)


def test_an_interrupted_run_keeps_what_it_learned():
    net, short = make_test_net(), make_test_net()
    train(net, StubSource(range(70), interrupt=5))
    train(short, StubSource(range(5)))
    torch.testing.assert_close(params_of(net), params_of(short), rtol=0, atol=0)


def test_validation_adapts_to_the_same_episodes_after_each_epoch_and_leaves_the_net_without_them():
    net = make_test_net(callbacks=early_stopping(partial(of_query, accuracy), patience=5, tol=0.0))
    net.set_params(callbacks__early_stopping__load_best=False)
    validation = StubSource(range(200, 204))
    train(net, StubSource(range(60)), validation)
    assert validation.seen == [200, 201, 202, 203] * 2 and net.train_split is None
    scores, losses = validate(net, validation)
    assert net.history[-1, "valid_score"] == pytest.approx(scores)
    assert net.history[-1, "valid_loss"] == pytest.approx(losses)


def validate(net, validation):
    net.module_.eval()
    scores, losses = [], []
    for step in validation.steps:
        inputs, target = meta_batch(step)
        outputs, y = net.module_(**inputs, n_steps=2)["outputs"].flatten(0, 1), target["query_y"].flatten()
        scores.append((outputs.argmax(-1) == y).double().mean().item())
        losses.append(functional.cross_entropy(outputs, y).item())
    return sum(scores) / len(scores), sum(losses) / len(losses)


def test_early_stopping_waits_and_keeps_the_best_state():
    script = iter([0.1, 0.5, 0.4, 0.5005, 0.3])
    callbacks = early_stopping(lambda *_: torch.tensor(next(script)), patience=3, tol=0.001)
    net, best = make_test_net(callbacks=callbacks), make_test_net()
    train(net, StubSource(range(1000)), StubSource(range(1)))
    assert net.history[:, "valid_score"] == pytest.approx([0.1, 0.5, 0.4, 0.5005, 0.3])
    train(best, StubSource(range(100)))
    torch.testing.assert_close(params_of(net), params_of(best), rtol=0, atol=0)


class Script:
    """A score that is read from a list, one entry a look, whatever was predicted."""

    def __init__(self, *scores):
        self.scores = list(scores)

    def __call__(self, *_):
        return torch.tensor(float(self.scores.pop(0)))


class States(Callback):
    """The parameters at the end of each epoch."""

    def initialize(self):
        self.states_ = []
        return self

    def on_epoch_end(self, net, **kwargs):
        self.states_.append(params_of(net))


def scripted(*scores, before=(), **settings):
    stop = early_stopping(Script(*scores), **{"patience": 9, "tol": 0.0} | settings)
    return make_test_net(callbacks=[*before, ("states", States()), *stop])


def pickled(net):
    return pickle.loads(pickle.dumps(net))


HELD_OUT = range(200, 202)


@pytest.mark.parametrize("between", [lambda net: net, pickled], ids=["same", "pickled"])
@pytest.mark.parametrize("average", [[], average_iterates(0.9)], ids=["last", "average"])
@pytest.mark.parametrize(
    ("looks", "best"), [([1, 9, 5, 8], 1), ([1, 5, 4, 8], 3), ([9, 8, 7, 6], 0)], ids=["1st", "2nd", "0th"]
)
def test_the_best_state_of_all_runs_is_kept(looks, best, average, between):
    net = scripted(*(look for look in looks for _ in HELD_OUT), before=copy.deepcopy(average))
    train(net, StubSource(range(100)), StubSource(HELD_OUT))
    net = between(net)
    with torch.no_grad():  # as a user might who goes on from elsewhere
        for p in net.module_.parameters():
            p.add_(1.0)
    train(net, StubSource(range(100, 200)), StubSource(HELD_OUT))
    states = dict(net.callbacks_)["states"].states_
    assert net.history[:, "valid_score"] == looks and len(states) == 4
    torch.testing.assert_close(params_of(net), states[best], rtol=0, atol=0)


def test_a_further_run_has_patience_anew_and_the_threshold_of_before():
    net = scripted(5, 6, 5.9, 6.05, 5, 5, patience=2, tol=0.1)
    for _ in range(2):
        train(net, StubSource(range(1000)), StubSource(range(1)))
    assert net.history[:, "valid_score"] == pytest.approx([5, 6, 5.9, 6.05, 5, 5])
    torch.testing.assert_close(params_of(net), dict(net.callbacks_)["states"].states_[1], rtol=0, atol=0)


def test_scores_of_other_episodes_are_not_compared():
    net = scripted(9, 1, 2)
    train(net, StubSource(range(50)), StubSource(range(1)))
    train(net, StubSource(range(50, 150)), StubSource(range(1, 2)))
    torch.testing.assert_close(params_of(net), dict(net.callbacks_)["states"].states_[2], rtol=0, atol=0)


# ---- weight decay


def with_logarithms(**kwargs):
    """A learner with a logarithm in the backbone, in the head and of the step sizes."""
    return make_learner(lambda: WeightedFeatures(N_FEATURES), "cosine", learn_inner_lr=True, **kwargs)


def test_weight_decay_leaves_logarithms_alone():
    decayed, plain = (
        make_test_net(with_logarithms(with_meta_model=True), optimizer="sgd", optimizer__weight_decay=decay)
        for decay in (0.5, 0.0)
    )
    before = params_of(plain)
    for net in decayed, plain:
        train(net, StubSource(range(1), class_mask=True))
    after = params_of(plain)
    logarithms = {"log_inner_lr", "head.log_scale", "backbone.log_weight"}
    assert logarithms < set(before)
    expected = {n: p if n in logarithms else p - 0.01 * 0.5 * before[n] for n, p in after.items()}
    assert_same(params_of(decayed), expected)


DECAYING = [
    optimizer
    for optimizer in vars(torch.optim).values()
    if isinstance(optimizer, type) and "weight_decay" in signature(optimizer).parameters
]


@pytest.mark.parametrize("optimizer", [o for o in DECAYING if o.__name__ not in ("SparseAdam", "Muon")])
def test_no_optimizer_decays_logarithms(optimizer):
    net = make_test_net(with_logarithms(), optimizer=optimizer, optimizer__weight_decay=0.5)
    decays = {id(p): g["weight_decay"] for g in net.optimizer_.param_groups for p in g["params"]}
    named = dict(net.module_.named_parameters())
    assert {n for n, p in named.items() if decays[id(p)] == 0} == {n for n in named if "log_" in n}


def test_adam_stays_fused_and_in_one_group_without_weight_decay():
    (group,) = make_test_net(with_logarithms()).optimizer_.param_groups
    assert group["fused"]
    groups = make_test_net(with_logarithms(), optimizer="adamw").optimizer_.param_groups
    assert len(groups) > 1 and all(group["fused"] for group in groups)


def test_parameter_groups_of_the_user_come_first():
    theirs = [("head.*", {"lr": 0.5, "weight_decay": 0.2})]
    net = make_test_net(
        with_logarithms(), optimizer="adamw", optimizer__weight_decay=0.1, optimizer__param_groups=theirs
    )
    of = {id(p): (g["lr"], g["weight_decay"]) for g in net.optimizer_.param_groups for p in g["params"]}
    named = {name: of[id(p)] for name, p in net.module_.named_parameters()}
    assert named["head.log_scale"] == (0.5, 0.2)
    assert named["backbone.log_weight"] == named["log_inner_lr"] == (0.01, 0.0)


def test_progress_counts_steps_and_pickles(capsys):
    net = make_test_net(callbacks=[("progress", StepProgress())])
    train(net, StubSource(range(53)))
    assert "53/53" in capsys.readouterr().err
    pickle.dumps(net)


# ---- steps that are not finite


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_skipped_and_counted(value):
    net, short = make_test_net(), make_test_net()
    with pytest.warns(UserWarning, match="was not finite and was skipped; n_skipped_ counts them") as told:
        train(net, StubSource(range(8), broken=[5, 6, 7], value=value))
    train(short, StubSource(range(5)))
    assert len(told) == 1 and dict(net.callbacks_)["skip_non_finite"].n_skipped_ == 3
    torch.testing.assert_close(params_of(net), params_of(short), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:A meta-step was not finite")  # asserted above
def test_a_run_that_mostly_skips_is_an_error():
    half = StubSource(range(50), broken=range(0, 50, 2))
    train(make_test_net(), half)
    most = StubSource(range(50), broken=[1, *range(0, 50, 2)])
    with pytest.raises(
        FloatingPointError, match="26 of 50 meta-steps were not finite: lower inner_lr or outer_lr"
    ):
        train(make_test_net(), most)


@pytest.mark.filterwarnings("ignore:A meta-step was not finite")  # asserted above
def test_each_run_is_judged_by_its_own_steps():
    net = make_test_net()
    train(net, StubSource(range(10), broken=range(5)))
    train(net, StubSource(range(10), broken=range(5)))
    assert dict(net.callbacks_)["skip_non_finite"].n_skipped_ == 10
    with pytest.raises(FloatingPointError, match="2 of 3 meta-steps"):
        train(net, StubSource(range(3), broken=range(2)))


# ---- what torch cannot do


class Attention(nn.Module):
    """Fused attention, which has no second derivative."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(N_FEATURES, 12)

    def forward(self, x):
        query, key, value = self.project(x).reshape(len(x), 3, 1, 4, 1).unbind(1)
        return functional.scaled_dot_product_attention(query, key, value).flatten(1)


class Distances(nn.Module):
    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(4, N_FEATURES))

    def forward(self, x):
        return torch.cdist(x, self.centres)


class SquareOnce(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * gradient * ctx.saved_tensors[0]


class Squares(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(N_FEATURES, 4)

    def forward(self, x):
        return SquareOnce.apply(self.linear(x))


class Branches(nn.Module):
    """Looks at a value, which no operation under ``vmap`` can."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(N_FEATURES, 4)

    def forward(self, x):
        hidden = self.linear(x)
        return hidden.tanh() if hidden.sum() > -1e9 else hidden


def settled(backbone, **kwargs):
    net = make_test_net(make_learner(backbone, n_hidden=4, **kwargs))
    settle(net, meta_batch())
    return net.module_


def test_settle_leaves_what_works_as_it_is():
    net = make_test_net(make_learner(with_meta_model=True))
    before = params_of(net)
    settle(net, meta_batch())
    assert (net.module_.meta_gradient, net.module_.vmap_works) == ("second_order", True)
    torch.testing.assert_close(params_of(net), before, rtol=0, atol=0)
    assert all(p.grad is None for p in net.module_.parameters())


# torch's own advice on speed under vmap, for operations that it maps by a loop.
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("strategy", ["auto", "loop"])
@pytest.mark.parametrize(
    ("backbone", "operation"), [(Attention, "scaled_dot_product"), (Distances, "_cdist_backward")]
)
def test_settle_falls_back_to_first_order_and_names_the_operation(backbone, operation, strategy):
    told = rf"{operation}.*: falling back to meta_gradient='first_order'\."
    with forced_strategy(strategy), pytest.warns(UserWarning, match=told):
        learner = settled(backbone)
    first_order = make_learner(backbone, n_hidden=4, meta_gradient="first_order")
    with forced_strategy(strategy):
        assert_same(meta_gradient(learner, meta_batch()), meta_gradient(first_order, meta_batch()))


def test_settle_falls_back_for_a_function_that_is_once_differentiable():
    # Inside torch.func such a function raises no error: its second derivative is silently left out.
    with pytest.warns(
        UserWarning, match=r"once_differentiable.*: falling back to meta_gradient='first_order'"
    ):
        learner = settled(Squares)
    assert learner.meta_gradient == "first_order"


def test_settle_loops_over_tasks_where_vmap_cannot():
    learner = settled(Branches)
    assert (learner.meta_gradient, learner.chosen_strategy()) == ("second_order", "loop")
    assert meta_gradient(learner, meta_batch())[0].isfinite()


def test_settle_raises_what_no_fallback_mends():
    with forced_strategy("vmap"), pytest.raises(RuntimeError, match="vmap"):
        settled(Branches)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        settled(lambda: nn.Linear(N_FEATURES + 1, 4))
