"""Folds of tasks choose when to stop and how sure to be: what they see, and what they say."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import GradientNormClipping
from test_posterior_estimators import lines, noisy_classes

import skmeta
from skmeta.core.calibration import FACTORS, best_factor, log_likelihoods
from skmeta.core.losses import cross_entropy
from skmeta.core.regression_losses import squared_error
from skmeta.engine import HeldOutScores
from skmeta.estimators import folds
from skmeta.estimators.folds import best_look

QUICK = {"random_state": 0, "max_iter": 20, "iterator_train__steps_per_epoch": 10}


@pytest.fixture
def linear_start(monkeypatch):
    """Folds choose no kernel, with which there would be little left to learn."""
    monkeypatch.setattr("skmeta.estimators.auto.MOST_IN_KERNEL", 0)


def bent(n_tasks=24, n_rows=20, seed=0):
    """Curves that no mixed model of the column describes."""
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        x = rng.uniform(-2, 2, size=(n_rows, 1))
        tasks.append((x, np.abs(x[:, 0] - rng.normal()) + 0.05 * rng.normal(size=n_rows)))
    return tasks


def asked(n_tasks=40, n_rows=50):
    return {"query_weight": torch.ones(n_tasks, n_rows)}


def test_deviations_that_are_half_as_large_as_errors_are_doubled():
    generator = torch.Generator().manual_seed(0)
    y = 2 * torch.randn(40, 50, 1, generator=generator)
    outcome = {"outputs": torch.zeros_like(y), "variance": torch.ones_like(y)}
    found = log_likelihoods(squared_error, outcome, asked() | {"query_y": y})
    assert found.shape == (40, len(FACTORS))
    assert best_factor(found.mean(0)) == pytest.approx(y.square().mean().sqrt().item(), rel=0.01)


def test_logits_that_are_thrice_too_large_are_divided():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 50, 4, generator=generator)
    y = torch.distributions.Categorical(logits=logits).sample()
    found = log_likelihoods(cross_entropy, {"outputs": 3 * logits}, asked() | {"query_y": y})
    assert best_factor(found.mean(0)) == pytest.approx(3, rel=0.1)


def test_the_best_factor_is_the_top_of_a_parabola_or_an_end():
    log = np.log(FACTORS)
    assert best_factor(-((log - np.log(1.7)) ** 2)) == pytest.approx(1.7)
    assert best_factor(log) == FACTORS[-1]
    assert best_factor(np.zeros(len(FACTORS))) == 1
    assert best_factor(np.full(len(FACTORS), -np.inf)) == 1
    one_is_finite = np.where(np.arange(len(FACTORS)) == 7, 0.0, -np.inf)
    assert best_factor(one_is_finite) == FACTORS[7]


def looks(*means, spread=1.0, n_episodes=100):
    """Scores of looks at the same episodes by two factors, the second of which is better."""
    noise = torch.linspace(-spread, spread, n_episodes)
    each = torch.tensor(means)[:, None] + noise * torch.arange(len(means))[:, None]
    return torch.stack([each - 1, each], -1)


def test_the_start_is_left_for_what_is_surely_better():
    assert best_look(looks(0.0, 0.3, 0.2), 100, 0.0) == 1
    assert best_look(looks(0.0, 0.01, 0.02), 100, 0.0) == 0  # within half a standard error
    assert best_look(looks(0.0, 0.3, 0.2), 100, 0.5) == 0
    assert best_look(looks(0.0, -2.0, -1.0), 100, None) == 2  # a start that cannot stand alone
    assert best_look(looks(0.0), 100, None) == 0


def test_each_task_is_answered_once_by_what_the_others_taught(monkeypatch, linear_start):
    seen = []

    def noting(estimator, tasks, plan, training_rows, held_rows, *args):
        found = of_fold(estimator, tasks, plan, training_rows, held_rows, *args)
        trained, held = (set(tasks.task[rows].tolist()) for rows in (training_rows, held_rows))
        seen.append((trained, held, plan.scaler.level))
        return found

    of_fold = folds._fold
    monkeypatch.setattr(folds, "_fold", noting)
    tasks = lines(14)
    reg = skmeta.TMAMLRegressor(**QUICK).fit(tasks)
    assert len(seen) == 3
    assert sorted(i for _, held, _ in seen for i in held) == list(range(14))
    for trained, held, level in seen:
        assert trained == set(range(14)) - held
        assert_allclose(level, np.concatenate([tasks[i][1] for i in trained]).mean())
    assert_allclose(reg._labels.scaler.level, np.concatenate([y for _, y in tasks]).mean())


def test_of_many_tasks_some_are_held_out_once(monkeypatch):
    monkeypatch.setattr("skmeta.estimators.auto.MANY_TASKS", 14)
    reg = skmeta.TMAMLRegressor(**QUICK).fit(lines(14))
    assert len(reg.validation_scores_) == 2 and reg.calibration_ > 0
    assert reg.gain_ is None  # those tasks chose


def test_training_that_helps_is_made_by_all_tasks(capsys, linear_start):
    reg = skmeta.TMAMLRegressor(random_state=0, max_iter=100, verbose=1).fit(bent())
    assert reg.n_iter_ == reg.best_iter_ > 0
    assert len(reg.validation_scores_) == 2
    gain = reg.gain_
    assert gain.kept - gain.start == pytest.approx(gain.difference)
    assert gain.difference > gain.task_interval > 0
    said = capsys.readouterr().out
    assert f"choose {reg.n_iter_} outer steps" in said and f"{gain.difference:+.3g} ±" in said
    again = skmeta.TMAMLRegressor(random_state=0, max_iter=reg.n_iter_, early_stopping=False).fit(bent())
    X, y = bent(1, seed=1)[0]
    assert_array_equal(reg.adapt(X[:5], y[:5]).predict(X), again.adapt(X[:5], y[:5]).predict(X))


@pytest.mark.parametrize("params", [{"callbacks": [("clip", GradientNormClipping(1.0))]}, {}])
def test_a_training_that_the_user_takes_part_in_is_one(params):
    """A schedule, say, would make another training of each fold."""
    name = "clip__gradient_clip_value" if params else "early_stopping__patience"
    reg = skmeta.TMAMLRegressor(**QUICK, **params, **{f"callbacks__{name}": 1}).fit(lines(12))
    assert reg.calibration_ is None and len(reg.validation_scores_) in (1, 2)


def test_ctrl_c_ends_the_folds(monkeypatch):
    """The whole ones choose."""
    n_steps = []

    def interrupting(self, net, training=False, **kwargs):
        n_steps.append(training)
        if sum(n_steps) == 25:  # in the second fold
            raise KeyboardInterrupt

    monkeypatch.setattr(folds.HeldOutScores, "on_batch_end", interrupting)
    reg = skmeta.TMAMLRegressor(**QUICK | {"tol": 1e9}).fit(lines(12))
    assert sum(n_steps) == 25
    assert len(reg.validation_scores_) == 2 and reg.gain_ is None and reg.best_iter_ == 0


def test_a_start_that_cannot_be_kept_ends_no_run():
    held_out = HeldOutScores(None, patience=1, with_start=False).initialize()
    scores = iter([0.0, -3.0, -2.0, -1.0, -1.5])
    held_out._look = lambda net: next(scores)
    held_out.on_train_begin(None)
    for _ in range(3):
        held_out.on_epoch_end(None)
    with pytest.raises(KeyboardInterrupt):
        held_out.on_epoch_end(None)


def test_the_interval_of_the_gain_is_over_tasks():
    """Of tasks that differ in nothing, however noisy their episodes, all gain the same."""
    generator = torch.Generator().manual_seed(0)
    task = np.repeat(np.arange(6), 200)
    noise = torch.randn(2, 1200, 1, generator=generator)
    scores = [torch.stack([part - 5, part]) for part in noise]
    gain = folds._gain(scores, [task, 6 + task], 0.0)
    assert gain.difference == pytest.approx(5) and gain.task_interval == pytest.approx(0, abs=1e-6)


def test_what_training_cannot_help_is_left_at_the_start():
    reg = skmeta.TMAMLRegressor(**QUICK).fit(lines(20))
    assert reg.best_iter_ == 0 and reg.loss_curve_ == []
    assert reg.gain_.difference <= reg.gain_.task_interval


def test_deviations_and_logits_are_calibrated_alone(linear_start):
    tasks = lines(12)
    X, y = tasks[0]
    reg = skmeta.TMAMLRegressor(**QUICK).fit(tasks).adapt(X[:4], y[:4])
    predicted, deviation = reg.predict(X, return_std=True)
    reg.net_.module_.head.calibration.fill_(3 * reg.calibration_)
    again, thrice = reg.adapt(X[:4], y[:4]).predict(X, return_std=True)
    assert_allclose(again, predicted)
    assert_allclose(thrice, 3 * deviation, rtol=1e-6)
    for n_classes in 2, 3:
        tasks = [
            (X, np.minimum(y == "yes", 1) + np.arange(len(y)) % (n_classes - 1)) for X, y in noisy_classes(12)
        ]
        clf = skmeta.TAMLClassifier(**QUICK, label_space="shared").fit(tasks)
        X, y = tasks[0]
        logits = clf.adapt(X[:4], y[:4]).decision_function(X)
        clf.net_.module_.head.calibration.fill_(2 * clf.calibration_)
        assert_allclose(clf.adapt(X[:4], y[:4]).decision_function(X), logits / 2, rtol=1e-5, atol=1e-7)


def test_a_warm_start_chooses_no_calibration(linear_start):
    tasks = bent(14)
    reg = skmeta.TMAMLRegressor(**QUICK | {"max_iter": 60}).fit(tasks)
    assert reg.best_iter_ > 0 and reg.net_.module_.head.calibration == pytest.approx(reg.calibration_) != 1
    n_first = reg.n_iter_
    reg.set_params(warm_start=True, max_iter=10).fit(tasks)
    assert reg.calibration_ is None and reg.gain_ is None
    assert reg.net_.module_.head.calibration == 1
    assert reg.n_iter_ == n_first + 10  # with all tasks, so that none is held out
