"""The kernel that a start may have: its features, and when it is chosen."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.gaussian_process.kernels import Matern

import skmeta
from skmeta.core.backbones import InputAndMLP
from skmeta.core.kernel import KernelFeatures

QUICK = {"max_iter": 1, "random_state": 0}
MATERN = Matern(length_scale=0.7, nu=1.5)


def curves(n_tasks=40, n_rows=20, seed=0, noise=0.1):
    """Tasks whose targets are Gaussian processes of the second column, with what they have in common."""
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = np.column_stack([rng.normal(size=n_rows), rng.uniform(-2, 2, n_rows)])
        y = rng.multivariate_normal(np.sin(2 * X[:, 1]), MATERN(X[:, 1:]))
        tasks.append((X * [1, 10] + [0, 100], y + noise * rng.normal(size=n_rows)))
    return tasks


def lines(n_tasks=20, n_rows=12, seed=0):
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(n_rows, 2)) for _ in range(n_tasks)]
    return [(X, X @ [1, -1] + rng.normal() + 0.3 * rng.normal(size=n_rows)) for X in rows]


def rings(n_tasks=24, n_rows=30, n_classes=2, seed=0):
    """The class of a row is how far it is from the middle, which is another one in each task."""
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X, middle = rng.uniform(-2, 2, (n_rows, 2)), rng.normal(size=2) * 0.3
        tasks.append((X, np.digitize(np.linalg.norm(X - middle, axis=1), [1.2, 1.9][: n_classes - 1])))
    return tasks


@pytest.fixture(scope="module")
def fitted():
    return skmeta.TMAMLRegressor(**QUICK).fit(curves())


def test_products_of_features_are_the_kernel_of_rows():
    rng = np.random.default_rng(0)
    centers, rows = rng.uniform(-2, 2, (200, 2)), rng.uniform(-2, 2, (50, 2))
    kernel = KernelFeatures(2, 200)
    kernel.set(torch.as_tensor(centers), torch.tensor([1.0, 0.25], dtype=torch.float64))
    features = kernel(torch.as_tensor(rows).float()).double() / 2**0.5
    assert_allclose(features @ features.T, Matern([1.0, 4.0], nu=1.5)(rows), atol=0.02)


def test_the_same_center_twice_is_one():
    centers = torch.tensor([[0.0], [1.0], [1.0]])
    once, twice = KernelFeatures(1, 2), KernelFeatures(1, 3)
    once.set(centers[:2], torch.ones(1))
    twice.set(centers, torch.ones(1))
    x = torch.linspace(-1, 2, 7)[:, None]
    assert_allclose(*[features @ features.T for features in (once(x), twice(x))], atol=1e-3)


def test_the_backbone_keeps_the_input_and_the_kernel():
    backbone = InputAndMLP(2, (5,), n_centers=3)
    x = torch.randn(4, 2)
    assert backbone(x).shape == (4, 2 + 3 + 5) and backbone.n_kept == 5
    assert_array_equal(backbone(x)[:, :5].detach(), backbone.kept(x))
    assert_array_equal(backbone.kept(x)[:, :2], x)
    assert not any(name.startswith("kernel") for name, _ in backbone.named_parameters())


def test_curves_are_answered_as_by_the_gaussian_process_that_made_them(fitted):
    assert fitted.start_ == "kernel" and fitted.best_iter_ == 0
    ours, theirs, spread = [], [], []
    for X, y in curves(20, 40, seed=1):
        line = (X[:, 1:] - 100) / 10
        K = MATERN(line) + 0.01 * np.eye(40)
        gain = np.linalg.solve(K[:8, :8], K[:8, 8:]).T
        theirs.append(np.sin(2 * line[8:, 0]) + gain @ (y[:8] - np.sin(2 * line[:8, 0])) - y[8:])
        predicted, deviation = fitted.adapt(X[:8], y[:8]).predict(X[8:], return_std=True)
        ours.append(predicted - y[8:])
        spread.append(deviation)
    best, error = (np.concatenate(errors).std() for errors in (theirs, ours))
    print(f"errors: {error:.3f}, of the process itself {best:.3f}")
    assert error < 1.15 * best
    inside = np.abs(np.concatenate(ours)) < 1.645 * np.concatenate(spread)
    assert 0.82 < inside.mean() < 0.96


def test_the_column_that_tells_nothing_has_no_say(fitted):
    of_noise, of_time = fitted.net_.module_.backbone.kernel.scale
    assert of_noise < 0.2 * of_time


def test_the_same_start_is_pickled_and_answers_many_tasks(fitted):
    tasks = curves(3, seed=2)
    again = pickle.loads(pickle.dumps(fitted))
    alone = [again.adapt(X[:5], y[:5]).predict(X[5:]) for X, y in tasks]
    supports, queries = [(X[:5], y[:5]) for X, y in tasks], [X[5:] for X, _ in tasks]
    assert_allclose(np.stack(fitted.predict_tasks(supports, queries)), np.stack(alone), atol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_with_a_bent_border_get_a_kernel(n_classes, monkeypatch):
    tasks = rings(n_classes=n_classes)
    bent = skmeta.TMAMLClassifier(**QUICK).fit(tasks)
    monkeypatch.setattr("skmeta.estimators.auto.MOST_IN_KERNEL", 0)
    straight = skmeta.TMAMLClassifier(**QUICK).fit(tasks)
    assert (straight.start_, bent.start_) == ("linear", "kernel")
    new = [(X[:10], y[:10], X[10:], y[10:]) for X, y in rings(n_classes=n_classes, seed=1)]
    assert bent.score(new) > straight.score(new) + 0.1


def test_a_linear_start_stays_where_tasks_are_linear():
    assert skmeta.TMAMLRegressor(**QUICK).fit(lines()).start_ == "linear"


@pytest.mark.parametrize(
    "params",
    [
        {"hidden_layer_sizes": ()},
        {"module": torch.nn.Identity},
        {"early_stopping": False},
        {"warm_start": True},
        {"tol": 1e9},
    ],
)
def test_without_folds_or_the_default_network_there_is_no_kernel(params):
    assert skmeta.TMAMLRegressor(**QUICK | {"head": "posterior"} | params).fit(curves(12)).start_ == "linear"


def test_other_heads_have_no_start():
    assert skmeta.TMAMLRegressor(**QUICK, head="linear").fit(lines(4)).start_ is None


def test_verbose_tells_of_the_kernel(capsys):
    skmeta.TMAMLRegressor(**QUICK, verbose=1).fit(curves())
    assert "choose a start with a kernel and 0 outer steps" in capsys.readouterr().out


def test_no_training_draws_no_progress_bar(capsys):
    skmeta.TMAMLRegressor(max_iter=1, random_state=0, verbose=1).fit(lines(12))
    assert ": 0step" not in capsys.readouterr().err


@pytest.mark.parametrize("is_trained", [False, True])
def test_a_warm_start_goes_on_with_the_kernel(is_trained, monkeypatch):
    if is_trained:
        monkeypatch.setattr("skmeta.estimators.folds.best_look", lambda scores, *_: len(scores) - 1)
    reg = skmeta.TMAMLRegressor(**QUICK).fit(curves())
    assert reg.start_ == "kernel" and reg.best_iter_ == is_trained
    new = [(X[:8], y[:8], X[8:], y[8:]) for X, y in curves(20, seed=3)]
    before = reg.score(new)
    reg = pickle.loads(pickle.dumps(reg.set_params(warm_start=True)))
    reg.set_params(max_iter=3).fit(curves())
    assert reg.start_ == "kernel" and reg.score(new) > before - 0.05


def test_levels_of_categories_count_as_columns():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    tasks = [
        (pandas.DataFrame(X, columns=list("ab")).assign(town=rng.choice(60, len(X)).astype(str)), y)
        for X, y in curves(30)
    ]
    assert skmeta.TMAMLRegressor(**QUICK).fit(tasks).start_ == "linear"


def test_the_number_of_centers_is_no_parameter():
    with pytest.raises(ValueError, match="module__n_centers=8 cannot be set"):
        skmeta.TMAMLRegressor(module__n_centers=8).fit(lines(4))
