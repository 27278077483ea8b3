"""What is told and kept while training: skipped steps, Ctrl-C, failures; and what needs no message."""

import warnings

import numpy as np
import pytest
import torch
from bad_calls import GIVEN, LETTERS, TASKS, VALUES, X, Y, Z, check_refused, replaced
from made_tasks import ESTIMATORS, QUICK, flatten
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from skmeta import MLP, TAMLRegressor, TMAMLClassifier, TMAMLRegressor, evaluate, few_shot_scorer

# A module of the user's gets rows as passed; the default network's are standardised, and cannot be too large.
AS_PASSED = QUICK | {"inner_lr": 0.05, "module": MLP, "module__hidden_layer_sizes": (8,)}
HUGE = [(np.float32(1e30) * X, y) for X, y in TASKS]


def test_a_fit_on_other_tasks_forgets_the_adapted_one():
    clf = TMAMLClassifier(**QUICK).fit(TASKS).adapt(X, Y).fit(LETTERS)
    with pytest.raises(NotFittedError, match="meta-trained on 4 tasks but not adapted"):
        clf.predict(X)


def test_one_class_is_enough_to_adapt_to_in_a_shared_label_space():
    clf = TMAMLClassifier(**QUICK).fit(TASKS).adapt(X, np.ones(24, int))
    assert clf.predict_proba(X).shape == (24, 2)


# ---- tasks that are left out


@pytest.mark.parametrize(
    ("estimator", "tasks", "bad", "reason", "params"),
    [
        (
            TMAMLClassifier,
            TASKS,
            (X[:2], Y[:2] * 0 + [0, 1]),
            "has 1 row of each class",
            {"sampling": "stratified"},
        ),
        (TMAMLClassifier, TASKS, (X, Y * 0), "has only the class 0", {"label_space": "per_task"}),
        (
            TMAMLClassifier,
            GIVEN,
            (X, Y * 0, X, Y),
            "has only the class 0 in its support set",
            {"label_space": "per_task"},
        ),
        (TMAMLRegressor, VALUES, (X[:1], Z[:1]), "has 1 row", {}),
        (TAMLRegressor, VALUES, (X[:1], Z[:1]), "has 1 row", {}),
    ],
)
def test_a_task_that_gives_no_episode_is_told_once_and_changes_nothing(estimator, tasks, bad, reason, params):
    told = f"1 of 9 tasks cannot give an episode and are left out: task 3 {reason};"
    with_bad = [*tasks[:3], bad, *tasks[3:]]
    model, plain = (estimator(**QUICK, **params) for _ in range(2))
    calls = [
        lambda m, tasks: list(m.fit(tasks).meta_params_.values()),
        lambda m, tasks: [m.score(tasks)],
        lambda m, tasks: evaluate(m, tasks, n_episodes=16, n_shot=3).scores,
        lambda m, tasks: [few_shot_scorer("r2" if tasks[0] is VALUES[0] else "accuracy")(m, tasks)],
    ]
    for call in calls:
        with pytest.warns(UserWarning, match=told) as warned:
            answer = call(model, with_bad)
        assert len(warned) == 1
        for a, b in zip(answer, call(plain, tasks), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_group_that_is_left_out_is_called_by_its_id():
    X, y, groups = flatten(LETTERS, list("stuv"))
    kept = (groups != "u") | (y == "a")
    with pytest.warns(UserWarning, match="^1 of 4 tasks .* left out: task 'u' has only the class 'a'; an"):
        TMAMLClassifier(**QUICK, label_space="per_task").fit(X[kept], y[kept], groups=groups[kept])


# ---- while training


def test_steps_that_are_not_finite_are_skipped_counted_and_told():
    clf = TMAMLClassifier(**AS_PASSED | {"max_iter": 150, "meta_batch_size": 1})
    with pytest.warns(
        UserWarning, match="A meta-step was not finite and was skipped; n_skipped_ counts"
    ) as told:
        clf.fit(replaced(HUGE[3]))
    assert 0 < clf.n_skipped_ < 75
    assert clf.n_iter_ == len(clf.loss_curve_) == 150
    assert len(told) == 1
    assert all(p.isfinite().all() for p in clf.meta_params_.values())
    assert clf.set_params(adapt_steps=50).adapt(X, Y).score(X, Y) > 0.9


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_run_that_mostly_skips_says_what_to_lower(estimator):
    clf = estimator(**AS_PASSED).fit(TASKS).adapt(X, Y)
    text = "3 of 3 meta-steps were not finite: lower inner_lr or outer_lr, or scale the features."
    with pytest.warns(UserWarning, match="A meta-step was not finite"):
        check_refused(clf, lambda clf: clf.fit(HUGE), FloatingPointError, text, on_warning="always")
    assert clf.predict(X).shape == Y.shape


def test_a_warm_start_that_mostly_skips_leaves_what_was_learned():
    clf = TMAMLClassifier(**AS_PASSED, warm_start=True).fit(TASKS).adapt(X, Y)
    learned = {name: p.clone() for name, p in clf.meta_params_.items()}
    with (
        pytest.warns(UserWarning, match="A meta-step was not finite"),
        pytest.raises(FloatingPointError, match="3 of 3 meta-steps"),
    ):
        clf.fit(HUGE)
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

    clf = TMAMLClassifier(**QUICK).fit(TASKS).adapt(X, Y).set_params(callbacks=[Broken()])
    check_refused(clf, lambda clf: clf.fit(TASKS), RuntimeError, "No more disk space")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_nothing_is_warned_of_when_all_is_well(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = estimator(**QUICK, early_stopping=True).fit(TASKS)
        clf.adapt(X, Y).predict_proba(X)
        assert 0 <= clf.score(TASKS) <= 1
