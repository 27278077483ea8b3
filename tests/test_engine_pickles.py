"""What a pickle of a fitted estimator holds: its bounds come from the bytes of the parameters."""

import copy
import pickle

import numpy as np
import pytest
from made_tasks import ESTIMATORS, PLAIN, QUICK, REGRESSORS, make_lines, make_tasks

from skmeta import TMAMLClassifier

AVERAGED = {"early_stopping": True, "average": 0.9}
KINDS = [*((e, make_tasks()) for e in ESTIMATORS), *((e, make_lines()) for e in REGRESSORS)]
each_kind = pytest.mark.parametrize(("estimator", "tasks"), KINDS)


def fitted(estimator, tasks, **settings):
    return estimator(**PLAIN | settings).fit(tasks)


def n_bytes(model):
    return sum(p.nbytes for p in model.meta_params_.values())


def copies(estimator, tasks, *, then=lambda model: model, **settings):
    """How often a pickle holds the parameters: how many bytes each byte of them adds."""
    models = [
        then(fitted(estimator, tasks, hidden_layer_sizes=(width,), **settings)) for width in (8, 2**14 // 8)
    ]
    pickles = [len(pickle.dumps(model)) for model in models]
    return np.diff(pickles)[0] / np.diff([n_bytes(model) for model in models])[0]


@pytest.mark.parametrize(
    ("settings", "n_copies"),
    [
        ({}, 1),
        ({"head": "posterior"}, 1),
        (AVERAGED, 1),
        ({"warm_start": True}, 3),  # with Adam's two moments
        ({"warm_start": True, "optimizer": "sgd"}, 1),
    ],
    ids=["plain", "posterior", "averaged", "warm", "warm, sgd"],
)
@each_kind
def test_a_pickle_holds_the_parameters_once_and_moments_only_to_go_on(estimator, tasks, settings, n_copies):
    assert abs(copies(estimator, tasks, **settings) - n_copies) < 0.02


@each_kind
def test_a_pickle_holds_the_adapted_parameters_once(estimator, tasks):
    assert copies(estimator, tasks, then=lambda model: model.adapt(*tasks[0])) < 2.02


@each_kind
def test_a_pickle_of_a_resumed_run_holds_no_more(estimator, tasks):
    settings = {"warm_start": True, "then": lambda model: model.fit(tasks)}
    assert abs(copies(estimator, tasks, **settings) - 3) < 0.02


def test_the_losses_of_the_steps_are_held_once():
    few, many = (fitted(*KINDS[0], max_iter=n) for n in (10, 40))
    grown = len(pickle.dumps(many)) - len(pickle.dumps(few))
    of_history = len(pickle.dumps(many.history_)) - len(pickle.dumps(few.history_))
    assert grown - of_history < 30 * 8 / 2  # a number of 8 bytes for each step would be twice that


@pytest.mark.parametrize("duplicate", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
@each_kind
def test_what_was_not_kept_to_go_on_says_so(estimator, tasks, duplicate):
    X, y = tasks[0]
    model = fitted(estimator, tasks, **AVERAGED).adapt(X, y)
    again = duplicate(model)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    learned = again.meta_params_
    with pytest.raises(ValueError, match=r"cannot go on: it was pickled .* warm_start=False, so without"):
        again.set_params(warm_start=True).fit(tasks)
    assert all((p == learned[name]).all() for name, p in again.meta_params_.items())
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    fresh = again.set_params(warm_start=False).fit(tasks)
    assert fresh.loss_curve_ == model.loss_curve_


def test_pickling_leaves_the_net_able_to_go_on():
    estimator, tasks = KINDS[0]
    clf = fitted(estimator, tasks)
    pickle.dumps(clf), copy.deepcopy(clf)
    assert clf.net_.module is clf.net_.module_
    whole = fitted(estimator, tasks, max_iter=6)
    assert clf.set_params(warm_start=True).fit(tasks).loss_curve_ == whole.loss_curve_


def test_a_net_out_of_a_pickle_is_one():
    net = pickle.loads(pickle.dumps(fitted(*KINDS[0]))).net_
    assert net.module is net.module_
    assert str(net).count("MetaLearner") >= 1


def test_a_shallow_copy_shares_all():
    clf = TMAMLClassifier(**QUICK).fit(KINDS[0][1])
    twin = copy.copy(clf)
    assert type(twin) is type(clf) and vars(twin).keys() == vars(clf).keys()
    assert all(value is vars(clf)[name] for name, value in vars(twin).items())
