"""Columns of categories, for the default network: a feature for each level that training rows had."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import ESTIMATORS, PLAIN, REGRESSORS
from numpy.testing import assert_allclose, assert_array_equal
from test_posterior_estimators import lines, noisy_classes

import skmeta
from skmeta.tasks.categories import Categories

WARDS = np.array(["A", "B", "C"])


def with_wards(tasks, seed=0):
    rng = np.random.default_rng(seed)
    for X, y in tasks:
        frame = pd.DataFrame({"age": X[:, 0], "ward": rng.choice(WARDS, len(X)), "dose": X[:, 2]})
        yield frame, y


def by_hand(frame):
    """What the columns are to become, for a model without categories."""
    hot = frame["ward"].to_numpy()[:, None] == WARDS
    return np.column_stack([frame[["age", "dose"]].to_numpy(), hot])


def test_levels_are_numbered_as_they_come_and_new_ones_are_missing():
    categories = Categories()
    first = pd.DataFrame({"x": [1.0, 2.0, 3.0], "ward": ["B", None, "A"]})
    assert_array_equal(categories.encode(first)["ward"], [0, np.nan, 1])
    assert categories.columns == [1] and first["ward"][0] == "B"
    assert_array_equal(categories.encode(first.assign(ward=["C", "B", "C"]))["ward"], [2, 0, 2])
    categories.learns = False
    assert_array_equal(categories.encode(first.assign(ward=["D", "A", "C"]))["ward"], [np.nan, 1, 2])


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])
@pytest.mark.parametrize("dtype", [object, "category", "string"])
def test_a_level_is_a_feature(estimator, dtype):
    make = lines if estimator in REGRESSORS else noisy_classes
    tasks = [(frame.astype({"ward": dtype}), y) for frame, y in with_wards(make(12))]
    model = estimator(**PLAIN | {"max_iter": 2}).fit(tasks)
    frame, y = tasks[0]
    rows = model._network().rows(model._categories.encode(frame).to_numpy())[:]
    assert rows.shape == (len(frame), 5)
    order = [list(model._categories.levels["ward"]).index(ward) for ward in WARDS]
    assert_array_equal(rows[:, 2:][:, order], by_hand(frame)[:, 2:])
    answers = model.adapt(frame[:6], y[:6])._outputs(frame)
    assert_allclose(pickle.loads(pickle.dumps(model))._outputs(frame), answers)
    lazy = estimator(**PLAIN | {"max_iter": 2}).fit(skmeta.TaskList(tasks.__getitem__, range(12)))
    assert_allclose(lazy.adapt(frame[:6], y[:6])._outputs(frame), answers, rtol=1e-5, atol=1e-6)
    groups = np.repeat(np.arange(12), [len(y) for _, y in tasks])
    flat = pd.concat([frame for frame, _ in tasks])
    flat = estimator(**PLAIN | {"max_iter": 2}).fit(
        flat, np.concatenate([y for _, y in tasks]), groups=groups
    )
    assert_allclose(flat.adapt(frame[:6], y[:6])._outputs(frame), answers, rtol=1e-5, atol=1e-6)
    assert model.n_features_in_ == 3 and list(model.feature_names_in_) == ["age", "ward", "dose"]


def test_categories_tell_what_they_know():
    tasks = list(with_wards(lines(20, noise=0.1)))
    tasks = [(frame, y + 200 * (frame["ward"] == "B").to_numpy()) for frame, y in tasks]
    reg = skmeta.TMAMLRegressor(random_state=0, max_iter=1).fit(tasks[:15])
    errors = [np.abs(reg.adapt(X[:6], y[:6]).predict(X[6:]) - y[6:]).mean() for X, y in tasks[15:]]
    assert np.mean(errors) < 70  # a column is missing, worth 50; without the ward, 95 more


def test_a_new_level_and_a_missing_one_are_no_level():
    tasks = list(with_wards(lines(12)))
    reg = skmeta.TMAMLRegressor(**PLAIN | {"max_iter": 2}).fit(tasks).adapt(*tasks[0])
    frame = tasks[0][0][:2]
    assert_array_equal(*(reg.predict(frame.assign(ward=ward)) for ward in ("D", None)))
    assert not np.array_equal(*(reg.predict(frame.assign(ward=ward)) for ward in ("D", "A")))


def test_a_level_of_held_out_tasks_alone_is_no_feature():
    tasks = list(with_wards(lines(12)))
    settings = PLAIN | {"max_iter": 2, "early_stopping": True}
    for i in range(12):  # one of them is held out
        changed = [(f.assign(ward="D") if i == j else f, y) for j, (f, y) in enumerate(tasks)]
        reg = skmeta.TMAMLRegressor(**settings).fit(changed)
        (_, codes) = reg._preparation.levels[0]
        if len(codes) == 3:
            return
    raise AssertionError("the level became a feature, whoever had it")


def test_rows_without_the_categories_are_refused():
    tasks = list(with_wards(lines(12)))
    reg = skmeta.TMAMLRegressor(**PLAIN | {"max_iter": 2}).fit(tasks).adapt(*tasks[0])
    frame = tasks[0][0]
    with pytest.raises(ValueError, match=r"X must be a DataFrame with the category columns .*, \['ward'\]"):
        reg.predict(frame.assign(ward=0.0).to_numpy())
    other = frame.rename(columns={"ward": "room"})
    with pytest.raises(ValueError, match=r"task 1: .*got the columns \['age', 'room', 'dose'\]"):
        skmeta.TMAMLRegressor(**PLAIN).fit([tasks[0], (other, tasks[0][1])])


def test_a_module_gets_no_categories():
    with pytest.raises(ValueError, match="could not convert string to float"):
        skmeta.TMAMLRegressor(torch.nn.Linear(3, 2), **PLAIN).fit(list(with_wards(lines(4))))
