"""That meta-training helps: margins on tasks that were not seen, over two seeds."""

import numpy as np
import pytest
from made_tasks import ESTIMATORS
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from skmeta import evaluate

SEEDS = [0, 1]


def make_directions(n_tasks, seed, *, n_features=16, n_rows=60):
    """Two classes on either side of a plane of each task's own, whose normal lies in a shared plane.

    Two of the 16 directions matter, in all tasks the same two. Who knows them needs few rows.
    """
    plane = np.linalg.qr(np.random.default_rng(99).normal(size=(n_features, 2)))[0]
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.normal(size=(n_rows, n_features))
        tasks.append((X, np.where(X @ plane @ rng.normal(size=2) > 0, "over", "under")))
    return tasks


def make_classes(n_classes, seed, *, n_features=20, n_rows=20):
    """Classes that differ in 3 of 20 directions; the others are noise."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), n_rows)
    X = 2 * rng.normal(size=(len(y), n_features))
    X[:, :3] = 3 * rng.normal(size=(n_classes, 3))[y] + 0.5 * rng.normal(size=(len(y), 3))
    return X, y


def tell(title, **scores):
    """Print each seed's scores and their spread."""
    for name, values in scores.items():
        print(f"{title}, {name}: {np.round(values, 3)}, spread {np.ptp(values):.3f}")


def scores_of_seeds(run):
    """``run(seed)`` gives a dict of scores: transposed to a dict of arrays, a score for each seed."""
    runs = [run(seed) for seed in SEEDS]
    return {name: np.array([r[name] for r in runs]) for name in runs[0]}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_shared_labels(estimator):
    def run(seed):
        settings = {"hidden_layer_sizes": (32,), "early_stopping": False}
        clf = estimator(**settings, max_iter=150, random_state=seed)
        tasks = make_directions(60, seed)
        clf.fit(tasks)
        pooled = LogisticRegression().fit(*map(np.concatenate, zip(*tasks, strict=True)))
        new, shape = make_directions(40, 100 + seed), {"n_episodes": 80, "n_shot": 5}
        return {
            "adapted": evaluate(clf, new, **shape).mean,
            "local": evaluate(LogisticRegression(), new, **shape).mean,
            "pooled": evaluate(FrozenEstimator(pooled), new, **shape).mean,
        }

    scores = scores_of_seeds(run)
    tell(f"{estimator.__name__}, shared labels", **scores)
    assert (scores["adapted"] > scores["local"] + 0.1).all()
    # One model for all of these tasks is no better than chance.
    assert (scores["adapted"] > scores["pooled"] + 0.25).all()
    assert np.ptp(scores["adapted"]) < 0.1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_new_classes(estimator):
    def run(seed):
        clf = estimator(hidden_layer_sizes=(32,), n_way=5, n_shot=1, max_iter=80, random_state=seed)
        clf.fit(*make_classes(60, seed))
        new, shape = [make_classes(30, 100 + seed)], {"n_episodes": 100, "n_way": 5, "n_shot": 1}
        return {
            "adapted": evaluate(clf, new, **shape).mean,
            "local": evaluate(LogisticRegression(), new, **shape).mean,
            "neighbours": evaluate(KNeighborsClassifier(1), new, **shape).mean,
        }

    scores = scores_of_seeds(run)
    tell(f"{estimator.__name__}, new classes", **scores)
    for baseline in "local", "neighbours":
        assert (scores["adapted"] > scores[baseline] + 0.2).all()
    assert np.ptp(scores["adapted"]) < 0.1
