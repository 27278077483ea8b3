"""Pretraining: the steps that plain torch takes, on whose rows, and what it leaves alone."""

import numpy as np
import pytest
import torch
from made_learners import make_learner, ragged_source
from made_tasks import ESTIMATORS, QUICK, REGRESSORS, flatten, make_curves, make_lines, make_tasks, split
from sklearn.base import clone
from torch import nn

from skmeta import GaussianNoise, TaskList, TMAMLClassifier, TMAMLRegressor
from skmeta.core.backbones import MLP
from skmeta.core.losses import squared_error
from skmeta.engine import pretrain, threads

TASKS, LINES = make_tasks(), make_lines()
# No task holds all of the classes, so labels are per task; "a" recurs and means another thing each time.
OWN = [
    (X, np.where(y == 0, "a", f"b{i}")) for i, (X, y) in enumerate(make_tasks(6, labels=(0, 1), spread=0.5))
]
of_each_estimator = pytest.mark.parametrize(
    ("estimator", "tasks"), [*((e, TASKS) for e in ESTIMATORS), *((e, LINES) for e in REGRESSORS)]
)
# A step that moves nothing: what is left is what pretraining made.
STILL = QUICK | {"max_iter": 1, "optimizer": "sgd", "outer_lr": 1e-30}


def same(a, b):
    return all(torch.equal(p, b.meta_params_[name]) for name, p in a.meta_params_.items())


def body(model):
    return {name: p for name, p in model.meta_params_.items() if name.startswith("backbone.")}


# ---- the steps


def two_features():
    return MLP(2, (5,))


def pooled_source(kind):
    """Ragged tasks whose rows, without the task and the label that they hold, have pooled targets."""
    source = ragged_source("values" if kind == "regression" else "shared")
    task, label = torch.as_tensor(source.rows.X[:, :2]).long().unbind(1)
    if kind in ("prototype", "cosine", "tied"):
        source.targets = 3 * task + label
    if kind == "regression":
        source.targets = source.targets.expand(-1, 3).float()
    source.rows.X = source.rows.X[:, 2:]
    source.steps = range(7)
    return source


def plain_steps(backbone, layer, source, size, loss):
    """The same with nothing of ours: each row of weight one, one after another."""
    optimizer = torch.optim.Adam([*backbone.parameters(), *layer.parameters()], lr=1e-3)
    for step in source.steps:
        inputs, target = source.meta_batch(step, size)
        rows = []
        for i in range(size):
            for part, y in ("support", inputs["support_y"]), ("query", target["query_y"]):
                kept = (inputs if part == "support" else target)[f"{part}_weight"][i] > 0
                rows += list(zip(inputs[f"{part}_x"][i][kept], y[i][kept], strict=True))
        x, y = (torch.stack(part) for part in zip(*rows, strict=True))
        optimizer.zero_grad()
        loss(layer(backbone(x)), y).backward()
        optimizer.step()


@pytest.mark.parametrize("kind", ["linear", "prototype", "cosine", "tied", "regression"])
def test_it_takes_the_steps_that_plain_torch_takes(kind):
    regression, own_layer = kind == "regression", kind in ("linear", "regression")
    settings = {"head": "linear", "loss": squared_error} if regression else {"head": kind}
    learner, twin = (make_learner(two_features, **settings).float() for _ in range(2))
    before = {name: p.detach().clone() for name, p in learner.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layer = nn.Linear(5, 3 if own_layer else 12)  # as the layer starts that is thrown away
        torch.manual_seed(3)
        pretrain(learner, pooled_source(kind), 4)
    if own_layer:
        layer.load_state_dict(twin.head.state_dict())
    loss = nn.functional.mse_loss if regression else nn.functional.cross_entropy
    plain_steps(twin.backbone, layer, pooled_source(kind), 4, loss)
    expected = {f"backbone.{name}": p for name, p in twin.backbone.named_parameters()}
    if own_layer:
        expected |= {f"head.{name}": p for name, p in layer.named_parameters()}
    for name, p in learner.named_parameters():
        assert p.grad is None
        if name in expected:
            torch.testing.assert_close(p, expected[name], rtol=1e-4, atol=1e-6)
            assert not torch.equal(p, before[name])
        else:
            assert torch.equal(p, before[name])


# ---- whose rows, and which classes


def pretrained_on(monkeypatch, model, *data):
    """Rows and targets of each step, as pretraining sees them."""
    seen = []

    def note(learner, source, size):
        for step in source.steps:
            inputs, target = source.meta_batch(step, size)
            for part, kept, y in (
                ("support", inputs["support_weight"] > 0, inputs["support_y"]),
                ("query", target["query_weight"] > 0, target["query_y"]),
            ):
                seen.append((inputs[f"{part}_x"][kept], y[kept]))

    monkeypatch.setattr("skmeta.engine.pretrain", note)
    model.fit(*data)
    return [np.concatenate(part) for part in zip(*seen, strict=True)]


def labels_of(tasks, rows):
    """``(task, label)`` of each row."""
    known = {tuple(x): (i, label) for i, (X, y) in enumerate(tasks) for x, label in zip(X, y, strict=True)}
    return [known[tuple(row)] for row in rows]


@pytest.mark.parametrize("head", ["auto", "prototype"])
def test_classes_of_a_shared_label_space_are_its_labels(monkeypatch, head):
    clf = TMAMLClassifier(**QUICK, label_space="shared", head=head, pretrain_iter=6)
    rows, numbers = pretrained_on(monkeypatch, clf, TASKS)
    assert numbers.tolist() == [label for _, label in labels_of(TASKS, rows)]


def test_classes_of_a_per_task_label_space_are_those_of_each_task(monkeypatch):
    clf = TMAMLClassifier(**QUICK, pretrain_iter=20)
    rows, numbers = pretrained_on(monkeypatch, clf, OWN)
    pairs = set(zip(labels_of(OWN, rows), numbers.tolist(), strict=True))
    assert len(pairs) == 12 == len({pair for pair, _ in pairs})
    assert sorted(number for _, number in pairs) == list(range(12))


def test_targets_of_a_regression_are_brought_to_the_order_of_one(monkeypatch):
    tasks = make_curves(20, log_scale=5.0, level=100.0)
    _, values = pretrained_on(monkeypatch, TMAMLRegressor(**QUICK, pretrain_iter=20), tasks)
    assert abs(values.mean()) < 0.2 and 0.7 < values.std() < 1.3 and np.abs(values).max() < 10


@pytest.mark.parametrize("form", ["tasks", "given", "flat"])
def test_held_out_rows_are_not_pretrained_on(monkeypatch, form):
    data = {"tasks": (TASKS,), "given": ([split(t) for t in TASKS],), "flat": flatten(TASKS)[:2]}[form]
    settings = QUICK | {"validation_fraction": 0.5, "meta_batch_size": 8}
    clf = TMAMLClassifier(**settings, early_stopping=True, pretrain_iter=50)
    rows, _ = pretrained_on(monkeypatch, clf, *data)
    met = labels_of(TASKS, rows)
    if form == "flat":
        assert len({tuple(row) for row in rows}) <= 96
    else:
        assert len({i for i, _ in met}) == 4


def test_tasks_of_a_task_list_are_loaded_as_they_are_drawn():
    asked = []

    def load(i):
        asked.append(i)
        return TASKS[i]

    settings = STILL | {"meta_batch_size": 2, "pretrain_iter": 5}
    lazy = TMAMLClassifier(**settings).fit(TaskList(load, range(8)))
    # Read once, then 2 at a step, of pretraining and of meta-training, but for those that are there yet.
    assert asked[:8] == list(range(8)) and 8 + 5 < len(asked) <= 8 + 2 * (5 + 1)
    assert same(lazy, TMAMLClassifier(**settings).fit(TASKS))


# ---- in the estimators


@of_each_estimator
def test_it_comes_first_and_changes_the_starting_point(estimator, tasks):
    start, still = (estimator(**STILL, pretrain_iter=n).fit(tasks) for n in (0, 30))
    assert all(not torch.equal(p, body(start)[name]) for name, p in body(still).items())
    assert same(still, clone(still).fit(tasks))
    assert still.n_iter_ == 1
    for name in "log_inner_lr", "meta_model.out.weight":
        if name in start.meta_params_:
            torch.testing.assert_close(still.meta_params_[name], start.meta_params_[name], rtol=0, atol=1e-20)


@of_each_estimator
def test_a_warm_start_does_not_pretrain_again(estimator, tasks):
    whole = estimator(**QUICK | {"max_iter": 20}, pretrain_iter=5).fit(tasks)
    parts = estimator(**QUICK | {"max_iter": 10}, pretrain_iter=5, warm_start=True).fit(tasks).fit(tasks)
    assert same(parts, whole)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])
def test_frozen_layers_stay_frozen(estimator):
    net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 4))
    net[0].requires_grad_(False)
    settings = {name: value for name, value in STILL.items() if name != "hidden_layer_sizes"}
    model = estimator(net, **settings, pretrain_iter=5).fit(LINES if estimator in REGRESSORS else TASKS)
    for name, p in net.named_parameters():
        assert torch.equal(body(model)[f"backbone.{name}"], p) == name.startswith("0.")


def test_the_pooled_model_is_where_a_shared_label_space_starts():
    tasks = make_tasks(1, n_rows=200, spread=0.5) * 4
    clf = TMAMLClassifier(**STILL, adapt_steps=0, pretrain_iter=600).fit(tasks).adapt(*tasks[0])
    assert clf.score(*tasks[0]) > 0.95


def test_ctrl_c_ends_the_fit_and_keeps_what_was_pretrained():
    calls = []

    def interrupted(X, generator):
        calls.append(len(X))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return X

    stopped = TMAMLClassifier(**QUICK, pretrain_iter=10, augment=interrupted).fit(TASKS)
    assert stopped.n_iter_ == 0 and stopped.loss_curve_ == []
    whole = TMAMLClassifier(**STILL, pretrain_iter=5).fit(TASKS)
    assert same(stopped, whole)
    assert len(stopped.adapt(*TASKS[0]).predict(TASKS[0][0])) == len(TASKS[0][1])


def test_augmentation_is_for_pretraining_too():
    plain, noisy = (
        TMAMLClassifier(**STILL, pretrain_iter=5, augment=augment).fit(TASKS)
        for augment in (None, GaussianNoise(0.5))
    )
    assert not same(plain, noisy)


@pytest.mark.parametrize(("for_a_thread", "n_threads"), [(10**9, 1), (1, 2)])
def test_takes_the_threads_that_its_rows_are_work_for(for_a_thread, n_threads, monkeypatch):
    monkeypatch.setattr(threads, "FOR_A_THREAD", for_a_thread)
    seen = []
    learner = make_learner(lambda: MLP(2, (8, 8)), n_hidden=8).float()
    learner.backbone.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    source = pooled_source("linear")
    source.steps = range(1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pretrain(learner, source, 4)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [n_threads]
