"""Few-shot evaluation: whose episodes, which rows, what interval."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from made_tasks import QUICK, REGRESSORS, episodes_seen_by, flatten, make_curves, make_tasks, split
from scipy import sparse
from scipy.stats import t
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    max_error,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import (
    FewShotClassifier,
    TAMLClassifier,
    TMAMLClassifier,
    TMAMLRegressor,
    adapt,
    compare,
    evaluate,
)
from skmeta.model_selection.intervals import episode_interval, task_interval
from skmeta.tasks import limits
from skmeta.tasks.scored import draw_scored

TASKS = make_tasks(6, labels=("a", "b", "c"), n_rows=36, n_features=4)
GIVEN = [split(task, 12) for task in TASKS]
TRAINED = TMAMLClassifier(**QUICK).fit(TASKS)
CURVES = make_curves(6)
GIVEN_CURVES = [split(task, 8) for task in CURVES]


class Recorder(ClassifierMixin, BaseEstimator):
    """A baseline that notes its episodes and answers the first class."""

    def __init__(self, seen):
        self.seen = seen

    def __sklearn_clone__(self):
        return Recorder(self.seen)

    def fit(self, X, y):
        self.support, self.classes_ = (X, y), np.unique(y)
        return self

    def predict(self, X):
        self.seen.append((*self.support, X))
        return np.full(len(X), self.classes_[0])


def episodes(**kwargs):
    seen = []
    result = evaluate(Recorder(seen), TASKS, **{"n_episodes": 12} | kwargs)
    return seen, result


def rows_of(X, task):
    """The numbers of rows of a task that are ``X``."""
    same = (task[0][None] == X[:, None]).all(2)
    assert (same.sum(1) == 1).all()
    return same.argmax(1)


def test_an_episode_holds_the_rows_asked_for_and_none_twice():
    seen, result = episodes(n_shot=3, n_query=4)
    assert len(seen) == len(result.scores) == 12
    for i, (X_support, y_support, X_query) in enumerate(seen):
        task = TASKS[i // 2]  # evenly over the tasks, one after another
        support, query = rows_of(X_support, task), rows_of(X_query, task)
        assert sorted(y_support) == sorted(task[1][support]) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
        assert sorted(task[1][query]) == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
        assert len({*support, *query}) == 21
        assert (task[1][support] == y_support).all()
        assert result.scores[i] == pytest.approx(1 / 3)


def test_n_way_draws_classes():
    seen, result = episodes(n_way=2, n_shot=1, n_query=5)
    held = {tuple(np.unique(y)) for _, y, _ in seen}
    assert held == {("a", "b"), ("a", "c"), ("b", "c")}
    assert (result.scores == 0.5).all()


def test_the_same_number_draws_the_same_episodes_whatever_the_model():
    first, second = episodes(random_state=3)[0], episodes(random_state=3)[0]
    other = episodes(random_state=4)[0]

    def same(a, b):
        return all(np.array_equal(p, q) for e, f in zip(a, b, strict=True) for p, q in zip(e, f, strict=True))

    assert same(first, second)
    assert not same(first, other)
    with episodes_seen_by(TRAINED) as ours:
        evaluate(TRAINED, TASKS, n_episodes=12, random_state=3)
    prepared = [[TRAINED._preparation(torch.as_tensor(part)) for part in (X, query)] for X, _, query in first]
    assert same(prepared, [(X, X_query) for X, X_query, _ in ours])


def test_a_fitted_pipeline_is_adapted_and_not_trained_again():
    X, y, groups = flatten(TASKS)
    pipe = make_pipeline(StandardScaler(), TMAMLClassifier(**QUICK)).fit(X, y, tmamlclassifier__groups=groups)
    scaled = [(pipe[0].transform(X), y) for X, y in TASKS]
    by_hand = evaluate(pipe[-1], scaled, n_episodes=8, n_shot=2)
    np.testing.assert_array_equal(evaluate(pipe, TASKS, n_episodes=8, n_shot=2).scores, by_hand.scores)


def test_two_models_can_be_paired():
    """A model and itself differ by nothing; ours and one of scikit-learn are scored on the same rows."""
    settings = {"n_episodes": 18, "n_shot": 2}
    a, again = evaluate(TRAINED, TASKS, **settings), evaluate(TRAINED, TASKS, **settings)
    np.testing.assert_array_equal(a.scores, again.scores)
    b = evaluate(LogisticRegression(), TASKS, **settings)
    assert a.scores.shape == b.scores.shape == (18,)
    assert np.corrcoef(a.scores, b.scores)[0, 1] > 0.3  # easy episodes are easy for both


def test_the_interval_by_hand():
    result = evaluate(LogisticRegression(), TASKS, n_episodes=20, n_shot=1)
    assert result.mean == pytest.approx(sum(result.scores) / 20)
    deviation = np.sqrt(sum((s - result.mean) ** 2 for s in result.scores) / 19)
    assert deviation > 0
    assert result.interval == pytest.approx(1.96 * deviation / np.sqrt(20))


def test_600_episodes_by_default():
    assert evaluate(TRAINED, TASKS, n_shot=1, n_query=1).scores.shape == (600,)


@pytest.mark.parametrize("estimator", [TMAMLClassifier, TAMLClassifier])
def test_ours_are_adapted_to_each_support_set(estimator):
    clf = estimator(**QUICK).fit(TASKS)
    result = evaluate(clf, GIVEN, n_episodes=6)
    by_hand = [clf.adapt(X, y).score(X_query, y_query) for X, y, X_query, y_query in GIVEN]
    np.testing.assert_allclose(result.scores, by_hand)
    before = clf.adapt(*TASKS[0]).predict_proba(TASKS[0][0])
    evaluate(clf, TASKS, n_episodes=6)
    np.testing.assert_array_equal(clf.predict_proba(TASKS[0][0]), before)


@pytest.mark.parametrize(
    "baseline",
    [LogisticRegression(), KNeighborsClassifier(1), make_pipeline(StandardScaler(), LogisticRegression())],
    ids=["linear", "neighbours", "pipeline"],
)
def test_a_baseline_of_scikit_learn_is_fitted_on_each_support_set(baseline):
    result = evaluate(baseline, GIVEN, n_episodes=6)
    by_hand = [baseline.fit(X, y).score(X_query, y_query) for X, y, X_query, y_query in GIVEN]
    np.testing.assert_allclose(result.scores, by_hand)
    assert result.mean > 0.8


def test_a_baseline_is_cloned():
    baseline = LogisticRegression()
    evaluate(baseline, TASKS, n_episodes=6)
    assert not hasattr(baseline, "coef_")


def test_a_frozen_estimator_is_the_pooled_baseline():
    pooled = LogisticRegression(max_iter=1000).fit(
        np.concatenate([X for X, _ in TASKS]), np.concatenate([y for _, y in TASKS])
    )
    coefficients = pooled.coef_.copy()
    result = evaluate(FrozenEstimator(pooled), GIVEN, n_episodes=6)
    np.testing.assert_allclose(result.scores, [pooled.score(X, y) for _, _, X, y in GIVEN])
    np.testing.assert_array_equal(pooled.coef_, coefficients)
    assert result.mean < evaluate(LogisticRegression(), GIVEN, n_episodes=6).mean


def test_an_estimator_of_ours_can_be_frozen_too():
    adapted = TMAMLClassifier(**QUICK).fit(TASKS).adapt(*TASKS[0])
    result = evaluate(FrozenEstimator(adapted), GIVEN, n_episodes=6)
    np.testing.assert_allclose(result.scores, [adapted.score(X, y) for _, _, X, y in GIVEN])


def test_given_episodes_are_used_as_they_are_and_counted_once():
    """The same episode again says nothing new, and would make the interval too narrow."""
    seen = []
    result = evaluate(Recorder(seen), GIVEN, n_episodes=6)
    for (X, y, X_query), given in zip(seen, GIVEN, strict=True):
        np.testing.assert_array_equal(X, given[0])
        np.testing.assert_array_equal(y, given[1])
        np.testing.assert_array_equal(X_query, given[2])
    many = evaluate(TRAINED, GIVEN)
    assert many.scores.shape == result.scores.shape == (6,)
    assert many.interval == evaluate(TRAINED, GIVEN, n_episodes=6).interval


def test_sparse_tasks():
    thin = [(sparse.csr_array(X), y) for X, y in TASKS]
    for model in TRAINED, LogisticRegression():
        a, b = (evaluate(model, tasks, n_episodes=6) for tasks in (TASKS, thin))
        np.testing.assert_allclose(a.scores, b.scores)


FRAMES = [(pd.DataFrame(X, columns=list("wxyz")), y) for X, y in TASKS]


def test_frames_for_ours():
    learner = TMAMLClassifier(**QUICK, head="linear")
    by_name, by_place = clone(learner).fit(FRAMES), clone(learner).fit(TASKS)
    a, b = evaluate(by_name, FRAMES, n_episodes=6), evaluate(by_place, TASKS, n_episodes=6)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_frames_for_one_of_scikit_learn():
    pooled = FrozenEstimator(LogisticRegression().fit(*FRAMES[0]))
    assert evaluate(pooled, FRAMES, n_episodes=6).scores.shape == (6,)


def test_polars_frames_keep_their_names():
    frames = [(pl.DataFrame(X, schema=list("wxyz")), y) for X, y in TASKS]
    learner = TMAMLClassifier(**QUICK, head="linear")
    by_name, by_place = clone(learner).fit(frames), clone(learner).fit(TASKS)
    a, b = evaluate(by_name, frames, n_episodes=6), evaluate(by_place, TASKS, n_episodes=6)
    np.testing.assert_array_equal(a.scores, b.scores)


# ---- regressors

TRAINED_ON_CURVES = [regressor(**QUICK).fit(CURVES) for regressor in REGRESSORS]


def error_of(model, X, y, X_query, y_query):
    """The default score of a regressor on an episode, by hand."""
    return -mean_absolute_error(y_query, model.fit(X, y).predict(X_query))


@pytest.mark.parametrize(
    "baseline",
    [Ridge(), KNeighborsRegressor(1), make_pipeline(StandardScaler(), Ridge())],
    ids=["ridge", "neighbours", "pipeline"],
)
@pytest.mark.parametrize("outputs", [(), (1,), (2,)], ids=str)
def test_a_regressor_of_scikit_learn_by_hand(baseline, outputs):
    given = [split(task, 8) for task in make_curves(6, outputs=outputs)]
    by_hand = [error_of(clone(baseline), *episode) for episode in given]
    np.testing.assert_allclose(evaluate(baseline, given).scores, by_hand)
    assert not hasattr(baseline, "n_features_in_")


@pytest.mark.parametrize("reg", TRAINED_ON_CURVES, ids=lambda reg: type(reg).__name__)
def test_our_regressors_are_adapted_to_each_support_set(reg):
    by_hand = [
        -mean_absolute_error(y_query, adapt(reg, X, y).predict(X_query))
        for X, y, X_query, y_query in GIVEN_CURVES
    ]
    np.testing.assert_allclose(evaluate(reg, GIVEN_CURVES).scores, by_hand, rtol=1e-5)


def test_two_outputs():
    tasks = make_curves(6, outputs=(2,))
    reg = TMAMLRegressor(**QUICK).fit(tasks)
    given = [split(task, 8) for task in tasks]
    by_hand = [
        -np.abs(adapt(reg, X, y).predict(X_query) - y_query).mean() for X, y, X_query, y_query in given
    ]
    np.testing.assert_allclose(evaluate(reg, given).scores, by_hand)


def test_a_pipeline_and_a_search_that_end_in_our_regressor():
    X, y, groups = flatten(CURVES)
    pipe = make_pipeline(StandardScaler(), TMAMLRegressor(**QUICK)).fit(X, y, tmamlregressor__groups=groups)
    search = GridSearchCV(TMAMLRegressor(**QUICK), {"inner_lr": [0.01, 0.1]}, cv=2).fit(CURVES)
    for model, inner, tasks in (
        (pipe, pipe[-1], [(pipe[0].transform(X), y) for X, y in CURVES]),
        (search, search.best_estimator_, CURVES),
    ):
        by_hand = evaluate(inner, tasks, n_episodes=8).scores
        np.testing.assert_allclose(evaluate(model, CURVES, n_episodes=8).scores, by_hand)


def test_a_frozen_regressor_is_the_pooled_baseline():
    X, y, _ = flatten(CURVES)
    pooled = Ridge().fit(X, y)
    by_hand = [
        -mean_absolute_error(y_query, pooled.predict(X_query)) for _, _, X_query, y_query in GIVEN_CURVES
    ]
    np.testing.assert_allclose(evaluate(FrozenEstimator(pooled), GIVEN_CURVES).scores, by_hand)


def test_in_a_regression_rows_are_counted_of_a_task():
    class Counts(Ridge):
        def fit(self, X, y):
            assert X.shape == (7, 3) and y.shape == (7,)
            return super().fit(X, y)

        def predict(self, X):
            assert X.shape == (4, 3)
            return super().predict(X)

    assert evaluate(Counts(), CURVES, n_episodes=12, n_shot=7, n_query=4).scores.shape == (12,)


# ---- metrics


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("balanced_accuracy", balanced_accuracy_score),
        ("f1_macro", lambda y, p: f1_score(y, p, average="macro")),
        ("accuracy", lambda y, p: np.mean(y == p)),
    ],
)
@pytest.mark.parametrize("model", [TRAINED, LogisticRegression()], ids=["ours", "scikit-learn's"])
def test_a_name_of_a_metric_of_classes(model, name, by_hand):
    scores = [evaluate(model, TASKS, n_episodes=12, n_shot=1, metric=m).scores for m in (name, by_hand)]
    np.testing.assert_allclose(*scores)
    assert np.ptp(scores[0]) > 0


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("r2", r2_score),
        ("neg_mean_squared_error", lambda y, p: -mean_squared_error(y, p)),
        ("neg_max_error", lambda y, p: -max_error(y, p)),
        (None, lambda y, p: -mean_absolute_error(y, p)),
    ],
)
@pytest.mark.parametrize("model", [TRAINED_ON_CURVES[0], Ridge()], ids=["ours", "scikit-learn's"])
def test_a_name_of_a_metric_of_values(model, name, by_hand):
    scores = [evaluate(model, CURVES, n_episodes=12, metric=m).scores for m in (name, by_hand)]
    np.testing.assert_allclose(*scores)


def test_a_callable_gets_the_truth_before_the_predictions():
    """Recall of the first class: a model that always answers it has recalled all."""
    recall = evaluate(Recorder([]), TASKS, n_episodes=6, metric=lambda y, p: (p[y == "a"] == "a").mean())
    precision = evaluate(Recorder([]), TASKS, n_episodes=6, metric=lambda y, p: (y[p == "a"] == "a").mean())
    np.testing.assert_array_equal(recall.scores, 1)
    np.testing.assert_allclose(precision.scores, 1 / 3)


@pytest.mark.filterwarnings("ignore:R\\^2 score is not well-defined")
def test_a_metric_that_is_not_defined_is_an_error():
    with pytest.raises(ValueError, match="task 0: metric='r2' is not defined for its 1 query rows"):
        evaluate(Ridge(), CURVES, n_query=1, metric="r2")


ONE_CLASS = [(X[y == label], y[y == label]) for (X, y), label in zip(TASKS, "abcabc", strict=True)]


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("loss", [log_loss, brier_score_loss])
def test_probabilities_are_scored_over_all_classes_whichever_a_task_has(loss, pooled):
    """That a task has one class alone is no proof of a model that knows three, nor an error."""
    model = FrozenEstimator(LogisticRegression().fit(*TASKS[0])) if pooled else TRAINED
    name = {log_loss: "neg_log_loss", brier_score_loss: "neg_brier_score"}[loss]
    drawn = {"n_episodes": 6, "n_shot": 4, "n_query": 15}
    scores = evaluate(model, ONE_CLASS, sampling="natural", metric=name, **drawn).scores
    by_hand = []
    for episode in draw_scored(ONE_CLASS, regression=False, natural=True, own_classes=False, seed=0, **drawn):
        adapted = model if pooled else adapt(model, episode.X_support, episode.y_support)
        by_hand.append(-loss(episode.y_query, adapted.predict_proba(episode.X_query), labels=list("abc")))
    np.testing.assert_allclose(scores, by_hand, rtol=1e-4)
    assert (scores < 0).all()


def test_probabilities_of_tasks_with_unequal_numbers_of_classes_of_their_own():
    tasks = [
        make_tasks(1, labels=[f"{name}{i}" for name in "abcd"[: 2 + i % 3]], seed=i)[0] for i in range(6)
    ]
    model, drawn = TMAMLClassifier(**QUICK).fit(tasks), {"n_shot": 3, "n_query": 4}
    scores = evaluate(model, tasks, n_episodes=6, metric="neg_log_loss", **drawn).scores
    episodes = draw_scored(
        tasks, regression=False, natural=False, own_classes=True, seed=0, n_episodes=6, **drawn
    )
    for score, episode in zip(scores, episodes, strict=True):
        probabilities = adapt(model, episode.X_support, episode.y_support).predict_proba(episode.X_query)
        assert score == pytest.approx(-log_loss(episode.y_query, probabilities), rel=1e-4)


def test_an_error_of_a_callable_is_not_taken_for_another():
    with pytest.raises(AttributeError, match="no_such"):
        evaluate(Ridge(), CURVES, metric=lambda y, p: y.no_such)


# ---- intervals


def test_the_task_of_each_episode():
    result = evaluate(Ridge(), CURVES, n_episodes=8)
    assert result.task.tolist() == [0, 0, 1, 1, 2, 3, 4, 5]
    assert evaluate(Ridge(), GIVEN_CURVES).task.tolist() == [0, 1, 2, 3, 4, 5]


def test_with_as_many_episodes_of_each_task_it_is_the_interval_of_their_means():
    result = evaluate(LogisticRegression(), TASKS, n_episodes=18, n_shot=1)
    means = result.scores.reshape(6, 3).mean(1)
    expected = t.ppf(0.975, 5) * means.std(ddof=1) / np.sqrt(6)
    assert result.task_interval == pytest.approx(expected)
    assert expected > 0


def test_with_one_episode_of_each_task_both_intervals_differ_by_their_quantile_only():
    result = evaluate(LogisticRegression(), GIVEN, n_episodes=6)
    assert result.task_interval / t.ppf(0.975, 5) == pytest.approx(result.interval / 1.96)


def test_one_task_tells_nothing_of_others():
    result = evaluate(LogisticRegression(), TASKS[:1], n_episodes=6, n_shot=1)
    assert result.interval > 0 and np.isnan(result.task_interval)


def test_the_intervals_of_several_rows_of_scores_are_those_of_each():
    rng = np.random.default_rng(0)
    scores, task = rng.normal(size=(3, 8)), np.array([0, 0, 0, 2, 2, 5, 6, 6])
    for interval in episode_interval, lambda s: task_interval(s, task):
        np.testing.assert_allclose(interval(scores), [interval(row) for row in scores])


def test_the_task_interval_holds_the_mean_of_new_tasks_and_the_published_one_does_not():
    """12 tasks whose levels differ by as much as their episodes do, 50 episodes each."""
    rng = np.random.default_rng(0)
    task = np.repeat(np.arange(12), 50)
    scores = rng.normal(size=(2000, 12))[:, task] + rng.normal(size=(2000, 600))
    missed = np.abs(scores.mean(1))
    assert 0.935 < np.mean(missed < task_interval(scores, task)) < 0.965
    assert np.mean(missed < episode_interval(scores)) < 0.5


# ---- memory


@pytest.mark.parametrize(("numbers", "at_once"), [(2**23, 64), (1000, 6), (1, 1)])
def test_episodes_are_held_a_chunk_at_a_time(monkeypatch, numbers, at_once):
    """An episode of 3 * (5 + 7) rows of 4 features has 144 numbers."""
    monkeypatch.setattr(limits, "NUMBERS_AT_ONCE", numbers)
    held, ask = [], TMAMLClassifier.outputs_of_tasks
    monkeypatch.setattr(
        TMAMLClassifier,
        "outputs_of_tasks",
        lambda self, names, *args: held.append(len(names)) or ask(self, names, *args),
    )
    parts = evaluate(TRAINED, TASKS, n_episodes=130, n_query=7).scores
    assert sum(held) == 130 and set(held[:-1]) <= {at_once} and held[-1] <= at_once
    monkeypatch.undo()
    np.testing.assert_array_equal(parts, evaluate(TRAINED, TASKS, n_episodes=130, n_query=7).scores)


# ---- what ends in one of ours


def test_a_pipeline_that_ends_in_a_prior_is_fitted_on_each_support_set():
    model = make_pipeline(StandardScaler(), FewShotClassifier(TRAINED))
    by_hand = [clone(model).fit(*task[:2]).score(*task[2:]) for task in GIVEN]
    np.testing.assert_array_equal(evaluate(model, GIVEN).scores, by_hand)


def test_a_pipeline_that_ends_in_a_frozen_estimator_is_adapted():
    scaler = StandardScaler().fit(np.concatenate([X for X, _ in TASKS]))
    scaled = [(scaler.transform(X), y) for X, y in TASKS]
    clf = TMAMLClassifier(**QUICK).fit(scaled)
    frozen = make_pipeline(FrozenEstimator(scaler), FrozenEstimator(clf))
    by_hand = evaluate(clf, scaled, n_episodes=6, n_shot=3).scores
    np.testing.assert_array_equal(evaluate(frozen, TASKS, n_episodes=6, n_shot=3).scores, by_hand)


def test_models_that_are_compared_meet_the_same_tasks():
    """One needs two classes, so a task of one class is for neither."""
    X, y = TASKS[0]
    tasks = [*TASKS[1:4], (X[y == "a"], y[y == "a"])]
    shared = TMAMLClassifier(**QUICK, label_space="shared").fit(TASKS)
    assert set(evaluate(shared, tasks, n_episodes=8, n_shot=2).task) == {0, 1, 2, 3}
    with pytest.warns(UserWarning, match="left out: task 3 has only the class 'a'"):
        result = compare(shared, LogisticRegression(), tasks, n_episodes=8, n_shot=2)
    assert set(result.a.task) == set(result.b.task) == {0, 1, 2}
