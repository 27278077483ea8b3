"""No answer comes from parameters or outputs that are not finite: the task is named, and what to lower."""

import numpy as np
import pytest
import torch
from made_tasks import ESTIMATORS, QUICK, REGRESSORS, make_lines, make_tasks
from torch import nn

from skmeta import (
    FewShotClassifier,
    TMAMLClassifier,
    TMAMLRegressor,
    compare,
    evaluate,
    few_shot_scorer,
    shots_curve,
)


class Explodes(nn.Module):
    """Features that are not finite for rows whose first number is above a thousand."""

    def __init__(self, in_features):
        super().__init__()
        self.layer = nn.Linear(in_features, 4)

    def forward(self, x):
        return self.layer(x) / (x[:, :1] < 1000)


TOLD = "not finite.*Lower inner_lr, adapt_steps or, of TAML, meta_model_lr"
CASES = [*((e, make_tasks) for e in ESTIMATORS), *((e, make_lines) for e in REGRESSORS)]


def changed(task, rows):
    X, y = task
    X = X.copy()
    X[rows, 0] = 1e4
    return X, y


@pytest.mark.parametrize(("estimator", "make"), CASES)
def test_support_rows_that_explode(estimator, make):
    tasks = make(8)
    model = estimator(Explodes, **QUICK).fit(tasks[:6])
    X, y = changed(tasks[6], slice(0, 4))
    with pytest.raises(FloatingPointError, match=f"parameters are {TOLD}"):
        model.adapt(X[:8], y[:8])
    assert not hasattr(model, "adapted_params_")
    with pytest.raises(FloatingPointError, match=f"^task 1: .*{TOLD}"):
        model.predict_tasks([(tasks[7][0][:8], tasks[7][1][:8]), (X[:8], y[:8])], [X[8:], X[8:]])
    with pytest.raises(FloatingPointError, match=f"^task 1: .*{TOLD}"):
        model.score([(X[8:16], y[8:16], X[16:], y[16:]), (X[:8], y[:8], X[8:], y[8:])])


@pytest.mark.parametrize(("estimator", "make"), CASES)
def test_query_rows_that_explode(estimator, make):
    tasks = make(8)
    model = estimator(Explodes, **QUICK).fit(tasks[:6])
    X, y = changed(tasks[6], slice(20, 22))
    model.adapt(X[:8], y[:8])
    with pytest.raises(FloatingPointError, match=f"outputs of 2 of 16 query rows are {TOLD}"):
        model.predict(X[8:])
    given = [(X[:8], y[:8], X[8:], y[8:]), (*tasks[7], *tasks[7])]
    for call in (
        lambda: model.score(given),
        lambda: evaluate(model, given),
        lambda: compare(model, model, given),
        lambda: shots_curve(model, given, n_shots=[1]),
        lambda: few_shot_scorer(None)(model, given),
    ):
        with pytest.raises(FloatingPointError, match=f"^task 0: .*{TOLD}"):
            call()


def test_a_prior_that_explodes():
    tasks = make_tasks(8)
    prior = TMAMLClassifier(Explodes, **QUICK).fit(tasks[:6])
    X, y = changed(tasks[6], slice(0, 4))
    with pytest.raises(FloatingPointError, match=TOLD):
        FewShotClassifier(prior).fit(X[:8], y[:8])


def test_an_inner_loop_that_diverges():
    tasks = make_tasks(8)
    clf = TMAMLClassifier(**QUICK | {"adapt_steps": 3000}, head="linear").fit(tasks[:6])
    with torch.no_grad():
        clf.net_.module_.log_inner_lr.fill_(90.0)
    with pytest.raises(FloatingPointError, match=f"after 3000 inner steps. {TOLD[12:]}"):
        clf.adapt(*tasks[7])


@pytest.mark.parametrize(
    ("kind", "module"), [(np.inf, None), (np.inf, nn.Linear(3, 4)), (np.nan, nn.Linear(3, 4))]
)
def test_rows_that_are_not_finite_are_refused(kind, module):
    """Those that miss a value are, for a module."""
    tasks = make_tasks(4)
    clf = TMAMLClassifier(module, **QUICK).fit(tasks)
    X, y = tasks[0]
    X = X.copy()
    X[3, 1] = kind
    for call in (clf.adapt, lambda X, y: clf.fit([(X, y)])):
        with pytest.raises(ValueError, match=r"(infinity|NaN)"):
            call(X, y)


def test_a_training_that_diverges_says_what_to_lower():
    with pytest.raises(FloatingPointError, match="training has diverged: lower outer_lr"):
        TMAMLRegressor(outer_lr=1e4, max_iter=50, random_state=0).fit(make_lines(9))
