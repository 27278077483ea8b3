"""What every estimator does with every form of input, and what it promises about state."""

import copy
import gc
import json
import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import (
    ESTIMATORS,
    PLAIN,
    QUICK,
    REGRESSORS,
    episodes_seen_by,
    flatten,
    make_curves,
    make_images,
    make_tasks,
    split,
)
from scipy import sparse
from scipy.special import softmax
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from skmeta import Conv4, TAMLClassifier, TMAMLClassifier, adapt
from skmeta.core.meta_models import BasisMetaModel
from skmeta.engine import forced_strategy
from skmeta.estimators import auto, folds
from skmeta.tasks import limits

# Over all estimators, 400.
N_ADAPTATIONS = 100

TASKS = make_tasks(8)
CURVES = make_curves(8)
X, Y = TASKS[0]
ABC = make_tasks(8, labels=("a", "b", "c"), seed=1)
# Labels of its own in every task: 2 to 4 classes, and new names each time.
OWN_LABELS = [
    (X, np.array([f"{'abcd'[code]}{i}" for code in y]))
    for i in range(6)
    for X, y in make_tasks(1, labels=range(2 + i % 3), n_rows=30 + i, seed=i)
]
POOL = make_tasks(1, labels=range(12), n_rows=120, n_features=5, seed=2)[0]
RAGGED = [(X[: 10 + i], y[: 10 + i]) for i, (X, y) in enumerate(TASKS)]

each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def assert_same_params(a, b):
    assert a.keys() == b.keys()
    for name, p in a.items():
        assert torch.equal(p, b[name]), name


def copied(params):
    return {name: p.clone() for name, p in params.items()}


def differ(a, b):
    return any(not torch.equal(p, b[name]) for name, p in a.items())


def test_the_helpers_of_this_file_see_a_difference():
    a, b = {"w": torch.zeros(2)}, {"w": torch.tensor([0, 1e-30])}
    with pytest.raises(AssertionError):
        assert_same_params(a, b)
    with pytest.raises(AssertionError):
        assert_same_params(a, {})
    assert differ(a, b) and not differ(a, copied(a))


# ---- labels


@pytest.mark.parametrize(
    "labels",
    [("no", "yes"), (-7, 100), (0, 3, 10), (-1, 1), (False, True), (1.0, 2.0), ("1", "10", "9")],
    ids=str,
)
@each_estimator
def test_labels_of_any_kind_come_back(estimator, labels):
    tasks = make_tasks(labels=labels)
    X, y = tasks[0]
    clf = estimator(**QUICK).fit(tasks).adapt(X, y)
    np.testing.assert_array_equal(clf.classes_, np.unique(y))
    assert clf.classes_.dtype == np.array(labels).dtype
    predicted = clf.predict(X)
    assert predicted.dtype == clf.classes_.dtype and set(predicted) <= set(labels)
    assert clf.score(tasks) == pytest.approx(
        np.mean([clf.adapt(*task).score(*task) for task in tasks]), abs=0.3
    )


@each_estimator
def test_labels_are_mere_names(estimator):
    """Other names in the same order change nothing but the names."""
    letters = [(X, np.array(["a", "b", "c"])[y]) for X, y in make_tasks(labels=(0, 1, 2))]
    gaps = [(X, np.array([-5, 0, 70])[y]) for X, y in make_tasks(labels=(0, 1, 2))]
    a, b = (estimator(**QUICK).fit(tasks).adapt(*tasks[0]) for tasks in (letters, gaps))
    assert_same_params(a.meta_params_, b.meta_params_)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


@each_estimator
def test_a_task_without_some_classes_of_a_shared_space(estimator):
    tasks = [*ABC, *((X[y != "b"], y[y != "b"]) for X, y in ABC[:2])]
    clf = estimator(**QUICK).fit(tasks).adapt(*tasks[-1])
    assert clf.classes_.tolist() == ["a", "b", "c"]
    assert clf.predict_proba(tasks[-1][0]).shape == (16, 3)


@pytest.mark.parametrize("head", ["auto", "tied", "prototype", "cosine"])
@each_estimator
def test_labels_per_task(estimator, head):
    clf = estimator(**QUICK, head=head, n_way=3).fit(OWN_LABELS)
    for X, y in OWN_LABELS:
        clf.adapt(X, y)
        np.testing.assert_array_equal(clf.classes_, np.unique(y))
        assert clf.predict_proba(X).shape == (len(y), len(np.unique(y)))
        assert set(clf.predict(X)) <= set(y)
    X, y = make_tasks(1, labels=range(7), n_rows=28)[0]
    assert clf.adapt(X, y).predict_proba(X).shape == (28, 7)


def test_the_label_space_is_shared_if_a_task_holds_all_classes():
    clf = TMAMLClassifier(**QUICK).fit(ABC)
    of_kernel = 64 if clf.start_ == "kernel" else 0
    assert clf.meta_params_["head.mean"].shape == (3, 3 + of_kernel + 8 + 1)
    assert "head.mean" not in TMAMLClassifier(**QUICK).fit(OWN_LABELS).meta_params_
    per_task = TMAMLClassifier(**QUICK, label_space="per_task").fit(ABC)
    assert per_task.adapt(X, ["new", "names"] * 12).classes_.tolist() == ["names", "new"]
    shared = TMAMLClassifier(**QUICK, label_space="shared").fit(OWN_LABELS)
    assert len(shared.adapt(*OWN_LABELS[0]).classes_) == 18


@pytest.mark.parametrize("head", ["tied", "prototype", "cosine"])
@each_estimator
def test_relabelling_the_classes_permutes_the_predictions(estimator, head):
    clf = estimator(**QUICK | {"max_iter": 20}, head=head, label_space="per_task").fit(ABC)
    X, y = ABC[0]
    before = clf.adapt(X, y).predict_proba(X)
    renamed = np.array(["c", "a", "b"])[np.searchsorted(["a", "b", "c"], y)]
    after = clf.adapt(X, renamed).predict_proba(X)
    assert np.ptp(before, axis=1).min() > 5e-4
    np.testing.assert_allclose(after[:, [2, 0, 1]], before, atol=1e-5)


# ---- forms of input


@each_estimator
def test_tasks_of_different_sizes(estimator):
    clf = estimator(**QUICK).fit(RAGGED)
    assert clf.n_tasks_ == 8
    for X, y in RAGGED:
        assert clf.adapt(X, y).predict(X).shape == y.shape


@each_estimator
def test_flat_rows_with_groups_are_the_same_tasks_as_a_list(estimator):
    names = [f"task {i}" for i in range(8)]
    X, y, groups = flatten(RAGGED, names)
    assert (groups[:8] == names).all()  # the rows of the tasks are mixed
    flat, listed = estimator(**QUICK).fit(X, y, groups=groups), estimator(**QUICK).fit(RAGGED)
    assert flat.n_tasks_ == listed.n_tasks_ == 8
    assert_same_params(flat.meta_params_, listed.meta_params_)
    assert flat.score(X, y, groups=groups) == listed.score(RAGGED)
    assert not hasattr(flat, "classes_")


@each_estimator
def test_flat_rows_alone(estimator):
    X, y = make_tasks(1, labels=("a", "b", "c"), n_rows=60, n_features=5, spread=0.5)[0]
    clf = estimator(random_state=0).fit(X, y)
    assert clf.n_tasks_ == 1
    assert clf.classes_.tolist() == ["a", "b", "c"]
    assert clf.predict(X).shape == (60,)
    assert clf.score(X, y) > 0.9
    assert clf.score(X, y, sample_weight=(y == "a").astype(float)) > 0.9


@each_estimator
def test_flat_rows_of_many_classes(estimator):
    """More classes than ``n_way``: the labels are per task, and all classes are adapted to in the end."""
    X, y = POOL
    clf = estimator(**QUICK | {"max_iter": 30}).fit(X, y)
    assert clf.classes_.tolist() == list(range(12))
    assert clf.score(X, y) > 0.5
    assert clf.adapt(*ABC[0][:0], X[:20], ["u", "v"] * 10).classes_.tolist() == ["u", "v"]


@each_estimator
def test_given_episodes(estimator):
    """Episodes are used as they are: one for each task, whatever ``n_shot`` and ``n_query`` are."""
    given = [split(task, 8 + i) for i, task in enumerate(TASKS)]
    clf = estimator(**QUICK).fit(given)
    other = estimator(**QUICK | {"n_query": 1}, n_shot=1).fit(given)
    assert_same_params(clf.meta_params_, other.meta_params_)
    by_hand = [clf.adapt(*g[:2]).score(*g[2:]) for g in given]
    assert clf.score(given) == pytest.approx(np.mean(by_hand))


@each_estimator
def test_given_episodes_with_labels_of_their_own(estimator):
    given = [split(task, 20) for task in OWN_LABELS]
    clf = estimator(**QUICK).fit(given)
    assert 0 <= clf.score(given) <= 1
    assert clf.adapt(*given[2][:2]).classes_.tolist() == ["a2", "b2", "c2", "d2"]


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array])
@each_estimator
def test_sparse_tasks_equal_dense_ones(estimator, form):
    """For a module, which gets them as passed; for the default network, sparse rows are not centred."""
    dense = [(np.where(X > 0, X, 0), y) for X, y in RAGGED]
    thin = [(form(X), y) for X, y in dense]
    a, b = (estimator(partial(nn.Linear, 3, 8), **QUICK).fit(tasks) for tasks in (dense, thin))
    assert_same_params(a.meta_params_, b.meta_params_)
    assert a.score(dense) == b.score(thin)
    a.adapt(*dense[3])
    b.adapt(*thin[3])
    np.testing.assert_array_equal(a.predict_proba(dense[4][0]), b.predict_proba(thin[4][0]))
    queries = [X for X, _ in dense]
    for p, q in zip(a.predict_tasks(dense, queries), b.predict_tasks(thin, queries), strict=True):
        np.testing.assert_array_equal(p, q)


@each_estimator
def test_lists_of_numbers_equal_arrays(estimator):
    lists = [(X.tolist(), y.tolist()) for X, y in TASKS]
    a, b = estimator(**QUICK).fit(TASKS), estimator(**QUICK).fit(lists)
    assert_same_params(a.meta_params_, b.meta_params_)
    assert a.adapt(*TASKS[0]).predict(X).tolist() == b.adapt(*lists[0]).predict(X.tolist()).tolist()


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8, bool])
@each_estimator
def test_rows_of_any_number_type(estimator, dtype):
    tasks = [(np.abs(X).astype(dtype), y) for X, y in TASKS]
    as_floats = [(X.astype(np.float32), y) for X, y in tasks]
    a, b = estimator(**QUICK).fit(tasks), estimator(**QUICK).fit(as_floats)
    assert_same_params(a.meta_params_, b.meta_params_)
    assert a.adapt(*tasks[0]).predict_proba(tasks[0][0]).dtype == np.float64


LAYOUTS = {
    "Fortran": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=0)[::2],
    "reversed": np.ascontiguousarray(X[::-1])[::-1],
    "big-endian": X.astype(">f4"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("verb", ["fit", "adapt", "predict", "predict_tasks"])
def test_rows_in_any_memory_layout(verb, layout):
    other = LAYOUTS[layout]
    np.testing.assert_array_equal(other, X)
    expected, clf = (TMAMLClassifier(**QUICK).fit(X, Y) for _ in range(2))
    if verb == "fit":
        clf.fit(other, Y)
    elif verb == "adapt":
        clf.adapt(other, Y)
    elif verb == "predict_tasks":
        np.testing.assert_array_equal(clf.predict_tasks([(other, Y)], [other])[0], expected.predict(X))
    rows = other if verb == "predict" else X
    np.testing.assert_array_equal(clf.predict_proba(rows), expected.predict_proba(X))


@pytest.mark.parametrize("verb", ["fit", "adapt", "predict", "predict_tasks"])
def test_rows_that_may_not_be_written_to(verb):
    """As joblib hands them to its workers, and pandas out of its frames."""
    locked = X.copy()
    locked.flags.writeable = False
    clf = TMAMLClassifier(**QUICK).fit(X, Y)
    calls = {
        "fit": lambda: clf.fit(locked, Y),
        "adapt": lambda: clf.adapt(locked, Y),
        "predict": lambda: clf.predict(locked),
        "predict_tasks": lambda: clf.predict_tasks([(locked, Y)], [locked]),
    }
    run = """if True:
        import warnings; warnings.simplefilter("error")
        import numpy as np, torch
    """
    assert run
    with torch_warns_always():
        calls[verb]()


class torch_warns_always:  # noqa: N801
    """torch tells of some things only once in a process, which would hide them from all tests but one."""

    def __enter__(self):
        torch.set_warn_always(True)

    def __exit__(self, *_):
        torch.set_warn_always(False)


# ---- DataFrames

FRAMES = [(pd.DataFrame(X.astype(float), columns=["age", "dose", "size"]), pd.Series(y)) for X, y in TASKS]


@each_estimator
def test_frames_keep_their_names(estimator):
    clf = estimator(**QUICK).fit(FRAMES)
    assert clf.feature_names_in_.tolist() == ["age", "dose", "size"]
    assert clf.n_features_in_ == 3
    assert_same_params(clf.meta_params_, estimator(**QUICK).fit(TASKS).meta_params_)
    frame, y = FRAMES[0]
    assert clf.adapt(frame, y).predict(frame).shape == (24,)
    wrong = frame.rename(columns={"dose": "weight"})
    for call in (
        lambda: clf.adapt(wrong, y),
        lambda: clf.predict(wrong),
        lambda: clf.predict_tasks([(wrong, y)], [frame]),
        lambda: clf.predict_tasks([(frame, y)], [wrong]),
        lambda: clf.score([(wrong, y)]),
        lambda: clf.fit([FRAMES[0], (wrong, y)]),
    ):
        with pytest.raises(ValueError, match=r"(?s)feature names should match.*weight.*dose"):
            call()
    assert not hasattr(clf.fit(TASKS), "feature_names_in_")


def test_frames_are_scored_without_a_warning():
    clf = TMAMLClassifier(**QUICK).fit(FRAMES)
    assert clf.score(FRAMES) == TMAMLClassifier(**QUICK).fit(TASKS).score(TASKS)


def test_frames_in_a_flat_fit():
    frame = pd.concat([f for f, _ in FRAMES])
    y, groups = pd.concat([y for _, y in FRAMES]), pd.Series(np.repeat(list("abcdefgh"), 24))
    clf = TMAMLClassifier(**QUICK).fit(frame, y, groups=groups)
    assert clf.feature_names_in_.tolist() == ["age", "dose", "size"]
    assert clf.score(frame, y, groups=groups) == clf.score(FRAMES)


# ---- images and modules


class Features(nn.Sequential):
    """A user's network, with parameters by name for the shape of the rows."""

    def __init__(self, in_features, width=6):
        super().__init__(nn.Linear(in_features, width), nn.Tanh(), nn.Linear(width, 4))


MODULE = {name: value for name, value in QUICK.items() if name != "hidden_layer_sizes"}


@each_estimator
def test_images(estimator):
    images = make_images()
    clf = estimator(Conv4, module__hidden_channels=8, **MODULE).fit(images)
    X, y = images[0]
    clf.adapt(X, y)
    assert clf.classes_.tolist() == ["a", "b"]
    together = clf.predict_proba(X)
    assert together.shape == (12, 2)
    np.testing.assert_allclose(
        np.concatenate([clf.predict_proba(row[None]) for row in X]), together, atol=1e-5
    )
    batched = clf.predict_tasks(images, [X for X, _ in images])
    single = [clf.adapt(X, y).predict(X) for X, y in images]
    assert [p.tolist() for p in batched] == [p.tolist() for p in single]


@pytest.mark.parametrize(
    ("module", "kwargs"),
    [
        (Features, {"module__width": 5}),
        (partial(Features, width=5), {}),
        (lambda in_features: Features(in_features, 5), {}),
        (lambda input_shape, width: Features(input_shape[0], width), {"module__width": 5}),
        (nn.Linear, {"module__out_features": 5}),
    ],
    ids=["class", "partial", "factory", "factory of a shape", "torch layer"],
)
@each_estimator
def test_modules_are_made_for_the_rows(estimator, module, kwargs):
    clf = estimator(module, **kwargs, **MODULE).fit(TASKS).adapt(X, Y)
    first = next(iter(p for name, p in clf.meta_params_.items() if name.startswith("backbone.")))
    assert first.shape == (5, 3)
    assert clf.predict(X).shape == Y.shape


@each_estimator
def test_an_instance_is_copied_and_its_frozen_parameters_stay(estimator):
    torch.manual_seed(0)
    net = Features(3)
    net[0].requires_grad_(False)
    before = copied(net.state_dict())
    clf = estimator(net, **MODULE).fit(TASKS).adapt(X, Y)
    clf.predict_tasks(TASKS, [X] * 8)
    assert_same_params(dict(net.state_dict()), before)
    assert net.training and all(p.grad is None for p in net.parameters())
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    for learned in clf.meta_params_, clf.adapted_params_:
        assert torch.equal(learned["backbone.0.weight"], before["0.weight"])
        assert torch.equal(learned["backbone.0.bias"], before["0.bias"])
        assert not torch.equal(learned["backbone.2.weight"], before["2.weight"])
    assert clf.module is net


@each_estimator
def test_the_weights_of_an_instance_are_the_starting_point(estimator):
    net = Features(3)
    clf = estimator(net, optimizer="sgd", outer_lr=1e-30, **MODULE).fit(TASKS)
    for name, p in net.named_parameters():
        assert torch.equal(clf.meta_params_[f"backbone.{name}"], p.detach())


@pytest.mark.parametrize("mode_of_the_rest", [True, False], ids=["rest trains", "rest evaluates"])
def test_trained_batch_statistics_stay_as_they_are(mode_of_the_rest):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train(mode_of_the_rest)
    net[1].eval().running_mean.fill_(0.5)
    clf = TMAMLClassifier(net, **MODULE).fit(TASKS).adapt(X, Y)
    norm = clf.net_.module_.backbone[1]
    assert torch.equal(norm.running_mean, torch.full((4,), 0.5))
    assert norm.num_batches_tracked == 0
    np.testing.assert_allclose(clf.predict_proba(X[:1]), clf.predict_proba(X)[:1], atol=1e-6)


class Dropping(nn.Sequential):
    def __init__(self, in_features):
        super().__init__(nn.Linear(in_features, 8), nn.Dropout(0.5))


@each_estimator
def test_dropout_is_off_once_trained(estimator):
    clf = estimator(Dropping, **MODULE).fit(TASKS)
    first = copied(clf.adapt(X, Y).adapted_params_)
    assert_same_params(clf.adapt(X, Y).adapted_params_, first)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize(
    ("adapt_params", "changed"),
    [
        ("all", {"backbone.layers.0.weight", "backbone.layers.0.bias", "head.weight", "head.bias"}),
        ("head", {"head.weight", "head.bias"}),
        (["*.bias"], {"backbone.layers.0.bias", "head.bias"}),
        (["backbone.layers.0.weight", "head.b*"], {"backbone.layers.0.weight", "head.bias"}),
    ],
    ids=["all", "head", "biases", "list"],
)
@each_estimator
def test_only_the_chosen_parameters_adapt(estimator, adapt_params, changed):
    clf = estimator(**PLAIN, adapt_params=adapt_params).fit(TASKS).adapt(X, Y)
    meta = clf.meta_params_
    assert {n for n, p in clf.adapted_params_.items() if not torch.equal(p, meta[n])} == changed
    assert len(meta["log_inner_lr"]) == len(changed)


# ---- predictions


@each_estimator
def test_outputs_agree_with_each_other(estimator):
    for tasks in ABC, TASKS:
        X, y = tasks[0]
        clf = estimator(**QUICK | {"max_iter": 20}).fit(tasks).adapt(X, y)
        p, decision = clf.predict_proba(X), clf.decision_function(X)
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)
        np.testing.assert_allclose(clf.predict_log_proba(X), np.log(p), rtol=1e-6)
        np.testing.assert_array_equal(clf.predict(X), clf.classes_[p.argmax(1)])
        if len(clf.classes_) == 2:
            assert decision.shape == (24,)
            np.testing.assert_allclose(decision, np.log(p[:, 1] / p[:, 0]), rtol=1e-6)
        else:
            assert decision.shape == (24, 3)
            np.testing.assert_array_equal(clf.predict(X), clf.classes_[decision.argmax(1)])


@each_estimator
def test_probabilities_are_in_the_order_of_the_classes(estimator):
    """Tasks that anyone can solve, so that each class has its own large column."""
    tasks = make_tasks(labels=("z", "a", "k"), n_features=6, spread=0.1)
    clf = estimator(**QUICK | {"max_iter": 40, "inner_steps": 4, "outer_lr": 0.02}).fit(tasks)
    X, y = tasks[0]
    p = clf.adapt(X, y).predict_proba(X)
    for i, label in enumerate(["a", "k", "z"]):
        assert p[y == label, i].mean() > 0.8


@each_estimator
def test_a_row_alone_is_predicted_as_among_others(estimator):
    for tasks in TASKS, OWN_LABELS:
        X, y = tasks[1]
        clf = estimator(**QUICK).fit(tasks).adapt(X, y)
        alone = np.concatenate([clf.predict_proba(row[None]) for row in X])
        np.testing.assert_allclose(alone, clf.predict_proba(X), rtol=1e-12)
        tasks_of_one_row = clf.predict_tasks([(X, y)] * len(X), list(X[:, None]))
        assert np.concatenate(tasks_of_one_row).tolist() == clf.predict(X).tolist()


def test_many_rows_are_predicted_in_parts(monkeypatch):
    clf = TMAMLClassifier(**QUICK).fit(X, Y)
    whole = clf.predict_proba(X)
    monkeypatch.setattr(limits, "ROWS_AT_ONCE", 5)
    np.testing.assert_allclose(clf.predict_proba(X), whole, rtol=1e-12)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])
def test_many_support_rows_are_adapted_to_in_parts(estimator, form, monkeypatch):
    tasks = CURVES if estimator in REGRESSORS else OWN_LABELS
    X, y = tasks[0]
    model = estimator(**QUICK | {"max_iter": 20}).fit(tasks)
    whole = copied(model.adapt(X, y).adapted_params_)
    monkeypatch.setattr(limits, "ROWS_AT_ONCE", 5)
    rows = []
    model.net_.module_.backbone.register_forward_hook(lambda module, inputs, _: rows.append(len(inputs[0])))
    for name, p in model.adapt(form(X), y).adapted_params_.items():
        torch.testing.assert_close(p, whole[name], rtol=1e-4, atol=1e-5)
    assert max(rows) == 5


@pytest.mark.parametrize("at_once", [64, 3])
@pytest.mark.parametrize(
    "tasks", [RAGGED, OWN_LABELS, make_tasks(5, labels=(0, 1, 2))], ids=["ragged", "own", "even"]
)
@each_estimator
def test_predict_tasks_equals_adapt_and_predict_one_by_one(estimator, tasks, at_once, monkeypatch):
    monkeypatch.setattr(limits, "TASKS_AT_ONCE", at_once)
    clf = estimator(**QUICK | {"max_iter": 20}, adapt_steps=3).fit(tasks)
    supports = [(X[: 6 + i], y[: 6 + i]) for i, (X, y) in enumerate(tasks)]
    queries = [X[-1 - 2 * i :] for i, (X, _) in enumerate(tasks)]
    one_by_one = [clf.adapt(*s).predict(q) for s, q in zip(supports, queries, strict=True)]
    last = copied(clf.adapted_params_)
    together = clf.predict_tasks(supports, queries)
    assert [p.tolist() for p in together] == [p.tolist() for p in one_by_one]
    assert_same_params(clf.adapted_params_, last)


@each_estimator
def test_batched_tasks_give_the_same_numbers_as_single_ones(estimator):
    """Not only the same labels: the outputs that they are read off."""
    clf = estimator(**QUICK | {"max_iter": 20}).fit(OWN_LABELS)
    with episodes_seen_by(clf) as seen:
        clf.predict_tasks(OWN_LABELS, [X for X, _ in OWN_LABELS])
    for (X, y), (_, _, logits) in zip(OWN_LABELS, seen, strict=True):
        p = softmax(logits[: len(y)].astype(float), axis=1)[:, : len(np.unique(y))]
        np.testing.assert_allclose(p, clf.adapt(X, y).predict_proba(X), atol=1e-5)


@each_estimator
def test_the_number_of_a_bad_task_counts_over_all_parts(estimator, monkeypatch):
    monkeypatch.setattr(limits, "TASKS_AT_ONCE", 3)
    clf = estimator(**QUICK).fit(TASKS)
    with pytest.raises(ValueError, match="task 4: X has 2 features"):
        clf.predict_tasks(TASKS, [X] * 4 + [X[:, :2]] + [X] * 3)
    assert clf.predict_tasks([], []) == []


@each_estimator
def test_a_task_without_query_rows_gets_no_predictions(estimator):
    clf = estimator(**QUICK).fit(TASKS)
    none, some = clf.predict_tasks(TASKS[:2], [X[:0], X])
    assert none.shape == (0,) and some.shape == (24,)


def test_score_is_the_mean_over_the_tasks_of_the_rows_that_are_not_support():
    """A task of 24 rows, 12 a class: 5 of each class are support, all the others are scored."""
    clf = TMAMLClassifier(**QUICK | {"max_iter": 30}, n_shot=4).fit(TASKS)
    prepared = clf._preparation(torch.as_tensor(X)).numpy()
    with episodes_seen_by(clf) as seen:
        score = clf.score(TASKS[:1])
    [(support, query, _)] = seen
    numbers = [(row == prepared).all(1).argmax() for row in (*support, *query)]
    assert sorted(numbers) == list(range(24))
    support, query = numbers[:10], numbers[10:]
    assert np.bincount(Y[support]).tolist() == [5, 5]
    assert score == clf.adapt(X[support], Y[support]).score(X[query], Y[query])


@pytest.mark.filterwarnings("error")
def test_many_classes_of_one_row_are_no_regression():
    clf = TMAMLClassifier(**QUICK, label_space="per_task").fit(TASKS)
    rows = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    assert clf.adapt(rows, np.arange(30)).predict(rows).shape == (30,)


def test_given_episodes_of_shared_labels_may_ask_for_a_class_without_support():
    tasks = [(X[:12], y[:12], X[12:], y[12:]) for X, y in TASKS]
    X_first, y_first = TASKS[0]
    some = y_first == 0
    tasks[0] = X_first[some][:4], y_first[some][:4], X_first, y_first
    other = X_first[~some][:1], y_first[~some][:1] + 1
    tasks[0] = (*(np.concatenate(p) for p in zip(tasks[0][:2], other, strict=True)), X_first, y_first)
    clf = TMAMLClassifier(**QUICK, label_space="shared").fit(tasks)
    assert np.isfinite(clf.loss_curve_).all()


# ---- adapting


@each_estimator
def test_adapt_starts_afresh(estimator):
    for tasks in TASKS, OWN_LABELS:
        clf = estimator(**QUICK).fit(tasks)
        first = clf.adapt(*tasks[0])
        a, classes = copied(first.adapted_params_), first.classes_
        b = copied(clf.adapt(*tasks[1]).adapted_params_)
        if tasks is TASKS:
            assert differ(a, b)
        assert_same_params(clf.adapt(*tasks[0]).adapted_params_, a)
        assert clf.classes_.tolist() == classes.tolist()


@each_estimator
def test_the_order_of_the_support_rows_does_not_matter(estimator):
    clf = estimator(**QUICK).fit(ABC)
    X, y = ABC[0]
    order = np.random.default_rng(0).permutation(len(y))
    a, b = clf.adapt(X, y).predict_proba(X), clf.adapt(X[order], y[order]).predict_proba(X)
    np.testing.assert_allclose(a, b, atol=1e-5)


@each_estimator
def test_no_steps_leave_the_initialisation(estimator):
    clf = estimator(**PLAIN, adapt_steps=0).fit(TASKS).adapt(X, Y)
    assert_same_params(clf.adapted_params_, {name: clf.meta_params_[name] for name in clf.adapted_params_})
    assert set(clf.adapted_params_) >= {"head.weight", "head.bias", "backbone.layers.0.weight"}


@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_adapt_takes_the_steps_that_plain_torch_takes(n_steps):
    """Also more steps than it was meta-trained with, and step sizes of each tensor's own."""
    clf = TMAMLClassifier(**PLAIN | {"max_iter": 20}, adapt_steps=n_steps).fit(ABC)
    X, y = ABC[0]
    meta = clf.meta_params_
    names = ["backbone.layers.0.weight", "backbone.layers.0.bias", "head.weight", "head.bias"]
    rates = meta["log_inner_lr"].exp()
    assert rates.unique().numel() == 4
    params = [meta[name].clone().requires_grad_() for name in names]
    rows, targets = clf._preparation(torch.as_tensor(X)), torch.as_tensor(np.searchsorted(["a", "b", "c"], y))
    for _ in range(n_steps):
        hidden = nn.functional.linear(rows, params[0], params[1]).relu()
        loss = nn.functional.cross_entropy(nn.functional.linear(hidden, params[2], params[3]), targets)
        grads = torch.autograd.grad(loss, params)
        params = [(p - r * g).detach().requires_grad_() for p, r, g in zip(params, rates, grads, strict=True)]
    clf.adapt(X, y)
    for name, p in zip(names, params, strict=True):
        torch.testing.assert_close(clf.adapted_params_[name], p.detach(), rtol=1e-4, atol=1e-5)


@each_estimator
def test_more_steps_than_it_was_trained_with_fit_the_support_set_better(estimator):
    clf = estimator(**PLAIN | {"max_iter": 20}).fit(ABC)
    X, y = ABC[0]
    losses = []
    for n_steps in 0, 2, 30:
        clf.set_params(adapt_steps=n_steps).adapt(X, y)
        rows = np.searchsorted(clf.classes_, y)
        losses.append(-clf.predict_log_proba(X)[np.arange(len(y)), rows].mean())
    assert losses[0] > losses[1] > losses[2]


@each_estimator
def test_an_untrained_taml_takes_tmamls_steps_to_the_last_bit(estimator):
    """Its meta-model starts at zero, and outer steps of 1e-30 change no parameter but those zeros."""
    still = QUICK | {"optimizer": "sgd", "outer_lr": 1e-30, "adapt_steps": 5}
    for tasks in TASKS, OWN_LABELS:
        tmaml, taml = TMAMLClassifier(**still).fit(tasks), TAMLClassifier(**still).fit(tasks)
        shared = {n: p for n, p in taml.meta_params_.items() if not n.startswith("meta_model.")}
        assert_same_params(tmaml.meta_params_, shared)
        assert len(taml.meta_params_) > len(shared)
        for task in tasks:
            assert_same_params(tmaml.adapt(*task).adapted_params_, taml.adapt(*task).adapted_params_)
    trained = TAMLClassifier(**QUICK | {"max_iter": 20}).fit(TASKS).adapt(X, Y)
    plain = trained.net_.module_
    plain.meta_model = None
    assert differ(copied(trained.adapted_params_), copied(trained.adapt(X, Y).adapted_params_))


class Pull(nn.Module):
    """A user's meta-model: a learned pull to the start."""

    def __init__(self):
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.5))

    def forward(self, step):
        return {n: self.strength * (step.initial_params[n] - p) for n, p in step.params.items()}


def test_a_meta_model_of_the_users_own():
    pull = Pull()
    clf = TAMLClassifier(**QUICK, meta_model=pull).fit(TASKS).adapt(X, Y)
    assert pull.strength == 0.5
    assert clf.meta_params_["meta_model.strength"] != 0.5
    assert clf.predict(X).shape == Y.shape
    small = TAMLClassifier(**QUICK, meta_model=BasisMetaModel(hidden=4)).fit(TASKS)
    assert small.meta_params_["meta_model.out.weight"].shape == (5, 4)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])
def test_threads_that_adapt_copies_do_not_meet(estimator):
    """All copies share one module, which torch.func lends other parameters while it runs."""
    tasks = CURVES if estimator in REGRESSORS else make_tasks(8, labels=(0, 1, 2))
    model = estimator(**QUICK).fit(tasks)
    alone = [adapt(model, *task) for task in tasks]
    expected = [(a.adapted_params_, a.predict(X), a.predict_tasks(tasks[:2], [X, X])) for a in alone]

    def run(i):
        params, predicted, of_tasks = expected[i % len(tasks)]
        adapted = adapt(model, *tasks[i % len(tasks)])
        assert_same_params(adapted.adapted_params_, params)
        np.testing.assert_array_equal(adapted.predict(X), predicted)
        if i % 10 == 0:
            np.testing.assert_array_equal(adapted.predict_tasks(tasks[:2], [X, X]), of_tasks)
            assert_same_params(model.meta_params_, meta)

    meta, interval = model.meta_params_, sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert len(list(pool.map(run, range(N_ADAPTATIONS)))) == N_ADAPTATIONS
    finally:
        sys.setswitchinterval(interval)


# ---- state: nothing but the estimator changes


def global_states():
    return (
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),
        np.random.get_state()[2],
        random.getstate(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
    )


@pytest.mark.parametrize("random_state", [None, 0])
@each_estimator
def test_global_random_states_are_left_alone(estimator, random_state):
    before = global_states()
    clf = estimator(Dropping, **MODULE | {"random_state": random_state}, early_stopping=True)
    clf.fit(TASKS)
    assert global_states() == before
    clf.adapt(X, Y).predict_proba(X)
    clf.predict_tasks(TASKS, [X] * 8)
    clf.score(TASKS)
    assert global_states() == before


@each_estimator
def test_global_random_states_are_not_read(estimator):
    def fit():
        return estimator(**QUICK).fit(TASKS).meta_params_

    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    a = fit()
    torch.manual_seed(2)
    np.random.seed(2)
    random.seed(2)
    assert_same_params(a, fit())


@each_estimator
def test_the_same_random_state_gives_the_same_result(estimator):
    def fit(random_state, tasks=TASKS, **kwargs):
        return estimator(**QUICK | {"random_state": random_state} | kwargs).fit(tasks).meta_params_

    assert_same_params(fit(3), fit(3))
    assert_same_params(fit(3, POOL_TASKS, early_stopping=True), fit(3, POOL_TASKS, early_stopping=True))
    assert_same_params(fit(np.random.RandomState(3)), fit(np.random.RandomState(3)))
    assert differ(fit(3), fit(4))
    assert differ(fit(None), fit(None))
    once = np.random.RandomState(3)
    assert differ(fit(once), fit(once))


POOL_TASKS = make_tasks(5, labels=(0, 1, 2))


@each_estimator
def test_adapting_and_predicting_leave_what_was_learned(estimator):
    clf = estimator(**QUICK).fit(TASKS)
    before, state = copied(clf.meta_params_), copied(dict(clf.net_.module_.state_dict()))
    clf.adapt(X, Y).predict_proba(X)
    clf.predict_tasks(TASKS, [X] * 8)
    clf.score(TASKS)
    assert_same_params(clf.meta_params_, before)
    assert_same_params(dict(clf.net_.module_.state_dict()), state)


@each_estimator
def test_inputs_are_left_alone(estimator):
    tasks = [(X.copy(), y.copy()) for X, y in TASKS]
    clf = estimator(**QUICK, early_stopping=True).fit(tasks)
    clf.adapt(*tasks[0]).predict(tasks[0][0])
    clf.predict_tasks(tasks, [X for X, _ in tasks])
    for (X, y), (X_before, y_before) in zip(tasks, TASKS, strict=True):
        np.testing.assert_array_equal(X, X_before)
        np.testing.assert_array_equal(y, y_before)


def held_tensors():
    gc.collect()
    tensors = [o for o in gc.get_objects() if type(o) in (torch.Tensor, nn.Parameter)]
    return len(tensors), sum(t.grad_fn is not None for t in tensors)


@each_estimator
def test_no_graph_is_held_and_nothing_piles_up(estimator):
    _, graphs = held_tensors()
    clf = estimator(**QUICK, early_stopping=True).fit(TASKS).adapt(X, Y)
    clf.predict_tasks(TASKS, [X] * 8)
    many, more_graphs = held_tensors()
    assert more_graphs == graphs
    assert not any(p.requires_grad for p in clf.adapted_params_.values())
    assert not any(p.requires_grad for p in clf.meta_params_.values())
    for _ in range(5):
        clf.adapt(X, Y).predict(X)
        clf.predict_tasks(TASKS, [X] * 8)
    assert held_tensors() == (many, graphs)


@each_estimator
def test_the_history_holds_numbers(estimator):
    clf = estimator(**QUICK | {"max_iter": 60}, early_stopping=True).fit(TASKS)
    rows = [row for epoch in clf.history_ for row in (epoch, *epoch["batches"])]
    values = [v for row in rows for name, v in row.items() if name != "batches"]
    assert len(rows) > 60
    assert all(np.isscalar(v) for v in values)
    assert all(isinstance(v, float) for v in [*clf.loss_curve_, *clf.validation_scores_])


# ---- pickles and clones


@pytest.mark.parametrize("dump", ["pickle", "joblib", "deepcopy"])
@each_estimator
def test_a_round_trip_predicts_the_same(estimator, dump, tmp_path):
    clf = estimator(**QUICK, early_stopping=True).fit(TASKS).adapt(X, Y)
    if dump == "pickle":
        again = pickle.loads(pickle.dumps(clf))
    elif dump == "joblib":
        joblib.dump(clf, tmp_path / "clf.joblib")
        again = joblib.load(tmp_path / "clf.joblib")
    else:
        again = copy.deepcopy(clf)
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert_same_params(again.meta_params_, clf.meta_params_)
    np.testing.assert_array_equal(
        again.adapt(*TASKS[1]).predict_proba(X), clf.adapt(*TASKS[1]).predict_proba(X)
    )
    assert again.history_.to_list() == clf.history_.to_list()


@each_estimator
def test_pickling_leaves_the_estimator_as_it_is(estimator):
    clf = estimator(**QUICK).fit(TASKS).adapt(X, Y)
    before = dict(vars(clf))
    pickle.dumps(clf)
    assert vars(clf).keys() == before.keys()
    assert all(vars(clf)[name] is value for name, value in before.items())


def test_a_pickle_loads_where_there_is_no_gpu(tmp_path):
    """Fitted on the best device there is, loaded in a process that sees none."""
    expected = []
    for i, estimator in enumerate(ESTIMATORS):
        clf = estimator(**QUICK).fit(TASKS).adapt(X, Y)
        joblib.dump((clf, X), tmp_path / f"{i}.joblib")
        expected.append(clf.predict_proba(X).tolist())
    code = (
        "import sys, json, joblib, torch\n"
        "assert not torch.cuda.is_available()\n"
        "loaded = [joblib.load(path) for path in sys.argv[1:]]\n"
        "assert all(clf.device_.type == 'cpu' for clf, _ in loaded)\n"
        "print(json.dumps([clf.predict_proba(X).tolist() for clf, X in loaded]))\n"
    )
    paths = [str(tmp_path / f"{i}.joblib") for i in range(2)]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], env=hidden, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-4)


@each_estimator
def test_clone_get_params_and_set_params(estimator):
    clf = estimator(Features, **MODULE, module__width=5, optimizer__weight_decay=0.1, inner_lr=0.3)
    params = clf.get_params()
    assert params["module__width"] == 5 and params["optimizer__weight_decay"] == 0.1
    assert params["inner_lr"] == 0.3 and params["n_way"] == 5
    assert clone(clf).get_params() == params
    clf.set_params(module__width=7, optimizer__eps=1e-6, inner_lr=0.2)
    assert clf.get_params() == params | {"module__width": 7, "optimizer__eps": 1e-6, "inner_lr": 0.2}
    assert clone(clf).get_params() == clf.get_params()
    fitted = clf.fit(TASKS)
    assert fitted.meta_params_["backbone.0.weight"].shape == (7, 3)
    assert fitted.net_.optimizer_.param_groups[-1]["eps"] == 1e-6
    assert fitted.net_.optimizer_.param_groups[-1]["weight_decay"] == 0.1  # of what is no logarithm
    assert not hasattr(clone(fitted), "net_")
    assert "module__width" not in estimator().get_params()


@each_estimator
def test_fit_leaves_the_parameters(estimator):
    clf = estimator(**QUICK)
    before = clf.get_params()
    assert clf.fit(TASKS).adapt(X, Y).get_params() == before


@each_estimator
def test_fit_again_starts_again(estimator):
    clf = estimator(**QUICK).fit(ABC)
    clf.adapt(*ABC[0]).fit(TASKS)
    assert_same_params(clf.meta_params_, estimator(**QUICK).fit(TASKS).meta_params_)
    assert clf.n_iter_ == 3


# ---- training


@pytest.mark.parametrize("max_iter", [1, 7, 120])
@each_estimator
def test_max_iter_counts_outer_steps(estimator, max_iter):
    clf = estimator(**QUICK | {"max_iter": max_iter, "inner_steps": 1}).fit(TASKS)
    assert clf.n_iter_ == len(clf.loss_curve_) == max_iter
    assert clf.n_skipped_ == 0
    assert len(clf.history_) == -(-max_iter // 50)
    assert clf.validation_scores_ == []


class Sizes(Callback):
    """How many tasks each meta-batch has."""

    def __init__(self):
        self.seen = []

    def on_batch_end(self, net, batch, training, **kwargs):
        if training:
            self.seen.append(len(batch[0]["support_x"]))


@each_estimator
def test_skorchs_spellings_set_the_length_of_an_epoch_and_the_meta_batch(estimator):
    sizes = Sizes()
    settings = QUICK | {"max_iter": 25, "inner_steps": 1, "callbacks": [sizes]}
    clf = estimator(**settings, iterator_train__steps_per_epoch=10, iterator_train__batch_size=7).fit(TASKS)
    assert [len(epoch["batches"]) for epoch in clf.history_] == [10, 10, 5]
    assert sizes.seen == [7] * 25 and clf.n_iter_ == 25
    same = estimator(**settings | {"meta_batch_size": 7, "callbacks": None}).fit(TASKS)
    assert_same_params(clf.meta_params_, same.meta_params_)
    stopped = estimator(**settings, early_stopping=True, iterator_train__steps_per_epoch=10).fit(TASKS)
    assert len(stopped.validation_scores_) == 3


def test_max_iter_auto(monkeypatch):
    assert (auto.PLAIN_STEPS, auto.POSTERIOR_STEPS) == ((600, 20), (1000, 50))
    monkeypatch.setattr(auto, "PLAIN_STEPS", (6, 20))
    monkeypatch.setattr(auto, "POSTERIOR_STEPS", (7, 5))
    monkeypatch.setattr(folds, "best_look", lambda scores, n_tasks, least: len(scores) - 1)
    # Of few tasks, or of the pool's few classes, none can be held out.
    kinds = [((TASKS,), 0), ((make_tasks(10),), 7), ((X, Y), 0), (POOL, 0)]
    kinds += [((ABC[:3],), 5), ((ABC[:4],), 7)]  # of three classes, the start cannot stand alone
    for data, n in kinds:
        clf = TMAMLClassifier(**QUICK | {"max_iter": "auto"}).fit(*data)
        assert (len(clf.loss_curve_), clf.n_iter_) == (n, max(1, n))
    kinds = [((TASKS,), "linear", 6), ((X, Y), "linear", 20), (POOL, "prototype", 6)]
    for data, head, n in kinds:
        assert TMAMLClassifier(**QUICK | {"max_iter": "auto", "head": head}).fit(*data).n_iter_ == n


class Remember(Callback):
    """What was learned at the end of each epoch."""

    def initialize(self):
        self.states_ = []
        return self

    def on_epoch_end(self, net, **kwargs):
        self.states_.append(copied(dict(net.module_.named_parameters())))


@pytest.mark.parametrize(
    ("estimator", "tasks"),
    [
        (TMAMLClassifier, [TASKS]),
        (TAMLClassifier, [TASKS]),
        (TMAMLClassifier, make_tasks(1, n_rows=48)[0]),
        (TMAMLClassifier, POOL),
    ],
    ids=["TMAML, tasks", "TAML, tasks", "flat rows", "flat classes"],
)
def test_early_stopping_keeps_the_best_state(estimator, tasks):
    remember = Remember()
    settings = QUICK | {"inner_steps": 1, "max_iter": 200, "meta_batch_size": 2, "outer_lr": 0.05}
    settings["head"] = "prototype" if tasks is POOL else "linear"
    clf = estimator(**settings, early_stopping=True, n_iter_no_change=2, tol=0.0, callbacks=[remember])
    clf.fit(*tasks)
    scores = clf.validation_scores_
    assert len(scores) == len(clf.history_) == -(-clf.n_iter_ // 50)
    assert all(0 <= score <= 1 for score in scores)
    best = int(np.argmax(scores))
    assert clf.n_iter_ == 200 or len(scores) == best + 3
    for name, p in clf.meta_params_.items():
        assert torch.equal(p, remember.states_[best][name].detach())


def test_early_stopping_stops_where_nothing_improves():
    clf = TMAMLClassifier(
        **QUICK | {"inner_steps": 1, "max_iter": 1000}, early_stopping=True, n_iter_no_change=1
    )
    clf.set_params(optimizer="sgd", outer_lr=1e-30).fit(TASKS)
    assert clf.n_iter_ == 100
    assert len(set(clf.validation_scores_)) == 1


def test_held_out_tasks_are_not_trained_on():
    """With all but one task held out, that one alone is trained on: the others' rows may be anything."""
    settings = QUICK | {"early_stopping": True, "validation_fraction": 0.8}
    clf = TMAMLClassifier(**settings).fit(TASKS)
    same = [
        np.array_equal(clf.loss_curve_, TMAMLClassifier(**settings).fit(changed).loss_curve_)
        for i in range(8)
        for changed in [[*TASKS[:i], (TASKS[i][0] + 1, TASKS[i][1]), *TASKS[i + 1 :]]]
    ]
    assert sum(same) == 6


@pytest.mark.parametrize("verbose", [1, 2])
def test_verbose_shows_progress(verbose, capsys):
    clf = TMAMLClassifier(**QUICK, verbose=verbose).fit(TASKS)
    shown = capsys.readouterr()
    assert "meta-training: 100%" in shown.err and "3/3" in shown.err
    assert ("train_loss" in shown.out) == (verbose == 2)
    pickle.loads(pickle.dumps(clf))


def test_silent_by_default(capsys):
    TMAMLClassifier(**QUICK, early_stopping=True, n_iter_no_change=1).fit(TASKS)
    assert capsys.readouterr() == ("", "")


class Diary(Callback):
    """With an attribute that is no argument, as people write them."""

    def __init__(self):
        self.losses = []

    def on_epoch_end(self, net, **kwargs):
        self.losses.append(net.history[-1, "train_loss"])


def test_a_callback_may_keep_a_diary():
    diary = Diary()
    TMAMLClassifier(**QUICK, callbacks=[diary]).fit(TASKS)
    assert len(diary.losses) == 1


class Count(Callback):
    def __init__(self, label="steps"):
        self.label = label

    def on_train_begin(self, net, **kwargs):
        self.calls_ = {"begin": 1, "batches": 0, "epochs": 0}

    def on_batch_end(self, net, training, **kwargs):
        self.calls_["batches"] += training

    def on_epoch_end(self, net, **kwargs):
        self.calls_["epochs"] += 1


@each_estimator
def test_callbacks_of_the_user_are_called(estimator):
    count = Count()
    clf = estimator(**QUICK | {"max_iter": 60, "inner_steps": 1}, callbacks=[("count", count)])
    clf.set_params(callbacks__count__label="outer steps").fit(TASKS)
    assert count.calls_ == {"begin": 1, "batches": 60, "epochs": 2}
    assert dict(clf.net_.callbacks_)["count"].label == "outer steps"


@pytest.mark.parametrize(
    "optimizer", ["adam", "adamw", "sgd", torch.optim.RMSprop, torch.optim.NAdam], ids=str
)
def test_optimizers(optimizer):
    clf = TMAMLClassifier(**QUICK, optimizer=optimizer, outer_lr=0.01).fit(TASKS)
    assert clf.net_.optimizer_.param_groups[0]["lr"] == 0.01
    if isinstance(optimizer, type):
        assert type(clf.net_.optimizer_) is optimizer


@each_estimator
def test_inner_step_sizes_are_learned_or_kept(estimator):
    kept = estimator(**PLAIN | {"inner_lr": 0.3}, learn_inner_lr=False).fit(TASKS)
    torch.testing.assert_close(kept.meta_params_["log_inner_lr"].exp(), torch.full((4,), 0.3))
    learned = estimator(**PLAIN | {"inner_lr": 0.3}).fit(TASKS)
    rates = learned.meta_params_["log_inner_lr"].exp()
    assert (rates > 0).all() and (rates != kept.meta_params_["log_inner_lr"].exp()).all()


@pytest.mark.parametrize("meta_gradient", ["reptile", "joint"])
def test_where_step_sizes_have_no_gradient_they_stay(meta_gradient):
    clf = TMAMLClassifier(**QUICK, meta_gradient=meta_gradient).fit(TASKS)
    torch.testing.assert_close(clf.meta_params_["log_inner_lr"].exp(), torch.full((4,), clf.inner_lr))


@pytest.mark.parametrize("strategy", ["vmap", "loop"])
@each_estimator
def test_strategies_give_the_same_result(estimator, strategy):
    auto = estimator(**QUICK).fit(RAGGED)
    with forced_strategy(strategy):
        other = estimator(**QUICK).fit(RAGGED)
    for name, p in auto.meta_params_.items():
        torch.testing.assert_close(other.meta_params_[name], p, rtol=1e-3, atol=1e-4)


# Rotated pairs of classes: one initialisation helps all of them.
TURNED = make_tasks(16, labels=("a", "b", "c"), n_features=4, seed=5)
REGULARIZERS = [None, "entropy", "theil", "gini", "atkinson", "generalized_entropy", "log_variance"]
TRAINED = [
    (estimator, gradient, regularizer)
    for estimator, gradients in (
        (TMAMLClassifier, ["second_order", "first_order", "reptile", "joint"]),
        (TAMLClassifier, ["second_order", "first_order"]),
    )
    for gradient in gradients
    for regularizer in (REGULARIZERS if gradient == "second_order" else [None, "theil"])
]


@pytest.mark.parametrize(("estimator", "meta_gradient", "task_regularizer"), TRAINED)
def test_every_objective_lowers_its_loss(estimator, meta_gradient, task_regularizer):
    clf = estimator(
        **QUICK | {"max_iter": 30, "outer_lr": 0.02, "meta_batch_size": 8},
        meta_gradient=meta_gradient,
        task_regularizer=task_regularizer,
    ).fit(TURNED)
    curve = np.array(clf.loss_curve_)
    assert np.isfinite(curve).all()
    first, last = curve[:5].mean(), curve[-5:].mean()
    assert last < first - 0.1, f"{first:.3f} to {last:.3f}"


def test_meta_gradients_and_regularizers_differ():
    def fit(**kwargs):
        return TMAMLClassifier(**PLAIN, **kwargs).fit(TURNED).meta_params_

    gradients = [fit(meta_gradient=g) for g in ("second_order", "first_order", "reptile", "joint")]
    regularized = [fit(task_regularizer=r) for r in REGULARIZERS]
    for group in gradients, regularized:
        for i, a in enumerate(group):
            assert all(differ(a, b) for b in group[:i])
    assert_same_params(fit(task_regularizer="theil", regularizer_weight=0), fit())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_fit_learns_where_gradients_are_off(estimator):
    expected = estimator(**QUICK).fit(TASKS).loss_curve_
    with torch.no_grad():
        assert estimator(**QUICK).fit(TASKS).loss_curve_ == expected
