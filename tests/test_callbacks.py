"""skorch's callbacks and spellings with the estimators; ``test_resume.py`` has runs that go on."""

import pickle

import numpy as np
import pytest
import torch
from made_tasks import PLAIN, make_tasks
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    ProgressBar,
)
from skorch.exceptions import SkorchException
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from skmeta import TAMLClassifier, TAMLRegressor, TMAMLClassifier, TMAMLRegressor

LABELLED = make_tasks(10, labels=("a", "b"))
VALUED = [(X, X @ np.arange(3) + i * X[:, 0]) for i, (X, _) in enumerate(LABELLED)]
SETTINGS = PLAIN | {"inner_steps": 1, "outer_lr": 0.01}
EPOCH = {"iterator_train__steps_per_epoch": 10}

of_each_kind = pytest.mark.parametrize(
    ("estimator", "tasks"), [(TMAMLClassifier, LABELLED), (TMAMLRegressor, VALUED)], ids=["class", "value"]
)
of_each_estimator = pytest.mark.parametrize(
    ("estimator", "tasks"),
    [
        (TMAMLClassifier, LABELLED),
        (TAMLClassifier, LABELLED),
        (TMAMLRegressor, VALUED),
        (TAMLRegressor, VALUED),
    ],
    ids=["TMAML class", "TAML class", "TMAML value", "TAML value"],
)


def same(a, b):
    return all(torch.equal(p, b.meta_params_[name]) for name, p in a.meta_params_.items())


def rate(model):
    return model.net_.optimizer_.param_groups[0]["lr"]


# ---- EarlyStopping


@of_each_kind
def test_an_early_stopping_of_the_user_stops_before_max_iter(estimator, tasks):
    # Nothing is good enough to beat the first look by 100 %, so the third look is the last.
    stop = EarlyStopping(monitor="valid_loss", patience=2, threshold=1.0)
    model = estimator(**SETTINGS | {"max_iter": 100}, **EPOCH, early_stopping=True, callbacks=[stop])
    assert model.fit(tasks).n_iter_ == 30 < 100
    assert stop.misses_ == 2
    # Without it the same run does not stop there.
    assert model.set_params(callbacks=None, max_iter=40).fit(tasks).n_iter_ == 40


def test_the_held_out_tasks_are_what_it_monitors():
    watch = EarlyStopping(monitor="valid_loss", patience=50)
    clf = TMAMLClassifier(**SETTINGS | {"max_iter": 40}, **EPOCH, early_stopping=True, callbacks=[watch])
    clf.fit(LABELLED)
    seen = clf.history_[:, "valid_loss"]
    assert len(set(seen)) == 4 and np.isfinite(seen).all()
    assert watch.best_epoch_ == int(np.argmin(seen)) + 1


def test_it_can_monitor_the_training_loss_without_held_out_tasks():
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=1.0)
    clf = TMAMLClassifier(**SETTINGS | {"max_iter": 100}, **EPOCH, callbacks=[stop]).fit(LABELLED)
    assert clf.n_iter_ == 20


@pytest.mark.parametrize(("verbose", "told"), [(0, False), (1, False), (2, True)])
def test_it_tells_that_it_stopped_if_the_table_is_shown(verbose, told, capsys):
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=1.0)
    TMAMLClassifier(**SETTINGS | {"max_iter": 100}, **EPOCH, callbacks=[stop], verbose=verbose).fit(LABELLED)
    assert ("Stopping since train_loss has not improved" in capsys.readouterr().out) == told


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        (EarlyStopping(), r"The callback 'EarlyStopping' monitors 'valid_loss', which needs tasks for meta-"),
        (EarlyStopping("valid_score"), "monitors 'valid_score'.*Set early_stopping=True to hold some out"),
        (Checkpoint(), r"The callback 'Checkpoint' monitors 'valid_loss_best'.*early_stopping=True"),
        (LRScheduler("ReduceLROnPlateau", monitor="valid_loss"), "'LRScheduler' monitors 'valid_loss'"),
        (("mine", EpochScoring(lambda net, X, y: 0.0)), "'mine' scores tasks of meta-validation.*on_train"),
        (BatchScoring(lambda net, X, y: 0.0, name="b"), "'BatchScoring' scores tasks of meta-validation"),
    ],
    ids=["stop", "score", "checkpoint", "plateau", "epoch scoring", "batch scoring"],
)
@of_each_kind
def test_a_callback_that_needs_held_out_tasks_asks_for_them(estimator, tasks, callback, text):
    model = estimator(**SETTINGS, callbacks=[callback])
    with pytest.raises(ValueError, match=text):
        model.fit(tasks)
    assert not hasattr(model, "net_")


# ---- Checkpoint


@of_each_kind
def test_a_checkpoint_holds_the_best_state(estimator, tasks, tmp_path):
    best = Checkpoint(monitor="valid_loss_best", dirname=str(tmp_path / "kept"), load_best=False)
    model = estimator(**SETTINGS | {"max_iter": 60}, **EPOCH, early_stopping=True, callbacks=[best])
    model.fit(tasks)
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"params.pt", "optimizer.pt", "history.json"} <= names
    saved = torch.load(tmp_path / "kept" / "params.pt")
    X, y = tasks[0]
    # From a state that is surely another one: one step of another start.
    other = estimator(**SETTINGS | {"max_iter": 1, "random_state": 9}).fit(tasks)
    before = other.adapt(X[:12], y[:12])._outputs(X)
    other.net_.load_params(f_params=str(tmp_path / "kept" / "params.pt"))
    for name, p in other.meta_params_.items():
        assert torch.equal(p, saved[name])
    after = other.adapt(X[:12], y[:12])
    assert not np.allclose(after._outputs(X), before)
    assert after.predict(X).shape == y.shape
    # It was the state with the lowest loss: a run that ends there has it.
    n_best = 10 * (1 + int(np.argmin(model.history_[:, "valid_loss"])))
    short = estimator(**SETTINGS | {"max_iter": n_best}, **EPOCH, early_stopping=True)
    last = Checkpoint(monitor=None, dirname=str(tmp_path / "short"))
    short.set_params(callbacks=[last]).fit(tasks)
    assert all(torch.equal(p, saved[n]) for n, p in torch.load(tmp_path / "short" / "params.pt").items())


def test_a_checkpoint_can_load_the_best_state_itself(tmp_path):
    script = [3.0, 1.0, 2.0]
    score = EpochScoring(lambda net, X, y: script[len(net.history) - 1], name="mine", on_train=True)
    best = Checkpoint(monitor="mine_best", dirname=str(tmp_path), load_best=True)
    clf = TMAMLClassifier(**SETTINGS | {"max_iter": 30}, **EPOCH, callbacks=[score, best]).fit(LABELLED)
    assert clf.n_iter_ == 20
    assert same(clf, TMAMLClassifier(**SETTINGS | {"max_iter": 20}, **EPOCH).fit(LABELLED))
    assert not same(clf, TMAMLClassifier(**SETTINGS | {"max_iter": 30}, **EPOCH).fit(LABELLED))


def test_a_monitor_that_nothing_records_is_an_error(tmp_path):
    model = TMAMLClassifier(**SETTINGS, callbacks=[Checkpoint(monitor="mine", dirname=str(tmp_path))])
    with pytest.raises(SkorchException, match="'mine' was not found in history"):
        model.fit(LABELLED)


# ---- LRScheduler


@of_each_kind
def test_a_learning_rate_falls_at_each_epoch(estimator, tasks):
    model = estimator(
        **SETTINGS | {"max_iter": 40}, **EPOCH, callbacks=[LRScheduler(StepLR, step_size=1, gamma=0.5)]
    ).fit(tasks)
    assert model.history_[:, "event_lr"] == pytest.approx([0.01, 0.005, 0.0025, 0.00125])
    assert rate(model) == pytest.approx(0.01 / 16)
    assert not same(model, estimator(**SETTINGS | {"max_iter": 40}, **EPOCH).fit(tasks))


@of_each_kind
def test_a_learning_rate_falls_at_each_step(estimator, tasks):
    cosine = LRScheduler(CosineAnnealingLR, T_max=20, step_every="batch")
    model = estimator(**SETTINGS | {"max_iter": 20}, **EPOCH, callbacks=[cosine]).fit(tasks)
    rates = [batch["event_lr"] for epoch in model.history_ for batch in epoch["batches"]]
    np.testing.assert_allclose(rates, 0.005 * (1 + np.cos(np.pi * np.arange(20) / 20)), rtol=1e-6)
    assert rate(model) == pytest.approx(0, abs=1e-9)


def test_validation_does_not_move_the_learning_rate():
    step = LRScheduler(StepLR, step_size=1, gamma=0.5, step_every="batch")
    clf = TMAMLClassifier(**SETTINGS | {"max_iter": 6}, early_stopping=True, callbacks=[step]).fit(LABELLED)
    assert rate(clf) == pytest.approx(0.01 / 2**6)


def test_a_plateau_of_the_meta_validation_lowers_the_learning_rate():
    # No look is better than the first one by 99.9 %: each look after it lowers the rate.
    plateau = LRScheduler("ReduceLROnPlateau", monitor="valid_loss", patience=0, factor=0.5, threshold=0.999)
    clf = TMAMLClassifier(**SETTINGS | {"max_iter": 40}, **EPOCH, early_stopping=True, callbacks=[plateau])
    assert rate(clf.fit(LABELLED)) == pytest.approx(0.01 / 8)


# ---- ProgressBar


@pytest.mark.parametrize("batches", ["auto", "count", 10])
def test_a_progress_bar_of_skorch(batches, capsys):
    bar = ProgressBar(batches_per_epoch=batches, detect_notebook=False)
    clf = TMAMLClassifier(**SETTINGS | {"max_iter": 30}, **EPOCH, callbacks=[bar]).fit(LABELLED)
    shown = capsys.readouterr().err
    assert "it/s" in shown
    assert ("/10 [" in shown) == (batches != "auto")  # skorch's guess is of rows, not of episodes
    assert clf.n_iter_ == 30
    pickle.loads(pickle.dumps(clf))


# ---- EpochScoring


class RowsRight:
    """Share of the query rows of meta-validation whose answer is right, or near the value."""

    __name__ = "rows_right"

    def __init__(self):
        self.calls = []

    def __call__(self, net, X, y=None):
        self.calls.append((X, y))
        right = total = 0
        for batch in net.get_iterator(X):
            outputs = net.evaluation_step(batch)["outputs"]
            _, target = batch
            hit = outputs.argmax(-1) == target["query_y"]
            right += (hit * target["query_weight"]).sum().item()
            total += target["query_weight"].sum().item()
        return right / total


def test_a_score_at_each_epoch():
    score = RowsRight()
    clf = TMAMLClassifier(
        **SETTINGS | {"max_iter": 40},
        **EPOCH,
        early_stopping=True,
        callbacks=[EpochScoring(score, lower_is_better=False)],
    ).fit(LABELLED)
    assert len(score.calls) == 4
    # All tasks are of one size, so the share of the rows is the mean of the tasks, which we record.
    np.testing.assert_allclose(clf.history_[:, "rows_right"], clf.validation_scores_, rtol=1e-6)
    assert len(set(clf.history_[:, "rows_right"])) > 1
    assert clf.history_[0, "rows_right_best"] is True
    # What skorch passes as X are the held out tasks, a task of the ten, and no y.
    assert all(y is None and len(X) == 1 for X, y in score.calls)
    assert len({id(X) for X, _ in score.calls}) == 1


def test_a_score_of_the_training_tasks():
    score = RowsRight()
    on_train = EpochScoring(score, on_train=True, name="mine")
    TMAMLClassifier(**SETTINGS | {"max_iter": 20}, **EPOCH, callbacks=[on_train]).fit(LABELLED)
    assert [len(X) for X, _ in score.calls] == [10, 10]


def test_a_score_leaves_the_training_as_it_is():
    scored = [EpochScoring(RowsRight())]
    settings = SETTINGS | {"max_iter": 40, "early_stopping": True} | EPOCH
    a = TMAMLClassifier(**settings, callbacks=scored).fit(LABELLED)
    assert a.loss_curve_ == TMAMLClassifier(**settings).fit(LABELLED).loss_curve_


def test_a_score_of_the_user_stops_early():
    score = EpochScoring(lambda net, X, y: 1.0, name="mine", lower_is_better=False)
    stop = EarlyStopping("mine", patience=2, lower_is_better=False)
    clf = TMAMLClassifier(
        **SETTINGS | {"max_iter": 100}, **EPOCH, early_stopping=True, callbacks=[score, stop]
    )
    assert clf.fit(LABELLED).n_iter_ == 30


def test_a_score_of_each_meta_batch():
    seen = []

    def n_tasks(net, inputs, target):
        assert net.evaluation_step((inputs, target))["outputs"].shape[:2] == target["query_y"].shape[:2]
        seen.append(len(inputs["query_x"]))
        return len(inputs["query_x"])

    score = BatchScoring(n_tasks, name="n_tasks")
    clf = TMAMLClassifier(**SETTINGS, early_stopping=True, callbacks=[score]).fit(LABELLED)
    assert clf.history_[:, "n_tasks"] == [4] and set(seen) == {4} and len(seen) > 1


@pytest.mark.parametrize("scoring", ["accuracy", None])
def test_a_score_that_is_no_callable_is_an_error(scoring):
    clf = TMAMLClassifier(**SETTINGS, early_stopping=True, callbacks=[EpochScoring(scoring)])
    with pytest.raises(ValueError, match=r"'EpochScoring' has scoring=.*but it must be a callable"):
        clf.fit(LABELLED)


# ---- parameters of callbacks


def named(**kwargs):
    stop = EarlyStopping("train_loss", patience=5, threshold=1.0)
    settings = SETTINGS | {"max_iter": 100} | EPOCH
    return TMAMLClassifier(**settings | {"callbacks": [("stop", stop)]} | kwargs)


def test_a_parameter_of_a_callback_as_an_argument_and_later():
    clf = named(callbacks__stop__patience=1)
    assert clf.fit(LABELLED).n_iter_ == 20
    assert clf.set_params(callbacks__stop__patience=3).fit(LABELLED).n_iter_ == 40
    assert clf.get_params()["callbacks__stop__patience"] == 3
    assert clone(clf).get_params()["callbacks__stop__patience"] == 3
    assert clone(clf).fit(LABELLED).n_iter_ == 40


def test_a_parameter_of_a_callback_in_a_grid():
    search = GridSearchCV(named(), {"callbacks__stop__patience": [1, 3]}, cv=2, scoring=n_steps)
    search.fit(LABELLED)
    assert search.cv_results_["mean_test_score"].tolist() == [20, 40]
    assert search.best_estimator_.n_iter_ == 40


def n_steps(estimator, X, y=None):
    return estimator.n_iter_


def test_a_callback_is_replaced_or_left_out_by_name():
    assert named(callbacks__stop=None).fit(LABELLED).n_iter_ == 100
    other = EarlyStopping("train_loss", patience=2, threshold=1.0)
    assert named(callbacks__stop=other).fit(LABELLED).n_iter_ == 30


def test_a_callback_of_early_stopping_itself_takes_parameters():
    clf = TMAMLClassifier(
        **SETTINGS | {"max_iter": 100}, **EPOCH, early_stopping=True, callbacks__early_stopping__patience=1
    ).set_params(optimizer="sgd", outer_lr=1e-30)
    assert clf.fit(LABELLED).n_iter_ == 20


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"callbacks__stpo__patience": 1}, r"callbacks__stpo__patience: there is no callback 'stpo', only"),
        ({"callbacks__stpo": EarlyStopping("train_loss")}, "there is no callback 'stpo'"),
        ({"callbacks__stop__patiense": 1}, "Invalid parameter 'patiense'"),
        ({"early_stopping": True, "callbacks": [("early_stopping", EarlyStopping())]}, "Found duplicate"),
    ],
    ids=["no callback", "nothing to replace", "no parameter", "a name that is taken"],
)
def test_a_wrong_name_is_an_error(wrong, text):
    clf = named(**wrong)
    with pytest.raises(ValueError, match=text):
        clf.fit(LABELLED)
    assert not hasattr(clf, "net_")


@of_each_estimator
def test_clones_do_not_share_callbacks(estimator, tasks):
    stop, schedule = EarlyStopping("train_loss"), LRScheduler(StepLR, step_size=1, gamma=0.5)
    model = estimator(**SETTINGS, callbacks=[("stop", stop), schedule]).fit(tasks)
    other = clone(model)
    (name, copied), copied_schedule = other.callbacks
    assert name == "stop" and copied is not stop and copied_schedule is not schedule
    assert copied.get_params() == stop.get_params()
    assert copied_schedule.get_params() == schedule.get_params()
    # Neither takes what the other one saw: the scheduler belongs to the run of its own.
    assert not hasattr(copied_schedule, "lr_scheduler_")
    other.fit(tasks)
    assert schedule.lr_scheduler_.optimizer is model.net_.optimizer_
    assert copied_schedule.lr_scheduler_.optimizer is other.net_.optimizer_
    assert same(model, other) and model.callbacks == [("stop", stop), schedule]


def test_the_candidates_of_a_search_do_not_share_callbacks():
    schedule = LRScheduler(StepLR, step_size=1, gamma=0.5)
    clf = TMAMLClassifier(**SETTINGS, callbacks=[schedule])
    search = GridSearchCV(clf, {"outer_lr": [0.01, 0.1]}, cv=2).fit(LABELLED)
    assert not hasattr(schedule, "lr_scheduler_")
    assert rate(search.best_estimator_) == pytest.approx(search.best_params_["outer_lr"] / 2)


# ---- module__, optimizer__, iterator_train__


class Wide(nn.Sequential):
    def __init__(self, in_features, width=4):
        super().__init__(nn.Linear(in_features, width), nn.Tanh())


def width_of(model):
    return model.meta_params_["backbone.0.weight"].shape[0]


def decay_of(model):
    return model.net_.optimizer_.param_groups[-1]["weight_decay"]  # those before are of logarithms


def epochs_of(model):
    return len(model.history_)


def episodes_of(model):
    """Episodes in an outer step."""
    return model.history_[0, "batches", 0, "seen"]


class Episodes(Callback):
    def on_batch_end(self, net, batch, training, **kwargs):
        net.history.record_batch("seen", len(batch[0]["query_x"]))


SPELLINGS = [
    ("module__width", [5, 7], width_of, [5, 7]),
    ("optimizer__weight_decay", [0.25, 0.5], decay_of, [0.25, 0.5]),
    ("iterator_train__steps_per_epoch", [2, 4], epochs_of, [2, 1]),
    ("iterator_train__batch_size", [2, 3], episodes_of, [2, 3]),
]


@pytest.mark.parametrize(("name", "values", "read", "expected"), SPELLINGS, ids=[s[0] for s in SPELLINGS])
@of_each_kind
def test_skorchs_spellings(estimator, tasks, name, values, read, expected):
    settings = SETTINGS | {"max_iter": 4, "module": Wide, "callbacks": [Episodes()]}
    model = estimator(**settings, **{name: values[0]}).fit(tasks)
    assert read(model) == expected[0]
    assert model.n_iter_ == 4
    assert read(model.set_params(**{name: values[1]}).fit(tasks)) == expected[1]
    assert read(clone(model).fit(tasks)) == expected[1]
    search = GridSearchCV(
        estimator(**settings), {name: values}, cv=2, scoring=lambda model, X, y=None: read(model)
    ).fit(tasks)
    assert search.cv_results_["mean_test_score"].tolist() == expected
    assert read(search.best_estimator_) == max(expected)


@of_each_estimator
def test_a_spelling_changes_what_is_learned(estimator, tasks):
    plain = estimator(**SETTINGS).fit(tasks)
    for change in ({"optimizer__weight_decay": 0.5}, {"iterator_train__batch_size": 2}):
        assert not same(plain, estimator(**SETTINGS, **change).fit(tasks))
    assert same(plain, estimator(**SETTINGS, iterator_train__batch_size=4).fit(tasks))


@pytest.mark.parametrize("how", ["argument", "set_params"])
@of_each_kind
def test_an_unknown_name_of_the_iterator_is_an_error(estimator, tasks, how):
    wrong = {"iterator_train__shuffle": True}
    model = estimator(**wrong) if how == "argument" else estimator().set_params(**wrong)
    with pytest.raises(
        ValueError,
        match=r"has no parameter 'iterator_train__shuffle', set to True; it takes "
        r"iterator_train__batch_size and iterator_train__steps_per_epoch",
    ):
        model.fit(tasks)
