"""Bad calls: the error says what is wrong, and the estimator stays as it was and usable."""

import inspect
import pickle
import re
import warnings
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import ESTIMATORS, QUICK, make_images, make_tasks, split
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

import skmeta
from skmeta import Conv4, TAMLClassifier, TMAMLClassifier

TASKS = make_tasks(8)
X, Y = TASKS[0]
LETTERS = make_tasks(4, labels=("a", "b"))
# No task holds all of the classes, so labels are per task.
PER_TASK = [(X, np.where(y == "a", f"a{i}", f"b{i}")) for i, (X, y) in enumerate(LETTERS)]
GIVEN = [split(task) for task in TASKS]


def replaced(task, i=3, tasks=TASKS):
    """``tasks`` with another one at place ``i``."""
    return [*tasks[:i], task, *tasks[i + 1 :]]


def with_value(value, X=X):
    X = X.copy()
    X[2, 1] = value
    return X


def one_row(label, task):
    """The task without all rows of ``label`` but the first."""
    X, y = task
    kept = (y != label) | (np.arange(len(y)) == np.flatnonzero(y == label)[0])
    return X[kept], y[kept]


def without(label, task):
    X, y = task
    return X[y != label], y[y != label]


@cache
def _pickled(estimator):
    return pickle.dumps(estimator(**QUICK).fit(TASKS).adapt(X, Y))


def adapted(estimator, **params):
    """A new estimator that was fitted on ``TASKS`` and adapted to the first of them."""
    return pickle.loads(_pickled(estimator)).set_params(**params)


class Bad(NamedTuple):
    """A call that must fail: ``text`` is a regular expression, in which ``{name}`` is the class."""

    id: str
    call: object
    error: type
    text: str


def check_refused(clf, call, error, text):
    """Assert that ``call(clf)`` fails as told, and that it changes nothing."""
    before, vars_before = frozen(clf), dict(vars(clf))
    with pytest.raises(error, match=text.replace("{name}", type(clf).__name__)):
        call(clf)
    assert vars(clf).keys() == vars_before.keys()
    assert all(vars(clf)[name] is value for name, value in vars_before.items())
    assert frozen(clf) == before


def frozen(clf):
    """What is inside the attributes of an estimator, as values that compare."""
    state = {name: p.numpy().tobytes() for name, p in getattr(clf, "adapted_params_", {}).items()}
    if hasattr(clf, "net_"):
        module = clf.net_.module_
        state |= {f"meta.{name}": p.numpy().tobytes() for name, p in clf.meta_params_.items()}
        state |= {f"training.{name}": m.training for name, m in module.named_modules()}
        state["epochs"] = len(clf.net_.history)
    return state


@pytest.mark.parametrize("change", ["meta_params_", "adapted_params_", "mode", "attribute", "nothing"])
def test_the_check_of_this_file_sees_a_change(change):
    clf = adapted(TMAMLClassifier)

    def call(clf):
        if change == "attribute":
            clf.n_iter_ = 7
        elif change == "mode":
            clf.net_.module_.train()
        elif change == "meta_params_":
            clf.net_.module_.log_inner_lr.data[0] += 1
        elif change == "adapted_params_":
            clf.adapted_params_["head.bias"][0] += 1
        raise ValueError("Bad.")

    if change == "nothing":
        return check_refused(clf, call, ValueError, "Bad")
    with pytest.raises(AssertionError):
        check_refused(clf, call, ValueError, "Bad")


# ---- before fit

NOT_TRAINED = r"This {name} is not meta-trained yet\. Call fit with tasks before adapt\."
BEFORE_FIT = [
    Bad("adapt", lambda clf: clf.adapt(X, Y), NotFittedError, NOT_TRAINED),
    Bad("predict", lambda clf: clf.predict(X), NotFittedError, NOT_TRAINED),
    Bad("predict_proba", lambda clf: clf.predict_proba(X), NotFittedError, NOT_TRAINED),
    Bad("predict_tasks", lambda clf: clf.predict_tasks([(X, Y)], [X]), NotFittedError, NOT_TRAINED),
    Bad("score of rows", lambda clf: clf.score(X, Y), NotFittedError, NOT_TRAINED),
    Bad("score of tasks", lambda clf: clf.score(TASKS), NotFittedError, NOT_TRAINED),
    Bad("meta_params_", lambda clf: clf.meta_params_, NotFittedError, NOT_TRAINED),
    Bad("device_", lambda clf: clf.device_, NotFittedError, NOT_TRAINED),
    Bad("skmeta.adapt", lambda clf: skmeta.adapt(clf, X, Y), NotFittedError, NOT_TRAINED),
]  # fmt: skip


@pytest.mark.parametrize("bad", BEFORE_FIT, ids=lambda bad: bad.id)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_before_fit(estimator, bad):
    clf = estimator(**QUICK)
    check_refused(clf, *bad[1:])
    assert clf.fit(TASKS).adapt(X, Y).predict(X).shape == Y.shape


# ---- after fit, before adapt

NOT_ADAPTED = (
    r"This {name} is meta-trained on 8 tasks but not adapted to one yet\. "
    r"Call adapt\(X_support, y_support\) before predict\."
)
BEFORE_ADAPT = [
    Bad("predict", lambda clf: clf.predict(X), NotFittedError, NOT_ADAPTED),
    Bad("predict_proba", lambda clf: clf.predict_proba(X), NotFittedError, NOT_ADAPTED),
    Bad("predict_log_proba", lambda clf: clf.predict_log_proba(X), NotFittedError, NOT_ADAPTED),
    Bad("decision_function", lambda clf: clf.decision_function(X), NotFittedError, NOT_ADAPTED),
    Bad("score", lambda clf: clf.score(X, Y), NotFittedError, NOT_ADAPTED),
]  # fmt: skip


@pytest.mark.parametrize("bad", BEFORE_ADAPT, ids=lambda bad: bad.id)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_before_adapt(estimator, bad):
    clf = estimator(**QUICK).fit(TASKS)
    check_refused(clf, *bad[1:])
    assert clf.adapt(X, Y).predict(X).shape == Y.shape


def test_a_fit_on_other_tasks_forgets_the_adapted_one():
    clf = TMAMLClassifier(**QUICK).fit(TASKS).adapt(X, Y).fit(LETTERS)
    with pytest.raises(NotFittedError, match="meta-trained on 4 tasks but not adapted"):
        clf.predict(X)


# ---- bad data; whatever was fitted and adapted before stays

WIDE = np.zeros((4, 5), np.float32)
FIT = [
    Bad("list and y", lambda clf: clf.fit(TASKS, np.zeros(40)), ValueError,
        r"X is a list of tasks, each with its own labels, so y must be None; "
        r"got an array of shape \(40,\)\."),
    Bad("list and groups", lambda clf: clf.fit(TASKS, groups=np.zeros(8)), ValueError,
        r"X is a list of tasks, .* so groups must be None; got an array of shape \(8,\)\."),
    Bad("one class", lambda clf: clf.fit(replaced(without("b", LETTERS[3]), tasks=LETTERS)), ValueError,
        r"task 3 has only the class 'a'; an episode needs 2 classes or more\."),
    Bad("one class in a named group",
        lambda clf: clf.fit(np.r_[X, X[Y == 0]], np.r_[Y, Y[Y == 0]], groups=["u"] * 24 + ["v"] * 12),
        ValueError, r"task 'v' has only the class 0; an episode needs 2 classes or more\."),
    Bad("one class in flat data", lambda clf: clf.fit(X, np.zeros(24, int)), ValueError,
        r"y has only 1 class, 0; an episode needs 2 classes or more\."),
    Bad("one row", lambda clf: clf.fit(replaced(one_row("a", LETTERS[3]), tasks=LETTERS)), ValueError,
        r"task 3, class 'a' has 1 row; an episode needs 2 or more, one for the support set and one for the "
        r"query set\."),
    Bad("one row for each class of flat data", lambda clf: clf.fit(X[:4], np.arange(4)), ValueError,
        "1 row for each class; an episode needs 2 or more of one class at least"),
    Bad("widths", lambda clf: clf.fit(replaced((WIDE, np.arange(4) % 2))), ValueError,
        r"task 3 has 5 features, the tasks before it 3\."),
    Bad("width of a given query set",
        lambda clf: clf.fit(replaced((*GIVEN[3][:2], WIDE, np.arange(4) % 2), tasks=GIVEN)),
        ValueError, r"task 3 has 5 features, the tasks before it 3\."),
    Bad("image sizes",
        lambda clf: clf.fit([(np.zeros((4, 1, 8, 8)), [0, 1, 0, 1]), (np.zeros((4, 1, 9, 8)), [0, 1, 0, 1])]),
        ValueError, r"task 1 has rows of shape \(1, 9, 8\), the tasks before it \(1, 8, 8\)\."),
    Bad("NaN", lambda clf: clf.fit(replaced((with_value(np.nan), Y))), ValueError,
        r"(?s)task 3: .*contains NaN"),
    Bad("infinity", lambda clf: clf.fit(replaced((with_value(np.inf), Y))), ValueError,
        r"task 3: .*contains infinity"),
    Bad("NaN in sparse rows",
        lambda clf: clf.fit(replaced((sparse.csr_array(with_value(np.nan)), Y))),
        ValueError, r"(?s)task 3: .*contains NaN"),
    Bad("NaN in y", lambda clf: clf.fit(replaced((X, np.where(Y, 1.0, np.nan)))), ValueError,
        r"(?s)task 3: .*y contains NaN"),
    Bad("strings in X", lambda clf: clf.fit(replaced((np.full((4, 3), "x"), [0, 1, 0, 1]))), ValueError,
        "task 3: could not convert string to float"),
    Bad("lengths in a task", lambda clf: clf.fit(replaced((X, Y[:-1]))), ValueError,
        r"task 3: .*inconsistent numbers of samples: \[24, 23\]"),
    Bad("no rows", lambda clf: clf.fit(replaced((X[:0], Y[:0]))), ValueError,
        r"task 3: Found array with 0 sample\(s\)"),
    Bad("continuous labels", lambda clf: clf.fit([(X, y + 0.5) for X, y in TASKS]), ValueError,
        "Unknown label type: continuous"),
    Bad("strings and numbers as labels", lambda clf: clf.fit(replaced((X, Y.astype(str)))), ValueError,
        r"Mix of label input types \(string and number\)"),
    Bad("no tasks", lambda clf: clf.fit([]), ValueError,
        r"X is an empty list of tasks; at least 1 is needed\."),
    Bad("three in a tuple", lambda clf: clf.fit([(X, Y, Y)] * 3), ValueError,
        r"Each task must be a tuple \(X, y\), or each \(X_support, y_support, X_query, y_query\); "
        r"got tuples of length \[3\]\."),
    Bad("pairs and given episodes", lambda clf: clf.fit([*TASKS, *GIVEN]), ValueError,
        r"Each task must be a tuple .*; got tuples of length \[2, 4\]\."),
    Bad("lists for tuples", lambda clf: clf.fit([[X, Y], [X, Y]]), ValueError,
        r"requires y to be passed.*Without y, X must be a list of tasks, each a tuple \(X, y\)\."),
    Bad("no y", lambda clf: clf.fit(X), ValueError,
        r"{name} requires y to be passed, but the target y is None\. Without y, X must be a list of tasks"),
    Bad("length of groups", lambda clf: clf.fit(X, Y, groups=[0, 1]), ValueError,
        r"inconsistent numbers of samples: \[24, 2\]"),
    Bad("groups with two axes", lambda clf: clf.fit(X, Y, groups=np.zeros((24, 2))), ValueError,
        r"groups.*\(24, 2\)|should be a 1d array.*\(24, 2\)"),
    Bad("class of the query set",
        lambda clf: clone(clf).set_params(label_space="per_task").fit(
            replaced((X, Y, X[:4], np.array([0, 1, 2, 1])), tasks=GIVEN)),
        ValueError, r"task 3, class 2 is in the query set but not in the support set\."),
    Bad("one class in a given support set",
        lambda clf: clf.fit(replaced((X[Y == 0], Y[Y == 0], X, Y), tasks=GIVEN)),
        ValueError, r"task 3 has only the class 0 in its support set; an episode needs 2 classes or more\."),
    Bad("more axes without a module", lambda clf: clf.fit(np.zeros((6, 4, 5)), [0, 1] * 3), ValueError,
        r"Without a module, X must have 2 axes, \(n_rows, n_features\); got rows of shape \(4, 5\)\. "
        r"Pass module=skmeta\.Conv4 for images\."),
    Bad("names of another order",
        lambda clf: clf.fit([(pd.DataFrame(X, columns=list(names)), Y) for names in ("abc", "acb")]),
        ValueError, "(?s)task 1: The feature names should match.*same order"),
]  # fmt: skip
ADAPT = [
    Bad("unknown label", lambda clf: clf.adapt(X, Y + 1), ValueError,
        r"y has labels that no task of fit had: \[2\]\. .* fit with label_space='per_task' for new ones\."),
    Bad("no y", lambda clf: clf.adapt(X, None), ValueError, "{name} requires y to be passed"),
    Bad("lengths", lambda clf: clf.adapt(X, Y[:3]), ValueError,
        r"inconsistent numbers of samples: \[24, 3\]"),
    Bad("no rows", lambda clf: clf.adapt(X[:0], Y[:0]), ValueError, r"0 sample\(s\)"),
    Bad("width", lambda clf: clf.adapt(WIDE, [0, 1, 0, 1]), ValueError,
        "X has 5 features, but {name} is expecting 3 features"),
    Bad("NaN", lambda clf: clf.adapt(with_value(np.nan), Y), ValueError, "contains NaN"),
    Bad("continuous labels", lambda clf: clf.adapt(X, Y + 0.5), ValueError, "Unknown label type: continuous"),
    Bad("more axes", lambda clf: clf.adapt(X[:, :, None], Y), ValueError, r"shape|dim"),
]  # fmt: skip
PREDICT = [
    Bad("width", lambda clf: clf.predict(WIDE), ValueError, "X has 5 features, but {name} is expecting 3"),
    Bad("one row as a vector", lambda clf: clf.predict(X[0]), ValueError, "(?s)Expected 2D array, got 1D"),
    Bad("NaN", lambda clf: clf.predict_proba(with_value(np.nan)), ValueError, "contains NaN"),
    Bad("more axes", lambda clf: clf.predict(X[:, :, None]), ValueError, r"shape|dim"),
    Bad("numbers of tasks", lambda clf: clf.predict_tasks([(X, Y)] * 3, [X] * 2), ValueError,
        r"supports and X_queries must have one entry for each task; got 3 and 2\."),
    Bad("width of a task's support",
        lambda clf: clf.predict_tasks([(X, Y), (WIDE, [0, 1, 0, 1])], [X, X]),
        ValueError, "task 1: X has 5 features, but {name} is expecting 3"),
    Bad("width of a task's query", lambda clf: clf.predict_tasks([(X, Y), (X, Y)], [X, WIDE]), ValueError,
        "task 1: X has 5 features, but {name} is expecting 3"),
    Bad("unknown label of a task", lambda clf: clf.predict_tasks([(X, Y), (X, Y + 1)], [X, X]), ValueError,
        r"task 1: y has labels that no task of fit had: \[2\]"),
    Bad("supports without labels", lambda clf: clf.predict_tasks([X, X], [X, X]), ValueError,
        r"supports|task 0"),
]  # fmt: skip
SCORE = [
    Bad("no label is known", lambda clf: clf.score(X, Y + 100), ValueError,
        r"None of the labels in y is among the classes_ of the adapted task, \[0, 1\]\. To score tasks, pass "
        r"groups, .* call sklearn\.set_config\(enable_metadata_routing=True\) so that groups reach score\."),
    Bad("no y", lambda clf: clf.score(X), ValueError, "y.* None"),
    Bad("no tasks", lambda clf: clf.score([]), ValueError, "empty list of tasks"),
    Bad("weights of tasks", lambda clf: clf.score(TASKS, sample_weight=np.ones(8)), ValueError,
        "sample_weight must be None when tasks are scored"),
    Bad("list and y", lambda clf: clf.score(TASKS, Y), ValueError,
        "so y must be None; got an array of shape"),
    Bad("width", lambda clf: clf.score([(WIDE, [0, 1, 0, 1])]), ValueError,
        "task 0: X has 5 features, but {name} is expecting 3"),
    Bad("nothing left to predict", lambda clf: clf.score([TASKS[0], (X[:2], np.array([0, 1]))]), ValueError,
        r"task 1.*(row|query)"),
]  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(bad, id=f"{verb}: {bad.id}")
        for verb, table in (("fit", FIT), ("adapt", ADAPT), ("predict", PREDICT), ("score", SCORE))
        for bad in table
    ],
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bad_data(estimator, bad):
    clf = adapted(estimator)
    check_refused(clf, *bad[1:])
    assert clf.adapt(X, Y).predict(X).shape == Y.shape


@pytest.mark.parametrize("bad", [bad for bad in FIT if "names" not in bad.id], ids=lambda bad: bad.id)
def test_bad_data_of_a_warm_start(bad):
    clf = adapted(TMAMLClassifier, warm_start=True)
    # The network is there already, so another width is what is wrong with images.
    check_refused(clf, bad.call, bad.error, bad.text + "|is expecting 3 features")
    assert clf.fit(TASKS).n_iter_ == 6


def test_a_warm_start_keeps_to_the_classes_of_its_first_fit():
    clf = TMAMLClassifier(**QUICK, warm_start=True)
    clf.fit(make_tasks(labels=("a", "b", "c"))).adapt(X, ["a", "c"] * 12)
    text = r"With warm_start, the tasks must have the classes of the last fit"
    for tasks in LETTERS, TASKS, PER_TASK:
        check_refused(clf, lambda clf, tasks=tasks: clf.fit(tasks), ValueError, text)


def test_one_class_to_adapt_to():
    clf = TMAMLClassifier(**QUICK).fit(PER_TASK).adapt(X, Y)
    text = r"y has only the class 'x'; a task needs 2 classes or more\."
    check_refused(clf, lambda clf: clf.adapt(X, ["x"] * 24), ValueError, text)
    in_second = [(X, Y), (X, ["x"] * 24)]
    check_refused(clf, lambda clf: clf.predict_tasks(in_second, [X, X]), ValueError, "task 1: " + text)
    assert clf.predict(X).shape == Y.shape


def test_one_class_is_enough_to_adapt_to_in_a_shared_label_space():
    clf = TMAMLClassifier(**QUICK).fit(TASKS).adapt(X, np.ones(24, int))
    assert clf.predict_proba(X).shape == (24, 2)


def test_a_task_that_gives_no_episode_is_named_by_its_group():
    X = np.concatenate([X for X, _ in LETTERS])
    y = np.concatenate([y for _, y in LETTERS])
    groups = np.repeat(["ann", "bob", "cid", "dan"], 24)
    kept = (groups != "bob") | (y != "b")
    with pytest.raises(ValueError, match="task 'bob' has only the class 'a'"):
        TMAMLClassifier(**QUICK).fit(X[kept], y[kept], groups=groups[kept])


# ---- bad parameters

OUT_OF_RANGE = [
    ("n_way", "an int in [2, inf)", [1, 2.5, "5", None, True]),
    ("n_shot", "an int in [1, inf)", [0, 1.0]),
    ("n_query", "an int in [1, inf)", [0, 1.0]),
    ("inner_lr", "a float in (0, inf)", [-1, 0, np.nan, np.inf, "0.1", None, True]),
    ("inner_steps", "an int in [1, inf)", [0, 1.5]),
    ("adapt_steps", "an int in [0, inf) or None", [-1, 0.5]),
    ("regularizer_weight", "a float in [0, inf)", [-0.1, np.inf]),
    ("outer_lr", "a float in (0, inf)", [0, -1e-3, np.nan]),
    ("max_iter", "an int in [1, inf) or one of {'auto'}", [0, 1.5, "all", None]),
    ("meta_batch_size", "an int in [1, inf)", [0, 1.5]),
    ("validation_fraction", "a float in (0, 1)", [0, 1, 1.0, -0.1]),
    ("n_iter_no_change", "an int in [1, inf)", [0]),
    ("tol", "a float in [0, inf)", [-1e-4, np.nan]),
    ("verbose", "an int in [0, inf) or a bool", [-1, 0.5]),
    ("hidden_layer_sizes", "a tuple of ints in [1, inf)", [(0,), 64, (8, 2.5), None]),
    ("meta_model_lr", "a float in (0, inf)", [0, -1]),
    ("head", "one of {'auto', 'linear', 'tied', 'prototype'}", ["mean", None, 1]),
    ("label_space", "one of {'auto', 'shared', 'per_task'}", ["per-task", None]),
    ("learn_inner_lr", "a bool", [1, None]),
    ("adapt_params", "one of {'all', 'head'} or a list of parameter-name patterns", ["body", [], [1], None]),
    ("optimizer", "one of {'adam', 'adamw', 'sgd'} or a torch.optim.Optimizer class", ["lbfgs", int, None]),
    ("early_stopping", "a bool", ["yes", 1]),
    ("strategy", "one of {'auto', 'vmap', 'loop'}", ["batch", None]),
    ("warm_start", "a bool", [1]),
    ("module", "None or an nn.Module, its class or a factory", ["mlp"]),
    ("meta_model", "None or an nn.Module", ["basis", nn.Linear]),
    ("meta_gradient", "one of {", ["maml", None]),
    ("task_regularizer", "one of {None, 'entropy', 'theil',", ["variance", 1]),
]


@pytest.mark.parametrize(
    ("estimator", "name", "rule", "value"),
    [
        (estimator, name, rule, value)
        for estimator in ESTIMATORS
        for name, rule, values in OUT_OF_RANGE
        for value in values
        if name in estimator().get_params()
    ],
)
def test_parameter_out_of_range(estimator, name, rule, value):
    clf = adapted(estimator)
    good = clf.get_params()[name]
    text = re.escape(f"The {name!r} parameter of {estimator.__name__} must be {rule}")
    got = re.escape(f"Got {value!r} instead.")
    clf.set_params(**{name: value})
    check_refused(clf, lambda clf: clf.fit(TASKS), ValueError, f"^{text}.*{got}$")
    assert clf.set_params(**{name: good}).predict(X).shape == Y.shape


@pytest.mark.parametrize("value", [-3, 1.5])
def test_adapt_steps_out_of_range_once_fitted(value):
    clf = adapted(TMAMLClassifier, adapt_steps=value)
    text = r"The 'adapt_steps' parameter of TMAMLClassifier must be an int in \[0, inf\)"
    check_refused(clf, lambda clf: clf.adapt(X, Y), ValueError, text)
    check_refused(clf, lambda clf: clf.predict_tasks([(X, Y)], [X]), ValueError, text)


def test_inner_lr_word_for_word():
    text = "The 'inner_lr' parameter of TMAMLClassifier must be a float in (0, inf). Got -1 instead."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        TMAMLClassifier(inner_lr=-1).fit(TASKS)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_numeric_parameter_is_in_the_table_above(estimator):
    parameters = inspect.signature(estimator).parameters.values()
    numeric = {p.name for p in parameters if type(p.default) in (int, float)}
    assert numeric | {"adapt_steps", "max_iter"} <= {name for name, _, _ in OUT_OF_RANGE}
    assert len(numeric) >= 12


@pytest.mark.parametrize("value", ["reptile", "joint"])
def test_meta_gradients_that_would_not_train_a_meta_model(value):
    text = re.escape("must be one of {'second_order', 'first_order'}. ") + f"Got '{value}' instead"
    clf = TAMLClassifier(**QUICK, meta_gradient=value)
    check_refused(clf, lambda clf: clf.fit(TASKS), ValueError, text)
    assert clf.set_params(meta_gradient="first_order").fit(TASKS).n_iter_ == 3


class BatchNormed(nn.Sequential):
    def __init__(self, in_features):
        super().__init__(nn.Linear(in_features, 4), nn.BatchNorm1d(4))


IMAGES = make_images()
BATCH_NORM = (
    r"module has the batch normalisation '1', whose statistics would leak .* Use GroupNorm or LayerNorm"
)
PARAMETERS = [
    ("pattern", {"adapt_params": ["head.*", "body.*"]}, TASKS, ValueError,
     r"adapt_params has 'body\.\*', which matches no parameter; there are \['backbone\.layers\.0\.weight'"),
    ("batch normalisation", {"module": BatchNormed}, TASKS, ValueError, BATCH_NORM),
    ("untrained batch normalisation", {"module": BatchNormed(3)}, TASKS, ValueError, BATCH_NORM),
    ("arguments for an instance", {"module": nn.Linear(3, 4), "module__bias": False}, TASKS, ValueError,
     r"module is an instance, so it takes no arguments; got \['bias'\]\."),
    ("factory of something else", {"module": lambda: 3}, TASKS, ValueError,
     r"module must return an nn\.Module; got int\."),
    ("module for other rows", {"module": nn.Linear(7, 2)}, TASKS, ValueError,
     r"module failed on rows of shape \(3,\): mat1 and mat2 shapes cannot be multiplied"),
    ("images too small", {"module": Conv4}, [(np.zeros((4, 1, 8, 8)), [0, 1, 0, 1])] * 2, ValueError,
     r"module failed on rows of shape \(1, 8, 8\)"),
    ("linear head for per-task labels", {"head": "linear"}, PER_TASK, ValueError,
     r"head='linear' has one row for each class of a shared label space, but label_space is per_task here\. "
     r"Use head='tied' or 'prototype', or label_space='shared'\."),
    ("tied head and no inner step", {"head": "tied", "meta_gradient": "joint"}, PER_TASK, ValueError,
     r"head='tied' starts all classes alike, so meta_gradient='joint'"),
    ("device of no name", {"device": "gpu"}, TASKS, ValueError,
     r"device must be 'auto' or a torch device of this machine\. Got 'gpu' instead"),
    ("device of no type", {"device": None}, TASKS, ValueError, r"'device' .* Got None instead\."),
    ("device that is not there", {"device": "cuda:99"}, TASKS, ValueError, "device"),
    ("random_state", {"random_state": "seed"}, TASKS, ValueError, "'seed' cannot be used to seed"),
    ("callback alone", {"callbacks": Callback()}, TASKS, ValueError, "callbacks"),
    ("argument that a module lacks", {"module": Conv4, "module__width": 3}, IMAGES, TypeError, "'width'"),
    ("argument that an optimizer lacks", {"optimizer__speed": 3}, TASKS, TypeError, "'speed'"),
    ("no task to train on", {"early_stopping": True, "validation_fraction": 0.99}, TASKS, ValueError,
     r"validation_fraction=0\.99 leaves 0 of 8 tasks to train on, too few\."),
    ("one given episode to stop early by", {"early_stopping": True}, GIVEN[:1], ValueError,
     "early_stopping|validation"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("params", "tasks", "error", "text"), [p[1:] for p in PARAMETERS], ids=[p[0] for p in PARAMETERS]
)
def test_parameters_that_do_not_go_with_the_rest(params, tasks, error, text):
    joint = params.get("meta_gradient") == "joint"
    clf = adapted(TMAMLClassifier if joint else TAMLClassifier, **params)
    check_refused(clf, lambda clf: clf.fit(tasks), error, text)
    assert clf.predict(X).shape == Y.shape


@pytest.mark.parametrize("rows", [4, 6])
def test_early_stopping_of_rows_too_few_to_hold_out(rows):
    clf = TMAMLClassifier(**QUICK, early_stopping=True)
    check_refused(
        clf, lambda clf: clf.fit(X[:rows], np.arange(rows) % 2), ValueError, "early_stopping|validation"
    )


def test_early_stopping_that_leaves_one_class_to_train_on():
    X, y = make_tasks(1, labels=range(12), n_rows=60)[0]
    clf = TMAMLClassifier(**QUICK, early_stopping=True, validation_fraction=0.9)
    check_refused(clf, lambda clf: clf.fit(X, y), ValueError, "validation_fraction")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("inner_lrr", r"Did you mean 'inner_lr'\?"),
        ("n_ways", r"Did you mean 'n_way'\?"),
        ("innersteps", r"Did you mean 'inner_steps'\?"),
        ("module_size", r"Did you mean 'module'\?|Beside its own, it takes"),
        ("zzz", r"Beside its own, it takes .*'module__'"),
    ],
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_unknown_arguments(estimator, name, hint):
    with pytest.raises(TypeError, match=f"{estimator.__name__} has no parameter '{name}'.*{hint}"):
        estimator(**{name: 1})


def test_the_learned_update_belongs_to_taml():
    with pytest.raises(TypeError, match="TMAMLClassifier has no parameter 'meta_model_lr'"):
        TMAMLClassifier(meta_model_lr=0.1)


def test_set_params_of_an_unknown_name():
    clf = adapted(TMAMLClassifier)
    change = {"module__bias": False, "inner_lrr": 1}
    check_refused(clf, lambda clf: clf.set_params(**change), ValueError, "Invalid parameter 'inner_lrr'")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"inner_lr": 0.5}, r"inner_lr must stay as it was, 0\.05; got 0\.5\."),
        ({"inner_steps": 1}, "inner_steps must stay"),
        ({"early_stopping": True}, "early_stopping must stay as it was, False; got True"),
    ],
)
def test_a_warm_start_with_other_parameters(changed, text):
    clf = adapted(TMAMLClassifier, warm_start=True).set_params(**changed)
    check_refused(clf, lambda clf: clf.fit(TASKS), ValueError, text)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"meta_gradient": "reptile", "adapt_params": "head"}, "adapt_params must be 'all'. Got 'head'"),
        ({"head": "tied", "task_regularizer": "theil"}, "task_regularizer='theil' has no effect"),
    ],
)
def test_parameters_that_would_train_nothing(params, text):
    check_refused(TMAMLClassifier(**params), lambda clf: clf.fit(TASKS), ValueError, text)


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


def test_a_module_that_looks_at_other_rows():
    clf = TMAMLClassifier(Centred)
    check_refused(clf, lambda clf: clf.fit(TASKS), ValueError, "depend on the rows beside it")


def test_missing_labels():
    y = np.array(["a", None] * 12, dtype=object)
    text = "task 1: y has missing labels"
    clf = TMAMLClassifier(**QUICK)
    check_refused(clf, lambda clf: clf.fit([(X, y)]), ValueError, "y has missing labels")
    fitted = adapted(TMAMLClassifier)
    check_refused(fitted, lambda clf: clf.predict_tasks([(X, Y), (X, y)], [X, X]), ValueError, text)


# ---- while training


def test_steps_that_are_not_finite_are_skipped_counted_and_told():
    huge = np.float32(1e30) * TASKS[3][0], TASKS[3][1]
    clf = TMAMLClassifier(**QUICK | {"max_iter": 150, "meta_batch_size": 1})
    with pytest.warns(
        UserWarning, match="A meta-step was not finite and was skipped; n_skipped_ counts"
    ) as told:
        clf.fit(replaced(huge))
    assert 0 < clf.n_skipped_ < 75
    assert clf.n_iter_ == len(clf.loss_curve_) == 150
    assert len(told) == 1
    assert all(p.isfinite().all() for p in clf.meta_params_.values())
    assert clf.set_params(adapt_steps=50).adapt(X, Y).score(X, Y) > 0.9


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_run_that_mostly_skips_says_what_to_lower(estimator):
    clf = adapted(estimator)
    huge = [(np.float32(1e30) * X, y) for X, y in TASKS]
    text = r"3 of 3 meta-steps were not finite: lower inner_lr or outer_lr, or scale the features\."
    with pytest.warns(UserWarning, match="A meta-step was not finite"):
        check_refused(clf, lambda clf: clf.fit(huge), FloatingPointError, text)
    assert clf.predict(X).shape == Y.shape


def test_a_warm_start_that_mostly_skips_leaves_what_was_learned():
    clf = adapted(TMAMLClassifier, warm_start=True)
    learned = {name: p.clone() for name, p in clf.meta_params_.items()}
    huge = [(np.float32(1e30) * X, y) for X, y in TASKS]
    with (
        pytest.warns(UserWarning, match="A meta-step was not finite"),
        pytest.raises(FloatingPointError, match="3 of 3 meta-steps"),
    ):
        clf.fit(huge)
    assert all(torch.equal(p, learned[name]) for name, p in clf.meta_params_.items())
    assert not clf.net_.module_.training
    assert clf.fit(TASKS).n_iter_ == len(clf.loss_curve_) == 6


class Interrupt(Callback):
    """Ctrl-C after the given number of outer steps."""

    def __init__(self, after):
        self.after = after

    def initialize(self):
        self.n_steps_ = 0
        return self

    def on_batch_end(self, net, training, **kwargs):
        self.n_steps_ += training
        if self.n_steps_ == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 7, 50])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_ctrl_c_keeps_what_was_learned(estimator, after):
    settings = QUICK | {"inner_steps": 1}
    clf = estimator(**settings | {"max_iter": 60}, callbacks=[Interrupt(after)]).fit(TASKS)
    assert clf.n_iter_ == len(clf.loss_curve_) == after
    same = estimator(**settings | {"max_iter": after}).fit(TASKS)
    for name, p in same.meta_params_.items():
        assert torch.equal(clf.meta_params_[name], p)
    np.testing.assert_array_equal(clf.adapt(X, Y).predict_proba(X), same.adapt(X, Y).predict_proba(X))


def test_a_run_ended_by_ctrl_c_goes_on_by_a_warm_start():
    stopped = TMAMLClassifier(**QUICK | {"max_iter": 9}, warm_start=True, callbacks=[Interrupt(4)]).fit(TASKS)
    stopped.set_params(max_iter=5).fit(TASKS)
    whole = TMAMLClassifier(**QUICK | {"max_iter": 9}).fit(TASKS)
    assert stopped.n_iter_ == 9
    for name, p in whole.meta_params_.items():
        assert torch.equal(stopped.meta_params_[name], p)


def test_ctrl_c_while_early_stopping():
    clf = TMAMLClassifier(
        **QUICK | {"max_iter": 120, "inner_steps": 1}, early_stopping=True, callbacks=[Interrupt(70)]
    ).fit(TASKS)
    assert clf.n_iter_ == 70
    assert len(clf.validation_scores_) == 1
    assert clf.adapt(X, Y).predict(X).shape == Y.shape


def test_an_error_in_a_callback_comes_through_and_changes_nothing():
    class Broken(Callback):
        def on_batch_end(self, net, **kwargs):
            raise RuntimeError("No more disk space.")

    clf = adapted(TMAMLClassifier, callbacks=[Broken()])
    check_refused(clf, lambda clf: clf.fit(TASKS), RuntimeError, "No more disk space")


# ---- skmeta.adapt


def search(**kwargs):
    return GridSearchCV(TMAMLClassifier(**QUICK), {"inner_lr": [0.1, 0.2]}, cv=2, **kwargs)


ADAPT_MODELS = [
    ("another estimator", LogisticRegression, TypeError,
     r"model must be an estimator of skmeta, or a fitted pipeline or search that ends in one\. "
     r"Got LogisticRegression instead\."),
    ("a fitted one", lambda: LogisticRegression().fit(X, Y), TypeError, "Got LogisticRegression instead"),
    ("its class", lambda: TMAMLClassifier, TypeError, "Got type instead|Got ABCMeta instead"),
    ("unfitted estimator", lambda: TMAMLClassifier(**QUICK), NotFittedError, "is not meta-trained yet"),
    ("unfitted search", search, NotFittedError,
     r"This GridSearchCV has no best_estimator_ yet\. Call fit, with refit, first\."),
    ("search without refit", lambda: search(refit=False).fit(TASKS), NotFittedError,
     r"This GridSearchCV has no best_estimator_ yet\. Call fit, with refit, first\."),
    ("unfitted pipeline", lambda: make_pipeline(StandardScaler(), TMAMLClassifier(**QUICK)), NotFittedError,
     "is not fitted yet"),
    ("unfitted pipeline of one step", lambda: make_pipeline(TMAMLClassifier(**QUICK)), NotFittedError,
     "is not meta-trained yet"),
    ("pipeline that ends in another", lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
     TypeError, "Got LogisticRegression instead"),
    ("search over another", lambda: GridSearchCV(LogisticRegression(), {"C": [1]}, cv=2).fit(X, Y), TypeError,
     "Got LogisticRegression instead"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "error", "text"), [a[1:] for a in ADAPT_MODELS], ids=[a[0] for a in ADAPT_MODELS]
)
def test_models_that_cannot_be_adapted(make, error, text):
    model = make()
    before = dict(vars(model))
    with pytest.raises(error, match=text):
        skmeta.adapt(model, X, Y)
    assert dict(vars(model)) == before


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_nothing_is_warned_of_when_all_is_well(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = estimator(**QUICK, early_stopping=True).fit(TASKS)
        clf.adapt(X, Y).predict_proba(X)
        assert 0 <= clf.score(TASKS) <= 1
