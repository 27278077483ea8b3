"""What a parameter may be, and how it is said."""

from collections import namedtuple
from functools import cache
from numbers import Integral, Real

import numpy as np
import pytest
import torch
from made_tasks import QUICK, REGRESSORS, make_lines, make_tasks
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB

from skmeta import (
    MLP,
    GaussianNoise,
    Shifts,
    TAMLRegressor,
    TMAMLClassifier,
    WeightedFeatures,
    compare,
    evaluate,
    few_shot_scorer,
    shots_curve,
)
from skmeta.core.inequality import atkinson
from skmeta.datasets import make_scanners
from skmeta.estimators.params import BOOLEAN, CONSTRAINTS
from skmeta.parameter_rules import NONE, POSITIVE, Kind, Number, Options, check_value, plain


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        (Number(Integral, 1), [1, np.int64(7)], [0, 1.0, True, np.True_, "1", None]),
        (Number(Integral, 0, 5), [0, 4], [-1, 5]),
        (Number(Real, 0, 1), [0, 0.5, np.float32(0.5)], [1, -0.1, float("nan"), False]),
        (POSITIVE, [1e-9, 3], [0, float("inf"), float("nan"), -1]),
        (Options(("a", None)), ["a", None], ["b", 0, ["a"]]),
        (NONE, [None], ["None", 0, False]),
        (Kind(callable, "a callable"), [len, int], [3, None]),
    ],
    ids=str,
)
def test_a_rule_allows(rule, allowed, refused):
    assert all(rule.allows(value) for value in allowed)
    assert not any(rule.allows(value) for value in refused)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Number(Integral, 1), "an int in [1, inf)"),
        (POSITIVE, "a float in (0, inf)"),
        (Number(Real, 0, 1), "a float in [0, 1)"),
        (Options(("a", None)), "one of {'a', None}"),
        (NONE, "None"),
        (Kind(callable, "a callable"), "a callable"),
    ],
)
def test_a_rule_in_words(rule, words):
    assert str(rule) == words


def test_the_message_names_the_parameter_the_rules_and_the_value():
    message = r"^The 'p' parameter of Owner must be None or a float in \(0, inf\)\. Got -1 instead\.$"
    with pytest.raises(ValueError, match=message):
        check_value("Owner", "p", -1, [NONE, POSITIVE])
    check_value("Owner", "p", None, [NONE, POSITIVE])


# ---- NumPy's numbers and flags

INTEGERS = [
    np.int8,
    np.uint8,
    np.int16,
    np.uint16,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
    np.longlong,
    np.array,
]
FLOATS = [np.float16, np.float32, np.float64, np.longdouble, np.array]
Point = namedtuple("Point", "x y")
TASKS = make_tasks(6)
LINES = make_lines(6)


@pytest.mark.parametrize(
    ("kinds", "value", "its"),
    [(INTEGERS, 3, int), (FLOATS, 0.5, float), ([np.bool_, np.array], True, bool)],
    ids=["int", "float", "bool"],
)
def test_a_number_of_numpy_is_read_as_pythons_own(kinds, value, its):
    for kind in kinds:
        assert type(plain(kind(value))) is its and plain(kind(value)) == value
        assert plain((kind(value), [kind(value)])) == (value, [value])
        assert type(plain([kind(value)])[0]) is its


@pytest.mark.parametrize("value", [None, "a", 3, 0.5, np.arange(3), torch.tensor(1.0), Point(1, 2)], ids=str)
def test_anything_else_is_read_as_it_is(value):
    assert plain(value) is value


def test_a_value_of_numpy_is_checked_and_returned():
    assert type(check_value("Owner", "p", np.uint8(3), [Number(Integral, 1)])) is int
    for wrong in np.int64(0), np.array(0), np.array([3]), np.float32(3), np.True_:
        with pytest.raises(ValueError, match=r"Got .* instead"):
            check_value("Owner", "p", wrong, [Number(Integral, 1)])


# n_shot + n_query is no int8 or uint8, though each of them is.
WHOLE = {
    "hidden_layer_sizes": (6, 5),
    "n_shot": 100,
    "n_query": 120,
    "inner_steps": 2,
    "adapt_steps": 3,
    "max_iter": 4,
    "meta_batch_size": 4,
    "n_iter_no_change": 9,
    "iterator_train__steps_per_epoch": 2,
    "verbose": 0,
    "random_state": 7,
}
BROKEN = {
    "inner_lr": 0.125,
    "regularizer_weight": 0.25,
    "outer_lr": 2.0**-9,
    "average": 0.5,
    "validation_fraction": 0.25,
    "tol": 2.0**-10,
    "optimizer__weight_decay": 0.125,
}
FLAGS = {"learn_inner_lr": False, "early_stopping": True, "warm_start": False}
OWN = {TMAMLClassifier: {"n_way": 2}, TAMLRegressor: {"meta_model_lr": 0.125, "quantile": 0.25}}


def of_kind(kind, value):
    return tuple(map(kind, value)) if isinstance(value, tuple) else kind(value)


def learned(estimator, **params):
    """What an estimator with these parameters learns and answers; it still has what was set."""
    tasks = LINES if estimator in REGRESSORS else TASKS
    settings = WHOLE | BROKEN | FLAGS | {"task_regularizer": "theil"} | OWN[estimator] | params
    model = clone(estimator(**settings)).set_params(**params).fit(tasks)
    assert all(model.get_params()[name] is value for name, value in params.items())
    X, y = tasks[0]
    answers = model.predict_tasks([(X, y)], [X])[0], model.adapt(X, y).predict(X)
    return model.loss_curve_, [answer.tolist() for answer in answers], model.score(tasks)


@pytest.fixture(scope="module")
def expected():
    return {estimator: learned(estimator) for estimator in OWN}


def test_every_parameter_that_is_a_number_or_a_flag_is_tried():
    tried = {*WHOLE, *BROKEN, *FLAGS, *(name for own in OWN.values() for name in own)}
    numbers = {
        name
        for name, rules in CONSTRAINTS.items()
        if any(isinstance(rule, Number) or rule is BOOLEAN for rule in rules)
    }
    assert numbers - tried <= {"pretrain_iter", "iterator_train__batch_size"}  # the latter: meta_batch_size


@pytest.mark.parametrize(
    ("params", "kinds"),
    [(WHOLE, [np.uint8, np.int64, np.array]), (BROKEN, [np.float16, np.longdouble]), (FLAGS, [np.bool_])],
    ids=["int", "float", "bool"],
)
@pytest.mark.parametrize("estimator", OWN)
def test_estimators_take_the_numbers_of_numpy(estimator, params, kinds, expected):
    for kind in kinds:
        params = {name: of_kind(kind, value) for name, value in params.items()}
        assert learned(estimator, **params) == expected[estimator]


@pytest.mark.parametrize("name", [*WHOLE, *BROKEN, *FLAGS, "n_way"])
def test_an_estimator_takes_one_number_of_numpy(name, expected):
    settings = WHOLE | BROKEN | FLAGS | OWN[TMAMLClassifier]
    kind = np.int64 if name in WHOLE | OWN[TMAMLClassifier] else np.float32 if name in BROKEN else np.bool_
    got = learned(TMAMLClassifier, **{name: of_kind(kind, settings[name])})
    assert got == expected[TMAMLClassifier]


def test_a_warm_start_takes_the_same_number_of_another_kind():
    clf = TMAMLClassifier(**QUICK, warm_start=True).fit(TASKS)
    assert clf.set_params(inner_steps=np.int64(2), n_query=np.uint8(5)).fit(TASKS).n_iter_ == 6
    with pytest.raises(ValueError, match="inner_steps must stay as it was, 2; got 3"):
        clf.set_params(inner_steps=np.int64(3)).fit(TASKS)


@cache
def prior():
    return TMAMLClassifier(**QUICK).fit(TASKS)


DRAW = {"n_episodes": 6, "n_way": 2, "n_shot": 3, "n_query": 120, "random_state": 5}
ROWS = torch.arange(96.0).reshape(2, 3, 16)


def drawn(augmentation):
    return augmentation(ROWS, torch.Generator().manual_seed(0)).tolist()


# Functions and classes that take numbers, each with the numbers and with what shows them.
TAKERS = {
    "evaluate": (lambda **n: evaluate(prior(), TASKS, **n).scores.tolist(), DRAW),
    "compare": (
        lambda **n: compare(prior(), GaussianNB(), TASKS, **n).differences.tolist(),
        DRAW,
    ),
    "shots_curve": (
        lambda **n: shots_curve({"it": prior()}, TASKS, **n).results["it"].scores.tolist(),
        {name: n for name, n in DRAW.items() if name != "n_shot"} | {"n_shots": (1, 4)},
    ),
    "few_shot_scorer": (
        lambda **n: few_shot_scorer("neg_log_loss", **n)(prior(), TASKS),
        {"n_shot": 3, "random_state": 5},
    ),
    "make_scanners": (
        lambda **n: [X.tolist() for X, _ in make_scanners(**n).train],
        {"n_train": 2, "n_test": 1, "n_train_per_class": 30, "n_test_per_class": 1, "random_state": 3},
    ),
    "GaussianNoise": (lambda scale: drawn(GaussianNoise(scale)), {"scale": 0.5}),
    "Shifts": (lambda **n: drawn(Shifts(**n)), {"n_pixels": 2, "shape": (4, 4)}),
    "WeightedFeatures": (lambda length: WeightedFeatures(16, length)(ROWS[0]).tolist(), {"length": 2.5}),
    "MLP": (
        lambda in_features, hidden_layer_sizes: len(list(MLP(in_features, hidden_layer_sizes).parameters())),
        {"in_features": 16, "hidden_layer_sizes": (6, 5)},
    ),
    "atkinson": (lambda epsilon: atkinson(ROWS[0, 0] + 1, epsilon).item(), {"epsilon": 0.5}),
}


@pytest.mark.parametrize("name", TAKERS)
def test_functions_take_the_numbers_of_numpy(name):
    call, numbers = TAKERS[name]
    expected = call(**numbers)
    kinds = FLOATS if isinstance(next(iter(numbers.values())), float) else INTEGERS
    for kind in kinds[:-1] if name == "make_scanners" else kinds:
        assert call(**{argument: of_kind(kind, value) for argument, value in numbers.items()}) == expected
    if name == "shots_curve":
        assert call(**numbers | {"n_shots": np.array([1, 4], dtype=np.uint8)}) == expected
