"""What labels 0, 1, 2 of every task are taken for, where nobody says what they mean."""

import numpy as np
import pytest
from scipy import sparse

from skmeta import TaskList, TMAMLClassifier
from skmeta.datasets import make_scanners

START = {"max_iter": 1, "tol": 1e9, "random_state": 0}


def pools(n_tasks=40, shared=0.0, first=0, n_classes=4, seed=0):
    """Tasks of classes that each numbers anew, but for a part of their means that is ``shared``."""
    rng = np.random.default_rng(seed)
    common = shared * rng.normal(size=(n_classes, 5))
    tasks = []
    for _ in range(n_tasks):
        y = np.repeat(np.arange(n_classes), 8)
        means = common + rng.normal(size=(n_classes, 5))
        tasks.append((means[y] + 0.5 * rng.normal(size=(len(y), 5)), y + first))
    return tasks


def found(tasks):
    return TMAMLClassifier(**START).fit(tasks).label_space_


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_that_mean_nothing_are_a_tasks_own(first):
    found_of_seeds = [found(pools(first=first, seed=seed)) for seed in range(6)]
    assert found_of_seeds.count("per_task") >= 4  # of 20 tests, one is passed by chance
    tasks = pools(first=first, seed=found_of_seeds.index("per_task"))
    assert found(TaskList(tasks.__getitem__, range(len(tasks)))) == "per_task"
    assert found([(sparse.csr_array(X), y) for X, y in tasks]) == "per_task"


def test_numbers_that_mean_the_same_are_shared():
    assert found(pools(shared=1.0)) == "shared"


def test_digits_are_shared_though_half_of_the_scanners_invert_them():
    assert found(make_scanners(random_state=0).train) == "shared"


def test_sizes_of_classes_may_be_what_is_shared():
    rng = np.random.default_rng(0)
    tasks = []
    for _ in range(20):
        y = np.concatenate([np.arange(3), rng.choice(3, 37, p=[0.7, 0.2, 0.1])])
        tasks.append((rng.normal(size=(40, 2)), y))
    assert found(tasks) == "shared"


@pytest.mark.parametrize(
    "tasks",
    [
        [(X, np.array(["a", "b", "c", "d"])[y]) for X, y in pools()],
        [(X, 2 * y) for X, y in pools()],
        pools(n_tasks=9),
        pools(n_classes=2),
    ],
    ids=["names", "even numbers", "few tasks", "two classes"],
)
def test_labels_that_occur_again_are_shared_where_they_are_no_numbers_of_a_tasks_own(tasks):
    assert found(tasks) == "shared"


def test_tasks_of_fewer_classes_number_theirs_too():
    tasks = [(X[y < 3], y[y < 3]) if i % 2 else (X, y) for i, (X, y) in enumerate(pools())]
    assert found(tasks) == "per_task"
    assert found([(X[y > 0], y[y > 0]) if i % 2 else (X, y) for i, (X, y) in enumerate(pools())]) == "shared"


def test_weights_count_as_sizes_do():
    rng = np.random.default_rng(1)
    y = np.arange(30) % 3
    tasks = [(rng.normal(size=(30, 2)), y) for _ in range(20)]
    assert found([(X, y, np.array([4.0, 2.0, 1.0])[y]) for X, y in tasks]) == "shared"


def test_many_columns_are_projected():
    rng = np.random.default_rng(0)
    common = rng.normal(size=(3, 400))
    y = np.arange(30) % 3
    assert found([(common[y] + rng.normal(size=(30, 400)), y) for _ in range(12)]) == "shared"


def test_what_is_said_holds():
    model = TMAMLClassifier(label_space="shared", **START).fit(pools())
    assert model.label_space_ == "shared" and model.adapt([], []).classes_.tolist() == [0, 1, 2, 3]
