"""Two models on the same episodes: the difference of two evaluations, and its intervals."""

import numpy as np
import pytest
from made_tasks import QUICK, make_curves, make_tasks, split
from scipy.stats import t, ttest_1samp
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier

from skmeta import TMAMLClassifier, TMAMLRegressor, compare, evaluate

TASKS = make_tasks(6, labels=("a", "b", "c"), n_rows=36, n_features=4, spread=2.0)
CURVES = make_curves(6)
TRAINED = TMAMLClassifier(**QUICK).fit(TASKS)
POOLED = FrozenEstimator(LogisticRegression().fit(*map(np.concatenate, zip(*TASKS, strict=True))))
PAIRS = {
    "ours, linear": (TRAINED, LogisticRegression(), TASKS),
    "linear, neighbours": (LogisticRegression(), KNeighborsClassifier(1), TASKS),
    "ours, pooled": (TRAINED, POOLED, TASKS),
    "regressors": (TMAMLRegressor(**QUICK).fit(CURVES), Ridge(), CURVES),
    "given": (LogisticRegression(), POOLED, [split(task, 12) for task in TASKS]),
}
SETTINGS = {"n_episodes": 18, "n_shot": 2, "n_query": 6, "random_state": 5}


@pytest.mark.parametrize("model", [TRAINED, LogisticRegression()], ids=["ours", "scikit-learn's"])
def test_a_model_and_itself_differ_by_nothing(model):
    result = compare(model, model, TASKS, **SETTINGS)
    assert result.difference == result.interval == result.task_interval == 0
    assert not result.differences.any()
    assert np.ptp(result.a.scores) > 0


@pytest.mark.parametrize("name", PAIRS)
def test_it_is_the_difference_of_two_evaluations(name):
    a, b, tasks = PAIRS[name]
    result = compare(a, b, tasks, **SETTINGS)
    for of_one, model in (result.a, a), (result.b, b):
        expected = evaluate(model, tasks, **SETTINGS)
        assert of_one.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(of_one[key], value)
    np.testing.assert_array_equal(result.differences, result.a.scores - result.b.scores)
    assert result.difference == pytest.approx(result.a.mean - result.b.mean)
    assert result.differences.any()


@pytest.mark.parametrize("name", PAIRS)
def test_the_other_way_round_only_the_sign_changes(name):
    a, b, tasks = PAIRS[name]
    there, back = compare(a, b, tasks, **SETTINGS), compare(b, a, tasks, **SETTINGS)
    np.testing.assert_array_equal(there.differences, -back.differences)
    assert there.difference == -back.difference
    assert there.interval == back.interval
    assert there.task_interval == pytest.approx(back.task_interval)


def test_the_intervals_by_hand():
    result = compare(LogisticRegression(), KNeighborsClassifier(1), TASKS, **SETTINGS)
    assert result.interval == pytest.approx(1.96 * result.differences.std(ddof=1) / np.sqrt(18))
    of_tasks = result.differences.reshape(6, 3).mean(1)
    low, high = ttest_1samp(of_tasks, 0).confidence_interval(0.95)
    assert (high - low) / 2 == pytest.approx(result.task_interval)
    assert (high + low) / 2 == pytest.approx(result.difference)


def test_pairing_narrows_the_interval():
    """Ridge and a little more of it err on the same rows."""
    result = compare(Ridge(1.0), Ridge(1.5), CURVES, n_episodes=60)
    assert result.interval < 0.3 * np.hypot(result.a.interval, result.b.interval)


def test_the_interval_of_a_few_tasks_is_wider_than_the_published_one():
    """Where the best model is another in each task, more episodes do not tell which one new tasks prefer."""
    near_zero = [(X, y / 100) for X, y in CURVES[:3]]
    tasks = [*near_zero, *((X, y - y.mean() + 5) for X, y in CURVES[3:])]
    few, many = (
        compare(DummyRegressor(strategy="constant", constant=0), Ridge(100), tasks, n_episodes=n)
        for n in (60, 600)
    )
    assert many.interval < 0.5 * few.interval
    assert many.task_interval == pytest.approx(few.task_interval, rel=0.2)
    assert many.task_interval > 5 * many.interval


def test_one_task():
    result = compare(LogisticRegression(), KNeighborsClassifier(1), TASKS[:1], **SETTINGS)
    assert result.interval > 0 and np.isnan(result.task_interval)


def test_metrics_and_settings_are_passed_on():
    settings = SETTINGS | {"n_way": 2, "metric": "f1_macro"}
    result = compare(LogisticRegression(), KNeighborsClassifier(1), TASKS, **settings)
    np.testing.assert_array_equal(
        result.b.scores, evaluate(KNeighborsClassifier(1), TASKS, **settings).scores
    )


def test_the_quantile_is_that_of_the_number_of_tasks():
    """With an episode of each task, the two intervals differ by nothing else."""
    result = compare(*PAIRS["given"])
    assert result.task_interval / result.interval == pytest.approx(t.ppf(0.975, 5) / 1.96)
