"""What estimators do in threads is what they do one after another, to the last bit."""

from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from made_tasks import ESTIMATORS, QUICK, REGRESSORS, make_lines, make_tasks
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from skmeta import TMAMLClassifier, adapt

N_THREADS = 3
TASKS, LINES = make_tasks(6), make_lines(6)


class Dropping(nn.Sequential):
    def __init__(self, in_features):
        super().__init__(nn.Linear(in_features, 8), nn.Dropout(0.5))


class DroppingByFunction(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.linear = nn.Linear(in_features, 8)

    def forward(self, x):
        return nn.functional.dropout(self.linear(x), 0.5, self.training)


class Noisy(Callback):
    """Draws from torch's generator, which no trial of the network can tell."""

    def on_grad_computed(self, net, **kwargs):
        for p in net.module_.parameters():
            if p.grad is not None:
                p.grad += 0.1 * torch.randn_like(p)


def noisy_rows(X, generator):
    return X + torch.randn_like(X)


KINDS = {
    "plain": {},
    "dropout": {"module": Dropping},
    "functional dropout": {"module": DroppingByFunction},
    "dropout, stopped early": {"module": Dropping, "early_stopping": True},
    "a callback that draws": {"head": "linear", "callbacks": [Noisy()]},
    "an augmentation that draws": {"head": "linear", "augment": noisy_rows},
}


def settings(kind):
    given = QUICK | {"max_iter": 6} | KINDS[kind]
    if "module" in given:
        del given["hidden_layer_sizes"]
    return given


def global_state():
    with ThreadPoolExecutor(1) as pool:
        of_a_new_thread = pool.submit(torch.get_num_threads).result()
    return torch.get_rng_state().numpy().tobytes(), torch.get_num_threads(), of_a_new_thread


def in_threads(function, items):
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(function, items))


def same(a, b):
    return all(torch.equal(p, b.meta_params_[name]) for name, p in a.meta_params_.items())


@pytest.fixture(autouse=True)
def two_threads():
    """So that fits, which take one, have a number to give back."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])
def test_fits(estimator, kind):
    tasks = LINES if estimator in REGRESSORS else TASKS
    models = [estimator(**settings(kind) | {"random_state": seed}) for seed in range(N_THREADS)]
    before = global_state()
    alone = [clone(model).fit(tasks) for model in models]
    together = in_threads(lambda model: clone(model).fit(tasks), models)
    assert global_state() == before
    for model, expected in zip(together, alone, strict=True):
        assert same(model, expected)
        assert model.loss_curve_ == expected.loss_curve_
    assert not same(alone[0], alone[1])


def test_fits_of_several_kinds_and_warm_starts():
    """What draws is trained beside what does not."""
    models = [TMAMLClassifier(**settings(kind), warm_start=True) for kind in KINDS]
    before = global_state()
    alone = [clone(model).fit(TASKS).fit(TASKS) for model in models]
    together = in_threads(lambda model: clone(model).fit(TASKS).fit(TASKS), models * 2)
    assert global_state() == before
    assert all(map(same, together, alone * 2))


def test_a_search_with_the_threading_backend():
    grid = {"inner_lr": [0.01, 0.1], "n_shot": [1, 3]}
    one = GridSearchCV(TMAMLClassifier(**QUICK), grid, cv=2).fit(TASKS)
    before = global_state()
    with joblib.parallel_backend("threading", n_jobs=N_THREADS):
        two = GridSearchCV(TMAMLClassifier(**QUICK), grid, cv=2, n_jobs=N_THREADS).fit(TASKS)
    assert global_state() == before
    for k in range(2):
        name = f"split{k}_test_score"
        np.testing.assert_array_equal(one.cv_results_[name], two.cv_results_[name])
    assert same(one.best_estimator_, two.best_estimator_)


def test_predictions_while_others_are_fitted():
    clf = TMAMLClassifier(**settings("dropout")).fit(TASKS)
    before = global_state()
    expected = [adapt(clf, *task).predict_proba(task[0]) for task in TASKS]

    def run(i):
        if i % 3 == 0:
            return same(TMAMLClassifier(**settings("dropout")).fit(TASKS), clf)
        X, y = TASKS[i % len(TASKS)]
        return np.array_equal(adapt(clf, X, y).predict_proba(X), expected[i % len(TASKS)])

    assert all(in_threads(run, range(24)))
    assert global_state() == before


def test_a_fit_inside_a_module_that_another_fit_makes():
    """A factory may train an estimator of its own for what it makes."""

    def pretrained(in_features):
        inner = TMAMLClassifier(**settings("dropout")).fit(TASKS)
        net = Dropping(in_features)
        net[0].load_state_dict(inner.net_.module_.backbone[0].state_dict())
        return net

    outer = settings("dropout") | {"module": pretrained}
    alone = TMAMLClassifier(**outer).fit(TASKS)
    assert all(
        same(model, alone) for model in in_threads(lambda _: TMAMLClassifier(**outer).fit(TASKS), range(4))
    )
