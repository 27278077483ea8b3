"""Stop and resume is one run, to the last bit: for each estimator and each thing that keeps a state."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from made_tasks import ESTIMATORS, PLAIN, REGRESSORS, make_curves, make_tasks
from skorch.callbacks import Callback, LRScheduler
from torch.optim.lr_scheduler import OneCycleLR

from skmeta import GaussianNoise, TMAMLClassifier

LABELLED, VALUED = make_tasks(10), make_curves(10)
EPOCH = 5
SETTINGS = PLAIN | {"outer_lr": 0.01, "iterator_train__steps_per_epoch": EPOCH}

of_each_kind = pytest.mark.parametrize(
    ("estimator", "tasks"), [(ESTIMATORS[0], LABELLED), (REGRESSORS[0], VALUED)], ids=["class", "value"]
)
of_each_estimator = pytest.mark.parametrize(
    ("estimator", "tasks"),
    [*((e, LABELLED) for e in ESTIMATORS), *((e, VALUED) for e in REGRESSORS)],
    ids=["TMAML class", "TAML class", "TMAML value", "TAML value"],
)


def through_a_pickle(model):
    return pickle.loads(pickle.dumps(model))


def in_memory(model):
    return model


each_way = pytest.mark.parametrize("between", [in_memory, through_a_pickle, deepcopy])


def same(a, b):
    return all(torch.equal(p, b.meta_params_[name]) for name, p in a.meta_params_.items())


def rate(model):
    return model.net_.optimizer_.param_groups[0]["lr"]


def in_parts(model, tasks, parts, between=through_a_pickle):
    """The model after so many steps in each part, used and carried over in between."""
    for n_more in parts:
        model = between(model).set_params(warm_start=True, max_iter=n_more).fit(tasks)
        model.adapt(*tasks[0]).predict(tasks[1][0])
    return model


def assert_one_run(resumed, whole, tasks):
    assert resumed.n_iter_ == whole.n_iter_
    assert resumed.loss_curve_ == whole.loss_curve_
    assert rate(resumed) == rate(whole)
    assert same(resumed, whole)
    X = tasks[1][0]
    np.testing.assert_array_equal(*(model.adapt(*tasks[0]).predict(X) for model in (resumed, whole)))


KEEPERS = {
    "adam": {},
    "momentum": {"optimizer": "sgd", "optimizer__momentum": 0.9},
    "average": {"average": 0.8},
    "augment": {"augment": GaussianNoise(0.5)},
}
WITHOUT = {"momentum": {"optimizer": "sgd"}, "average": {}, "augment": {}}


@pytest.mark.parametrize("keeper", KEEPERS)
@of_each_estimator
def test_parts_are_one_run(estimator, tasks, keeper):
    def settings(of_keeper):
        cosine = LRScheduler("CosineAnnealingLR", T_max=30, step_every="batch")
        return SETTINGS | of_keeper | {"max_iter": 15, "callbacks": [cosine]}

    whole = estimator(**settings(KEEPERS[keeper])).fit(tasks)
    parts = in_parts(estimator(**settings(KEEPERS[keeper])), tasks, (1, 7, 2, 5))
    assert_one_run(parts, whole, tasks)
    if keeper in WITHOUT:  # it matters
        assert not same(whole, estimator(**settings(WITHOUT[keeper])).fit(tasks))


@each_way
@of_each_kind
def test_the_model_may_be_carried_over_in_any_way(estimator, tasks, between):
    whole = estimator(**SETTINGS | {"max_iter": 12}).fit(tasks)
    half = in_parts(estimator(**SETTINGS), tasks, (6,))
    assert not same(half, whole)
    assert_one_run(in_parts(half, tasks, (6,), between), whole, tasks)


# ---- schedules of the learning rate

SCHEDULES = {
    "step": {"policy": "StepLR", "step_size": 3, "gamma": 0.5},
    "cosine": {"policy": "CosineAnnealingLR", "T_max": 30},
    "one cycle": {"policy": OneCycleLR, "max_lr": 0.1, "total_steps": 20},
    "warm restarts": {"policy": "WarmRestartLR", "max_lr": 0.1, "base_period": 7},
    "plateau": {
        "policy": "ReduceLROnPlateau",
        "monitor": "train_loss",
        "threshold": 0.999,
        "factor": 0.5,
        "patience": 1,
    },
}
STEPPED = [(n, e) for n in SCHEDULES for e in ("batch", "epoch") if (n, e) != ("plateau", "batch")]


@pytest.mark.parametrize(("schedule", "every"), STEPPED)
@of_each_kind
def test_a_schedule_goes_on(estimator, tasks, schedule, every):
    def model():
        return estimator(**SETTINGS, callbacks=[LRScheduler(**SCHEDULES[schedule], step_every=every)])

    whole = model().set_params(max_iter=20).fit(tasks)
    # Where it steps at each epoch, a part ends with one: an epoch cut short is an epoch all the same.
    parts = (10, 10) if every == "epoch" else (8, 12)
    assert_one_run(in_parts(model(), tasks, parts), whole, tasks)
    assert rate(whole) != SETTINGS["outer_lr"]


def test_a_schedule_by_epochs_counts_an_epoch_cut_short():
    """What is not one run: 12 steps are three epochs, and the run that goes on starts a fourth."""
    step = LRScheduler("StepLR", step_size=1, gamma=0.5)
    clf = in_parts(TMAMLClassifier(**SETTINGS, callbacks=[step]), LABELLED, (12, 12), in_memory)
    assert clf.history_[:, "train_batch_count"] == [5, 5, 2, 5, 5, 2]
    assert rate(clf) == pytest.approx(0.01 / 2**6)


# ---- runs that end early


class Interrupt(Callback):
    """Ctrl-C after the given number of outer steps."""

    def __init__(self, after):
        self.after = after

    def initialize(self):
        self.n_steps_ = 0
        return self

    def on_batch_end(self, net, training, **kwargs):
        self.n_steps_ += training
        if training and self.n_steps_ == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("between", [in_memory, through_a_pickle])
@of_each_estimator
def test_ctrl_c_and_a_warm_start_are_one_run(estimator, tasks, between):
    def settings(after):
        step = LRScheduler("StepLR", step_size=4, gamma=0.5, step_every="batch")
        return SETTINGS | {"max_iter": 14, "callbacks": [step, Interrupt(after)]}

    whole = estimator(**settings(0)).fit(tasks)
    stopped = estimator(**settings(7), warm_start=True).fit(tasks)
    assert stopped.n_iter_ == 7
    X, y = tasks[0]
    assert stopped.adapt(X, y).predict(X).shape == y.shape
    assert_one_run(in_parts(stopped, tasks, (7,), between), whole, tasks)


def test_a_run_that_fails_does_not_move_the_schedule():
    class Fails(Callback):
        after = None  # in the fourth epoch

        def on_batch_end(self, net, **kwargs):
            if len(net.history) > 3 and len(net.history[-1, "batches"]) == self.after:
                raise OSError("No more disk space.")

    def fit(*callbacks, **settings):
        step = LRScheduler("StepLR", step_size=4, gamma=0.5, step_every="batch")
        return TMAMLClassifier(**SETTINGS | settings, callbacks=[step, *callbacks]).fit(LABELLED)

    fails = Fails()
    whole, clf = fit(max_iter=20), fit(fails, max_iter=10, warm_start=True)
    fails.after = 3
    with pytest.raises(OSError, match="No more disk space"):
        clf.fit(LABELLED)
    fails.after = None
    assert_one_run(clf.fit(LABELLED), whole, LABELLED)
