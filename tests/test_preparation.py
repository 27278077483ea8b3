"""Preparation of rows: standardised in double precision for the default network, as passed for any other."""

import warnings
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch
from made_tasks import QUICK, make_lines, make_tasks
from scipy import sparse

from skmeta import TaskList, TMAMLClassifier, TMAMLRegressor
from skmeta.tasks import limits
from skmeta.tasks.preparation import LARGEST, Preparation, check_cast, standardizing
from skmeta.tasks.rows import Tasks


def tasks_of(*parts):
    X = sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)
    task = np.repeat(np.arange(len(parts)), [p.shape[0] for p in parts])
    return Tasks(X, np.zeros(len(task)), task, [f"task {i}" for i in range(len(parts))])


def every_row(tasks):
    return np.arange(len(tasks.task))


def test_mean_and_scale_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    parts = [rng.normal(i, 1 + i, size=(3 + i, 4)) for i in range(5)]
    tasks = tasks_of(*parts)
    preparation = standardizing(tasks, every_row(tasks), torch.float32)
    np.testing.assert_allclose(preparation.mean, tasks.X.mean(0))
    np.testing.assert_allclose(preparation.scale, tasks.X.std(0))
    expected = ((tasks.X - tasks.X.mean(0)) / tasks.X.std(0)).clip(-LARGEST, LARGEST)
    np.testing.assert_allclose(preparation(torch.tensor(tasks.X)), expected, rtol=1e-6, atol=1e-6)


def test_only_the_rows_asked_for_are_looked_at():
    tasks = tasks_of(np.zeros((4, 1)), np.arange(4.0)[:, None], np.full((4, 1), 1e9))
    preparation = standardizing(tasks, np.arange(8), torch.float32)
    assert preparation.mean.item() == pytest.approx(0.75)


def test_sparse_rows_are_scaled_only():
    dense = np.array([[0, 3.0], [0, 0], [4, 0], [0, 1]])
    tasks = tasks_of(sparse.csr_matrix(dense[:2]), sparse.csr_matrix(dense[2:]))
    preparation = standardizing(tasks, every_row(tasks), torch.float32)
    assert preparation.mean.tolist() == [0, 0]
    np.testing.assert_allclose(preparation.scale, dense.std(0))


def test_unit_length_is_that_of_rows_less_the_mean():
    mean = torch.tensor([1.0, 2.0, 3.0]).double()
    preparation = Preparation(torch.float64, mean, torch.ones(3).double(), unit_length=True)
    rows = preparation(torch.tensor([[1.0, 2.0, 3.0], [1.0, 7.0, 3.0], [1001.0, 2.0, 3.0]]))
    torch.testing.assert_close(rows, torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 0]]).double() * 3**0.5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_a_constant_feature_stays_one(dtype):
    X = np.full((6, 2), 1_000_003, dtype=dtype)
    X[:, 1] = np.arange(6)
    tasks = tasks_of(X[:3], X[3:])
    assert standardizing(tasks, every_row(tasks), torch.float32).scale[0] == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_unix_time_over_an_hour_is_not_constant(dtype):
    X = (1.7e9 + np.linspace(0, 3600, 30)[:, None]).astype(dtype)
    tasks = tasks_of(X[:10], X[10:])
    scale = standardizing(tasks, every_row(tasks), torch.float32).scale.item()
    assert scale == pytest.approx(X.std(dtype=np.float64))


def test_few_tasks_of_many_are_looked_at(monkeypatch):
    monkeypatch.setattr(limits, "TASKS_LOOKED_AT", 2)
    tasks = tasks_of(*(np.full((2, 1), float(i)) for i in (1, 50, 3)))
    assert standardizing(tasks, every_row(tasks), torch.float32).mean.item() == 2


# ---- estimators

OFFSETS = {"offset": lambda X: X + 2.0**31, "unit": lambda X: X * 1e6, "tiny": lambda X: X * 1e-9}


@pytest.mark.parametrize("change", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize(("estimator", "make"), [(TMAMLClassifier, make_tasks), (TMAMLRegressor, make_lines)])
def test_offset_and_unit_of_a_column_change_nothing(estimator, make, change):
    tasks = [(np.float64(X), y) for X, y in make(8)]
    moved = [(np.column_stack([change(X[:, 0]), X[:, 1:]]), y) for X, y in tasks]
    plain, other = (estimator(**QUICK).fit(part[:6]) for part in (tasks, moved))
    answers = [m.adapt(*t[7]) and m._outputs(t[7][0]) for m, t in ((plain, tasks), (other, moved))]
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(("estimator", "make"), [(TMAMLClassifier, make_tasks), (TMAMLRegressor, make_lines)])
def test_held_out_tasks_reach_no_statistic(estimator, make, early_stopping):
    """What is held out may be a million times larger: nothing of training moves."""
    settings = QUICK | {"early_stopping": early_stopping, "validation_fraction": 0.25, "max_iter": 2}
    tasks = make(8)
    model = estimator(**settings).fit(tasks)
    held = held_out(model, tasks)
    assert len(held) == 2 * early_stopping
    changed = [
        (X * 1e6, y if make is make_tasks else y * 1e6) if i in held else (X, y)
        for i, (X, y) in enumerate(tasks)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = estimator(**settings).fit(changed)
    torch.testing.assert_close(model._preparation.mean, other._preparation.mean, rtol=0, atol=0)
    torch.testing.assert_close(model._preparation.scale, other._preparation.scale, rtol=0, atol=0)
    assert model.loss_curve_ == other.loss_curve_
    if make is make_lines:
        pairs = zip(model._labels.scaler.level, other._labels.scaler.level, strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def held_out(model, tasks):
    """Numbers of the tasks whose rows were not looked at: the mean is that of the others."""
    n = len(tasks)

    for k in (0, 2):
        for out in combinations(range(n), k):
            mean = np.concatenate([X for i, (X, _) in enumerate(tasks) if i not in out]).mean(
                0, dtype=np.float64
            )
            if np.allclose(mean, model._preparation.mean, rtol=1e-9, atol=1e-12):
                return out
    raise AssertionError("the mean is of no set of tasks")


# ---- a module of the user's


def test_a_cast_that_makes_values_equal_is_told():
    times = 1.7e9 + np.arange(100.0)[:, None]
    tasks = tasks_of(np.hstack([np.arange(100.0)[:, None], times]))
    with pytest.warns(UserWarning, match=r"values of column 1 equal: 100 become 2"):
        check_cast(tasks, every_row(tasks), torch.float32)


@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_ids_beyond_what_the_cast_can_tell_apart_are_told(kind):
    """Also a few among many, and integers into a layer that wants floats."""
    ids = np.r_[np.arange(950), 2**24 + np.arange(50)][:, None].astype(kind)
    tasks = [(np.hstack([ids, ids % 7]), np.arange(1000) % 2)] * 4
    with pytest.warns(UserWarning, match="column 0 equal: 1000 become 975"):
        TMAMLClassifier(torch.nn.Linear(2, 3), **QUICK | {"max_iter": 1}).fit(tasks[:1])


def test_integers_in_some_tasks_are_floats_in_all_of_a_list_and_a_task_list():
    tasks = [(np.int64(X) if i % 2 == 0 else np.float64(X), y) for i, (X, y) in enumerate(make_tasks(6))]
    make = partial(torch.nn.Linear, 3, 4)
    a = TMAMLClassifier(make, **QUICK).fit(tasks)
    b = TMAMLClassifier(make, **QUICK).fit(TaskList(tasks.__getitem__, range(6)))
    assert a.loss_curve_ == b.loss_curve_


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("X", "dtype"),
    [
        (np.random.default_rng(0).normal(size=(1000, 3)), torch.float32),
        (1.7e9 + np.arange(100.0)[:, None], torch.float64),
        (np.float32(1.7e9 + np.arange(100.0)[:, None]), torch.float32),
    ],
    ids=["fine", "double module", "float32"],
)
def test_a_cast_that_does_not_is_not(X, dtype):
    tasks = tasks_of(X)
    check_cast(tasks, every_row(tasks), dtype)


def test_a_number_beyond_the_modules_type_is_an_error():
    tasks = tasks_of(np.array([[1.0], [1e300]]))
    with pytest.raises(ValueError, match="too large for dtype"):
        check_cast(tasks, every_row(tasks), torch.float32)


class Noting(torch.nn.Linear):
    """Notes the types of the rows that it sees."""

    seen: list

    def __init__(self, in_features):
        super().__init__(in_features, 4)
        type(self).seen = []

    def forward(self, x):
        self.seen.append((x.dtype, x.max().item()))
        return super().forward(x.to(self.weight.dtype))


def test_integers_arrive_whole():
    tasks = [(np.int64(X * 10) + 2**24 + 1, y) for X, y in make_tasks(4)]
    clf = TMAMLClassifier(Noting, **QUICK | {"hidden_layer_sizes": ()}).fit(tasks)
    clf.adapt(*tasks[0])
    Noting.seen.clear()
    clf.predict(tasks[0][0])
    assert Noting.seen == [(torch.int64, tasks[0][0].max())]
    with pytest.raises(ValueError, match="X has floats, but fit had integers"):
        clf.predict(tasks[0][0] + 0.5)


def test_floats_arrive_in_the_modules_own_type():
    tasks = [(np.float64(X), y) for X, y in make_tasks(4)]
    double = Noting(3).double()
    clf = TMAMLClassifier(double, **QUICK).fit(tasks)
    assert {kind for kind, _ in Noting.seen} == {torch.float64}
    assert clf.adapt(*tasks[0]).predict_proba(tasks[0][0]).shape == (24, 2)
    assert {p.dtype for p in clf.meta_params_.values()} == {torch.float64}
    TMAMLClassifier(Noting, **QUICK).fit(tasks)
    assert {kind for kind, _ in Noting.seen} == {torch.float32}


def test_integer_measures_go_into_a_layer_that_multiplies():
    tasks = [(np.uint8(10 + 10 * X), y) for X, y in make_tasks(4, spread=0.3)]
    clf = TMAMLClassifier(torch.nn.Linear(3, 4), **QUICK).fit(tasks)
    assert clf._preparation == Preparation(torch.float32)
