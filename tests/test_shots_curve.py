"""Scores against the number of support rows: which rows, the same points as evaluate, and the plot."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_tasks import QUICK, make_curves, make_tasks, split
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.neighbors import KNeighborsClassifier

from skmeta import TAMLClassifier, TMAMLClassifier, TMAMLRegressor, evaluate, shots_curve

matplotlib.use("Agg")

TASKS = make_tasks(4, labels=("a", "b", "c"), n_rows=36, n_features=4)
CURVES = make_curves(4)
GIVEN = [split(task, 30) for task in TASKS]
TRAINED = TMAMLClassifier(**QUICK).fit(TASKS)
MODELS = {"ours": TRAINED, "linear": LogisticRegression()}
SHOTS = (1, 3, 6)
SETTINGS = {"n_episodes": 8, "n_query": 4, "random_state": 2}


class Recorder(BaseEstimator):
    """Notes its episodes."""

    def __init__(self, seen):
        self.seen = seen

    def __sklearn_clone__(self):
        return type(self)(self.seen)

    def fit(self, X, y):
        self.support = X, y
        return self

    def predict(self, X):
        self.seen.append((*self.support, X))
        return np.full(len(X), self.support[1][0])


class RecordingClassifier(ClassifierMixin, Recorder):
    @property
    def classes_(self):
        return np.unique(self.support[1])


class RecordingRegressor(RegressorMixin, Recorder):
    pass


def recorded(recorder, tasks, **kwargs):
    """Episodes ``(X, y, X_query)``, a list for each point of the curve."""
    seen = []
    shots_curve(recorder(seen), tasks, n_shots=SHOTS, **SETTINGS | kwargs)
    n_episodes = len(seen) // len(SHOTS)
    return [seen[i * n_episodes : (i + 1) * n_episodes] for i in range(len(SHOTS))]


def rows(X):
    return set(map(bytes, X))


@pytest.mark.parametrize(
    ("recorder", "tasks"),
    [(RecordingClassifier, TASKS), (RecordingClassifier, GIVEN), (RecordingRegressor, CURVES)],
    ids=["drawn", "given", "regression"],
)
def test_query_sets_stay_and_support_sets_grow(recorder, tasks):
    for episodes in zip(*recorded(recorder, tasks), strict=True):
        before = set()
        for n_shot, (X, y, X_query) in zip(SHOTS, episodes, strict=True):
            np.testing.assert_array_equal(X_query, episodes[0][2])
            assert before < rows(X) and not rows(X) & rows(X_query)
            before = rows(X)
            counts = np.unique(y, return_counts=True)[1] if recorder is RecordingClassifier else [len(y)]
            assert set(counts) == {n_shot}


def test_of_given_support_sets_the_first_rows_are_taken():
    for episode, (X, y, _, _) in zip(recorded(RecordingClassifier, GIVEN)[0], GIVEN, strict=True):
        first = sorted(np.flatnonzero(y == label)[0] for label in "abc")
        np.testing.assert_array_equal(episode[0], X[first])
        np.testing.assert_array_equal(episode[1], y[first])


@pytest.mark.parametrize("metric", [None, "f1_macro"])
def test_the_last_point_is_that_of_evaluate(metric):
    curve = shots_curve(MODELS, TASKS, n_shots=SHOTS, metric=metric, **SETTINGS)
    assert list(curve.results) == ["ours", "linear"]
    for name, model in MODELS.items():
        expected = evaluate(model, TASKS, n_shot=6, metric=metric, **SETTINGS)
        for key in "scores", "mean", "interval", "task_interval":
            np.testing.assert_allclose(curve.results[name][key][-1], expected[key])
        np.testing.assert_array_equal(curve.results[name].task, expected.task)


@pytest.mark.parametrize("model", [TRAINED, LogisticRegression()], ids=["ours", "scikit-learn's"])
def test_the_first_points_are_those_of_smaller_support_sets(model):
    """Of given episodes with equal support sets, cut by hand."""
    curve = shots_curve(model, GIVEN, n_shots=(2, 5), **SETTINGS)
    (result,) = curve.results.values()
    for point, n_shot in enumerate((2, 5)):
        cut = []
        for X, y, X_query, y_query in GIVEN:
            kept = np.concatenate([np.flatnonzero(y == label)[:n_shot] for label in "abc"])
            kept.sort()
            cut.append((X[kept], y[kept], X_query, y_query))
        np.testing.assert_allclose(result.scores[point], evaluate(model, cut).scores)


def test_regressors_by_hand():
    models = {"ridge": Ridge(), "ours": TMAMLRegressor(**QUICK).fit(CURVES)}
    given = [split(task, 8) for task in CURVES]
    curve = shots_curve(models, given, n_shots=(3, 8))
    expected = [
        [-mean_absolute_error(y_q, Ridge().fit(X[:n], y[:n]).predict(X_q)) for X, y, X_q, y_q in given]
        for n in (3, 8)
    ]
    np.testing.assert_allclose(curve.results["ridge"].scores, expected)
    np.testing.assert_allclose(curve.results["ours"].scores[1], evaluate(models["ours"], given).scores)
    assert curve.metric == "neg_mean_absolute_error"


def test_more_rows_help():
    noisy = make_tasks(10, labels=("a", "b", "c"), n_rows=90, n_features=4, spread=3.0)
    curve = shots_curve(KNeighborsClassifier(1), noisy, n_episodes=100)
    (result,) = curve.results.values()
    assert curve.n_shots.tolist() == [1, 2, 5, 10]
    assert (np.diff(result.mean) > 0).all()


@pytest.mark.parametrize(
    "n_shots", [[6, 1, 3], np.array([1, 3, 6]), (3, 1, 6, 6)], ids=["list", "array", "twice"]
)
def test_the_numbers_in_order(n_shots):
    a, b = (shots_curve(LogisticRegression(), TASKS, n_shots=n, **SETTINGS) for n in (SHOTS, n_shots))
    assert b.n_shots.tolist() == [1, 3, 6]
    np.testing.assert_array_equal(
        a.results["LogisticRegression"].scores, b.results["LogisticRegression"].scores
    )


def test_as_many_rows_as_there_are_but_one():
    """Twelve rows of each class: eleven support rows leave one for the query set."""
    (result,) = shots_curve(LogisticRegression(), TASKS, n_shots=[11], **SETTINGS).results.values()
    assert set(result.scores.ravel()) <= {0, 1 / 3, 2 / 3, 1}
    with pytest.raises(
        ValueError, match="task 0, class 'a' has 12 rows; n_shots up to 12 need 13 or more, one"
    ):
        shots_curve(LogisticRegression(), TASKS, n_shots=[12], **SETTINGS)


# ---- the plot


def test_the_plot_shows_the_means_and_their_intervals_over_tasks():
    models = {"TMAML": TRAINED, "TAML": TAMLClassifier(**QUICK).fit(TASKS)}
    curve = shots_curve(models, TASKS, n_shots=SHOTS, **SETTINGS)
    assert curve.plot() is curve
    assert curve.figure_ is curve.ax_.figure
    assert [text.get_text() for text in curve.ax_.get_legend().get_texts()] == ["TMAML", "TAML"]
    assert (curve.ax_.get_xlabel(), curve.ax_.get_ylabel()) == ("n_shot", "accuracy")
    assert curve.ax_.get_xticks().tolist() == list(SHOTS)
    for drawn, result in zip(curve.ax_.containers, curve.results.values(), strict=True):
        line, _, (bars,) = drawn
        np.testing.assert_array_equal(line.get_xydata(), np.c_[SHOTS, result.mean])
        ends = np.array(bars.get_segments())[:, :, 1]
        np.testing.assert_allclose(np.diff(ends)[:, 0] / 2, result.task_interval)


def test_the_plot_of_one_task_shows_the_intervals_over_episodes():
    curve = shots_curve(LogisticRegression(), TASKS[:1], n_shots=SHOTS, **SETTINGS)
    _, ax = plt.subplots()
    assert curve.plot(ax).ax_ is ax
    ((_, _, (bars,)),) = ax.containers
    ends = np.array(bars.get_segments())[:, :, 1]
    np.testing.assert_allclose(np.diff(ends)[:, 0] / 2, curve.results["LogisticRegression"].interval)
