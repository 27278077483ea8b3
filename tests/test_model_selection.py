"""Few-shot evaluation: whose episodes, which rows, what interval."""

import numpy as np
import pandas as pd
import pytest
from made_tasks import QUICK, episodes_seen_by, flatten, make_tasks, split
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import TAMLClassifier, TMAMLClassifier, evaluate

TASKS = make_tasks(6, labels=("a", "b", "c"), n_rows=36, n_features=4)
GIVEN = [split(task, 12) for task in TASKS]
TRAINED = TMAMLClassifier(**QUICK).fit(TASKS)


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
    assert same([(X, X_query) for X, _, X_query in first], [(X, X_query) for X, X_query, _ in ours])


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
    clf = TMAMLClassifier(**QUICK).fit(FRAMES)
    a, b = evaluate(clf, FRAMES, n_episodes=6), evaluate(TRAINED, TASKS, n_episodes=6)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_frames_for_one_of_scikit_learn():
    pooled = FrozenEstimator(LogisticRegression().fit(*FRAMES[0]))
    assert evaluate(pooled, FRAMES, n_episodes=6).scores.shape == (6,)
