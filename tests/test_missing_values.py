"""Missing values: for the default network the mean, beside an indicator of the columns that lack some."""

import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import ESTIMATORS, PLAIN, REGRESSORS
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from test_posterior_estimators import lines, noisy_classes

import skmeta
from skmeta.tasks.preparation import Preparation, standardizing
from skmeta.tasks.rows import Tasks

NAN = np.nan


def with_holes(tasks, share=0.2, columns=(0, 2), seed=0):
    rng = np.random.default_rng(seed)
    for X, y in tasks:
        X = X.copy()
        for column in columns:
            X[rng.random(len(X)) < share, column] = NAN
        yield X, y


def test_missing_values_count_in_no_mean_and_become_it():
    X = np.array([[1.0, 5.0, NAN], [3.0, 5.0, NAN], [NAN, 5.0, NAN], [NAN, 5.0, NAN]])
    tasks = Tasks(X, np.zeros(4), np.array([0, 0, 1, 1]), ["a", "b"])
    preparation = standardizing(tasks, np.arange(4))
    assert_array_equal(preparation.mean, [2, 5, NAN])
    assert_array_equal(preparation.scale, [1, 1, 1])
    assert preparation.indicated.tolist() == [0]  # of a column without a value there is nothing to tell
    assert preparation.shape((3,)) == (4,)
    rows = preparation(torch.as_tensor(X))
    assert_array_equal(rows, [[-1, 0, 0, -1], [1, 0, 0, -1], [0, 0, 0, 1], [0, 0, 0, 1]])
    known_later = torch.tensor([[1.0, 5.0, 5000.0]]).double()
    assert_array_equal(preparation(known_later), [[-1, 0, 0, -1]])


def test_a_column_that_lacked_none_in_training_gets_no_indicator():
    X = np.array([[1.0, 5.0], [3.0, 7.0]])
    preparation = standardizing(Tasks(X, np.zeros(2), np.zeros(2, int), ["a"]), np.arange(2))
    assert preparation.indicated is None and preparation.shape((2,)) == (2,)
    assert_array_equal(preparation(torch.tensor([[NAN, 7.0]]).double()), [[0, 1]])


def test_directions_leave_missing_values_out():
    mean = torch.zeros(3).double()
    preparation = Preparation(torch.float64, mean, torch.ones(3).double(), unit_length=True)
    assert_allclose(preparation(torch.tensor([[NAN, 2.0, 0.0]]).double()), [[0, 3**0.5, 0]])


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])
@pytest.mark.parametrize("params", [{"random_state": 0, "max_iter": 2}, PLAIN | {"max_iter": 2}])
def test_rows_that_lack_values_are_trained_on_adapted_to_and_answered(estimator, params):
    make = lines if estimator in REGRESSORS else noisy_classes
    tasks = list(with_holes(make(12)))
    frames = [(pd.DataFrame(X, columns=["a", "b", "c"]), y) for X, y in tasks]
    X, y = tasks[0]
    answers = []
    for form in tasks, frames, skmeta.TaskList(tasks.__getitem__, range(12)):
        model = estimator(**params).fit(form)
        new = frames[0][0] if form is frames else X
        answers.append(model.adapt(new[:6], y[:6])._outputs(new))
        assert np.isfinite(model.score(form))
    assert np.isfinite(answers[0]).all()
    assert_allclose(answers[1], answers[0], rtol=1e-5, atol=1e-6)
    assert_allclose(answers[2], answers[0], rtol=1e-5, atol=1e-6)
    assert model.n_features_in_ == 3


def test_that_a_value_is_missing_tells_something():
    """A sensor that says nothing means a target that is higher by three deviations."""
    tasks = lines(20, noise=0.1)
    holes = list(with_holes(tasks, columns=(0,)))
    holes = [(X, y + 150 * np.isnan(X[:, 0])) for X, y in holes]
    reg = skmeta.TMAMLRegressor(random_state=0, max_iter=1).fit(holes[:15])
    errors = []
    for X, y in holes[15:]:
        errors.append(np.abs(reg.adapt(X[:6], y[:6]).predict(X[6:]) - y[6:]).mean())
    assert np.mean(errors) < 40  # a missing slope is worth 50 a deviation, on a fifth of the rows


def test_missing_values_of_sparse_rows_are_refused():
    X, y = np.eye(6, 3), np.array([0, 1] * 3)
    X[0, 0] = NAN
    clf = skmeta.TMAMLClassifier(max_iter=1)
    frame = pd.DataFrame(X).astype(pd.SparseDtype(float, 0.0))
    for rows in sparse.csr_array(X), frame:
        with pytest.raises(ValueError, match="contains NaN"):
            clf.fit(rows, y)
    with pytest.raises(ValueError, match="X contains NaN in sparse rows"):  # one of both makes all sparse
        clf.fit([(sparse.csr_array(np.eye(6, 3)), y), (X, y)])


def test_noise_leaves_what_is_known_in_place():
    X = torch.arange(12.0).reshape(1, 6, 2)
    X[0, 0, 0] = NAN
    X = torch.cat([X, torch.full((1, 6, 1), NAN)], -1)
    noisy = skmeta.GaussianNoise(1e-3)(X, torch.Generator().manual_seed(0))
    assert_array_equal(noisy.isnan(), X.isnan())
    known = ~X.isnan()
    assert (noisy[known] != X[known]).all()
    torch.testing.assert_close(noisy, X, rtol=0, atol=0.1, equal_nan=True)


def test_the_tag_tells_who_takes_them():
    for model, allowed in (
        (skmeta.TMAMLClassifier(), True),
        (skmeta.TMAMLClassifier(torch.nn.Linear(3, 4)), False),
        (skmeta.FewShotClassifier(skmeta.TMAMLClassifier()), True),
        (skmeta.FewShotClassifier(skmeta.TMAMLClassifier(torch.nn.Linear(3, 4))), False),
    ):
        assert model.__sklearn_tags__().input_tags.allow_nan == allowed
