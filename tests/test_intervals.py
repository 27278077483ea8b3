"""``skmeta.predict_interval`` of whatever ends in a regressor."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_posterior_estimators import lines

from skmeta import FewShotRegressor, TMAMLClassifier, TMAMLRegressor, adapt, predict_interval

X, Y = (np.concatenate(part) for part in zip(*lines(9), strict=True))
GROUPS = np.repeat(np.arange(9), 12)
TEN, OF_TEN = X[:10], Y[:10]


@pytest.fixture(scope="module")
def reg():
    return TMAMLRegressor(random_state=0).fit(X, Y, groups=GROUPS)


def test_each_holder_of_a_regressor_answers_as_it(reg):
    expected = adapt(reg, TEN, OF_TEN).predict_interval(X[10:12], coverage=0.5)
    few = FewShotRegressor(reg).fit(TEN, OF_TEN)
    holders = [adapt(holder, TEN, OF_TEN) for holder in (reg, FrozenEstimator(reg))]
    for model in [*holders, few, FrozenEstimator(few)]:
        assert_allclose(predict_interval(model, X[10:12], coverage=0.5), expected)
    assert (np.diff(expected) < np.diff(predict_interval(few, X[10:12]))).all()


def test_a_pipeline_transforms_the_rows():
    pipe = make_pipeline(StandardScaler(), TMAMLRegressor(random_state=0))
    pipe.fit(X, Y, tmamlregressor__groups=GROUPS)
    pipe = adapt(pipe, TEN, OF_TEN)
    low, high = predict_interval(pipe, X[10:12]).T
    assert_allclose((low + high) / 2, pipe.predict(X[10:12]))


def test_a_search_asks_its_best_estimator():
    search = GridSearchCV(TMAMLRegressor(random_state=0), {"n_query": [10, 15]}, cv=2)
    tasks = lines(6)
    with pytest.raises(NotFittedError, match="no best_estimator_ yet"):
        predict_interval(search, TEN)
    search.fit(tasks)
    expected = adapt(search.best_estimator_, TEN, OF_TEN).predict_interval(X[10:12])
    assert_allclose(predict_interval(adapt(search, TEN, OF_TEN), X[10:12]), expected)


@pytest.mark.parametrize("model", [TMAMLClassifier(), Ridge(), make_pipeline(StandardScaler(), Ridge())])
def test_what_ends_in_no_regressor_of_skmeta_is_told(model):
    with pytest.raises(TypeError, match=r"regressor of skmeta.*Got (TMAMLClassifier|Ridge) instead"):
        predict_interval(model, X)


def test_one_that_is_not_adapted_is_told(reg):
    with pytest.raises(NotFittedError, match="not adapted to one yet"):
        predict_interval(TMAMLRegressor(random_state=0).fit(lines(3)), TEN)
    with pytest.raises(NotFittedError):
        predict_interval(FewShotRegressor(reg), TEN)
