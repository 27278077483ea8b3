"""Lists of tasks that are loaded as they are used: like a list, but held in memory a few at a time."""

import os
import pickle
import re
import subprocess
import sys
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import ESTIMATORS, LEARNING, REGRESSORS, make_curves, make_tasks, split
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, train_test_split

from skmeta import TaskList, TMAMLClassifier, TMAMLRegressor, compare, evaluate, few_shot_scorer

TASKS = make_tasks(9)
NAMES = list("abcdefghi")
BY_NAME = dict(zip(NAMES, TASKS, strict=True))


class Loader:
    """Gives copies of the tasks by letter, and notes which were asked for and how many lived at once."""

    def __init__(self, tasks=TASKS):
        self.tasks, self.asked, self.references, self.most_alive = tasks, [], [], 0

    def __call__(self, name):
        X, *rest = self.tasks[NAMES.index(name)]
        X = X.copy()
        self.asked.append(name)
        self.references.append(weakref.ref(X))
        self.most_alive = max(self.most_alive, self.n_alive())
        return X, *rest

    def n_alive(self):
        return sum(reference() is not None for reference in self.references)


def of_letter(name):
    return BY_NAME[name]


def lazy(tasks=TASKS, loader=None):
    return TaskList(loader or Loader(tasks), NAMES[: len(tasks)])


def assert_same_params(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(p, b[name]) for name, p in a.items())


# ---- a sequence


def test_it_is_as_long_as_its_ids_and_loads_by_number():
    loader = Loader()
    tasks = lazy(loader=loader)
    assert len(tasks) == 9 and tasks.shape == (9,) and loader.asked == []
    for i in 0, 4, -1, -9, np.int64(2), np.uint8(3):
        X, y = tasks[i]
        np.testing.assert_array_equal(X, TASKS[i][0])
        np.testing.assert_array_equal(y, TASKS[i][1])
    assert "".join(loader.asked) == "aeiacd"


MASK = np.arange(9) % 3 == 0


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (slice(2, 4), "cd"),
        (slice(None, None, -4), "iea"),
        (slice(20, 30), ""),
        (MASK, "adg"),
        (MASK.tolist(), "adg"),
        (np.array([3, -1, 3]), "did"),
        ([3, -1, 3], "did"),
        ([], ""),
        ((np.array([1]), ...), "b"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_a_part_is_a_list_that_has_loaded_nothing(index, names, kind):
    loader = Loader()
    part = TaskList(loader, kind(NAMES))[index]
    assert isinstance(part, TaskList) and "".join(part.ids) == names and len(part) == len(names)
    assert loader.asked == []
    assert [y.tolist() for _, y in part] == [BY_NAME[name][1].tolist() for name in names]
    assert "".join(loader.asked) == names


def test_iteration_loads_one_after_the_other():
    loader = Loader()
    for i, (X, _) in enumerate(lazy(loader=loader)):
        assert loader.asked == NAMES[: i + 1]
        np.testing.assert_array_equal(X, TASKS[i][0])
    del X
    assert loader.n_alive() == 0 and loader.most_alive == 2  # the loop's own, and the next
    assert [y.tolist() for _, y in reversed(lazy())] == [y.tolist() for _, y in TASKS[::-1]]


def test_a_pickle_holds_the_ids_and_not_the_tasks():
    tasks = TaskList(of_letter, NAMES)
    dumped = pickle.dumps(tasks[3:])
    assert len(dumped) < 300
    again = pickle.loads(dumped)
    assert again.ids == NAMES[3:]
    np.testing.assert_array_equal(again[0][0], TASKS[3][0])
    assert repr(again).endswith("<6 ids>)")


# ---- what is wrong is named


@pytest.mark.parametrize("load", [None, TASKS, "file"], ids=["None", "list", "str"])
def test_load_must_be_callable(load):
    with pytest.raises(TypeError, match="load must be a callable that takes an id"):
        TaskList(load, NAMES)


@pytest.mark.parametrize("index", [9, -10, [0, 9], [True] * 8])
def test_there_are_no_tasks_beyond_the_ids(index):
    with pytest.raises(IndexError):
        lazy()[index]


def test_a_task_must_be_a_tuple():
    tasks = TaskList(lambda name: list(BY_NAME[name]), NAMES)
    for use in (lambda: tasks[1], lambda: TMAMLClassifier(**LEARNING).fit(tasks[1:])):
        with pytest.raises(TypeError, match=r"load must return a tuple.*'b' it returned list"):
            use()


def changed(name, X, y):
    return lambda asked: (X, y) if asked == name else BY_NAME[asked]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ((TASKS[2][0][:, :2], TASKS[2][1]), "task 'c' has 2 features, the tasks before it 3"),
        ((np.maximum(TASKS[2][0], [[np.inf, 0, 0]]), TASKS[2][1]), "task 'c': Input X contains infinity"),
        ((TASKS[2][0][:5], TASKS[2][1]), "task 'c': Found input variables with inconsistent numbers"),
    ],
)
def test_fit_names_a_bad_task(task, message):
    clf = TMAMLClassifier(**LEARNING)
    with pytest.raises(ValueError, match=message):
        clf.fit(TaskList(changed("c", *task), NAMES))
    assert not hasattr(clf, "net_")


def test_a_task_must_stay_the_same():
    loader = Loader()

    def shrinking(name):
        X, y = loader(name)
        n_rows = 24 if len(loader.asked) <= 9 else 20
        return X[:n_rows], y[:n_rows]

    with pytest.raises(ValueError, match=r"task '\w' had 24 rows when it was read first, and now 20"):
        TMAMLClassifier(**LEARNING).fit(TaskList(shrinking, NAMES))


def test_no_tasks():
    with pytest.raises(ValueError, match="X is an empty list of tasks"):
        TMAMLClassifier(**LEARNING).fit(lazy()[:0])
    with pytest.raises(ValueError, match=re.escape("y must be None; got an array of shape (9,)")):
        TMAMLClassifier(**LEARNING).fit(lazy(), np.zeros(9))


# ---- scikit-learn's splits


def test_splits_load_nothing():
    loader = Loader()
    tasks = lazy(loader=loader)
    for train, test in KFold(3, shuffle=True, random_state=0).split(tasks):
        assert len(tasks[train]) == 6 and len(tasks[test]) == 3
    train, test = train_test_split(tasks, test_size=3, random_state=0)
    assert isinstance(train, TaskList) and sorted([*train.ids, *test.ids]) == NAMES
    assert loader.asked == []


class Asks(BaseEstimator):
    """Loads nothing itself: notes the ids that it is fitted and scored on, and what was loaded until then."""

    seen = []  # noqa: RUF012

    def fit(self, X, y=None):
        self.seen.append((X.ids, list(X.load.asked)))
        return self

    def score(self, X, y=None):
        self.seen.append((X.ids, list(X.load.asked)))
        return 0.0


def test_cross_validation_loads_nothing_beforehand():
    Asks.seen.clear()
    cross_val_score(Asks(), lazy(), cv=KFold(3), error_score="raise")
    assert ["".join(ids) for ids, _ in Asks.seen] == ["defghi", "abc", "abcghi", "def", "abcdef", "ghi"]
    assert all(loaded == [] for _, loaded in Asks.seen)


@pytest.mark.parametrize("scoring", [None, few_shot_scorer(n_shot=3)], ids=["score", "few_shot_scorer"])
def test_searches_give_what_they_give_for_a_list(scoring):
    def search(tasks):
        return GridSearchCV(
            TMAMLClassifier(**LEARNING), {"inner_lr": [0.01, 0.3]}, cv=3, scoring=scoring
        ).fit(tasks)

    a, b = search(TASKS), search(lazy())
    np.testing.assert_array_equal(a.cv_results_["mean_test_score"], b.cv_results_["mean_test_score"])
    assert_same_params(a.best_estimator_.meta_params_, b.best_estimator_.meta_params_)


# ---- the same model as a list


def forms(tasks):
    given = [split(task, 8 + i) for i, task in enumerate(tasks)]
    ragged = [(X[: 12 + i], y[: 12 + i]) for i, (X, y) in enumerate(tasks)]
    thin = [(sparse.csr_array(np.where(X > 0, X, 0)), y) for X, y in tasks]
    return {"even": tasks, "ragged": ragged, "given": given, "sparse": thin}


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("form", ["even", "ragged", "given", "sparse"])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])
def test_it_gives_the_model_of_a_list(estimator, form, early_stopping):
    tasks = forms(make_curves(9) if estimator in REGRESSORS else TASKS)[form]
    settings = LEARNING | {"early_stopping": early_stopping}
    a, b = estimator(**settings).fit(tasks), estimator(**settings).fit(lazy(tasks))
    assert_same_params(a.meta_params_, b.meta_params_)
    assert a.loss_curve_ == b.loss_curve_ and a.validation_scores_ == b.validation_scores_
    assert a.n_tasks_ == b.n_tasks_ == 9
    X = tasks[1][0]
    a.adapt(*tasks[0][:2])
    b.adapt(*lazy(tasks)[0][:2])
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    assert a.score(tasks) == b.score(lazy(tasks))


def test_a_warm_start_and_evaluate_give_what_they_give_for_a_list():
    a, b = (TMAMLClassifier(**LEARNING, warm_start=True).fit(t).fit(t) for t in (TASKS, lazy()))
    assert_same_params(a.meta_params_, b.meta_params_)
    for tasks in TASKS, forms(TASKS)["given"]:
        scores = [evaluate(a, t, n_episodes=20).scores for t in (tasks, lazy(tasks))]
        np.testing.assert_array_equal(*scores)
        assert np.ptp(scores[0]) > 0


# ---- what is held


@pytest.mark.parametrize("estimator", [TMAMLClassifier, TMAMLRegressor])
def test_no_more_than_a_meta_batch_is_held(estimator):
    loader = Loader(TASKS if estimator is TMAMLClassifier else make_curves(9))
    estimator(**LEARNING | {"meta_batch_size": 3, "max_iter": 30}).fit(lazy(loader=loader))
    assert len(loader.asked) > 9 + 30
    assert loader.most_alive <= 3
    assert loader.n_alive() == 0
    list_of = [loader(name) for name in NAMES]
    assert loader.n_alive() == len(list_of) == 9  # the loader sees what is held


@pytest.mark.parametrize("form", ["even", "given"])
@pytest.mark.parametrize("estimator", [TMAMLClassifier, TMAMLRegressor])
def test_an_evaluation_loads_each_task_once_to_check_it_and_once_for_each_model(estimator, form):
    tasks = TASKS if estimator is TMAMLClassifier else make_curves(9)
    model = estimator(**LEARNING).fit(tasks)
    loader = Loader(forms(tasks)[form])
    result = compare(model, model, lazy(loader=loader), n_episodes=90)
    assert "".join(loader.asked) == 3 * "".join(NAMES)
    assert loader.most_alive <= 2 and loader.n_alive() == 0
    assert len(result.differences) == (90 if form == "even" else 9)


FIT = r"""
import re, sys
from pathlib import Path
import numpy as np, torch
from skmeta import TaskList, TMAMLClassifier, TMAMLRegressor
from skmeta.core import mixed_model
from skmeta.engine import start
from skmeta.estimators import training

torch.set_num_threads(1)
start.N_STEPS = mixed_model.STEPS_WITH_FEATURES = 1
training.VALIDATION_EPISODES = 16, 16
folder, n_tasks = Path(sys.argv[1]), int(sys.argv[2])

def load(i):
    return np.load(folder / f"{i % 10}.npy"), np.arange(32) % 2

def peak():  # getrusage would count what the process had before it became this one: all tests' memory
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])

def fit(tasks):
    for estimator in TMAMLClassifier, TMAMLRegressor:
        estimator(hidden_layer_sizes=(8,), max_iter=5, early_stopping=True, device="cpu").fit(tasks)

tasks = TaskList(load, range(n_tasks))
fit(tasks[:40])
peaks = [peak()]
fit(tasks)
peaks.append(peak())
fit(list(tasks))
peaks.append(peak())
print(*peaks)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_tasks(tmp_path):
    n_tasks, shape = 2000, (32, 512)
    rng = np.random.default_rng(0)
    for i in range(10):
        np.save(tmp_path / f"{i}.npy", rng.normal(size=shape).astype(np.float32))
    done = subprocess.run(
        [sys.executable, "-c", FIT, str(tmp_path), str(n_tasks)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    few, lazily, listed = map(int, done.stdout.split())
    total = n_tasks * int(np.prod(shape)) * 4
    assert lazily - few < total / 4, f"{(lazily - few) / 1e6:.0f} of {total / 1e6:.0f} MB"
    assert listed - lazily > total  # the measure sees a list


def test_ids_of_a_series_are_taken_in_order_whatever_its_index():
    tasks = TaskList(BY_NAME.__getitem__, pd.Series(NAMES, index=range(len(NAMES))[::-1]))
    assert [id(task[0]) for task in tasks] == [id(BY_NAME[name][0]) for name in NAMES]
    assert len(tasks[2:5]) == 3
