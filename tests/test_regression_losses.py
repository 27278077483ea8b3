"""Losses of regressions: values, likelihoods, the posteriors by them, and the estimators that have them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_poisson_deviance

from skmeta import TAMLRegressor, TMAMLRegressor
from skmeta.core.regression_losses import (
    THRESHOLD,
    AbsoluteError,
    Huber,
    Poisson,
    Quantile,
    SquaredError,
)
from skmeta.core.reweighted import PoissonHead, ReweightedHead
from skmeta.tasks.targets import moments, robust_moments

RESIDUAL_LOSSES = [Huber(), AbsoluteError(), Quantile(0.2), Quantile(0.9)]
ALL = ["squared_error", "huber", "absolute_error", "quantile", "poisson"]
# The start is what is kept.
START = {"random_state": 0, "max_iter": 1, "tol": 1e9, "hidden_layer_sizes": (8,)}
QUICK = {"random_state": 0, "max_iter": 3, "hidden_layer_sizes": (8,), "inner_steps": 2, "meta_batch_size": 4}


def column(values):
    return torch.as_tensor(values, dtype=torch.float64)[:, None]


def value(loss, outputs, y, weight=None):
    weight = torch.ones(len(y), dtype=torch.float64) if weight is None else torch.as_tensor(weight).double()
    return loss(column(outputs), column(y), weight).item()


# ---- values


def test_each_is_what_scikit_learn_and_torch_make_of_it():
    rng = np.random.default_rng(0)
    y, p = 3 * rng.normal(size=50), rng.normal(size=50)
    counts = rng.poisson(3, size=50).astype(float)
    of_torch = torch.nn.functional.huber_loss(torch.as_tensor(p), torch.as_tensor(y), delta=THRESHOLD)
    assert value(Huber(), p, y) == pytest.approx(of_torch.item())
    assert value(AbsoluteError(), p, y) == pytest.approx(mean_absolute_error(y, p))
    assert value(Quantile(0.2), p, y) == pytest.approx(mean_pinball_loss(y, p, alpha=0.2))
    assert value(Poisson(), p, counts) == pytest.approx(mean_poisson_deviance(counts, np.exp(p)) / 2)
    assert value(SquaredError(), [1.0, 2.0], [0.0, 4.0], [1, 3]) == (1 + 3 * 4) / 4


def test_the_loss_of_a_wild_log_rate_is_finite():
    outputs = torch.tensor([[1e4], [-1e4]], dtype=torch.float64, requires_grad=True)
    loss = Poisson()(outputs, column([1.0, 2.0]), torch.ones(2))
    assert loss.isfinite() and torch.autograd.grad(loss, outputs)[0].isfinite().all()


@pytest.mark.parametrize("loss", [SquaredError(), Huber(), AbsoluteError()])
@pytest.mark.parametrize("variance", [0.01, 1.0, 50.0])
def test_likelihoods_of_a_residual_are_densities(loss, variance):
    def density(y):
        args = column([1.0]), column([variance]), column([y]), torch.ones(1)
        return np.exp(-loss.surprise(*args).item())

    at = 1 + np.sqrt(variance) * np.array([-40, -THRESHOLD, 0, THRESHOLD, 40])
    total = sum(quad(density, a, b)[0] for a, b in pairwise(at))
    assert total == pytest.approx(1, abs=1e-6)


def test_counts_are_poisson_or_where_rates_vary_negative_binomial():
    counts = np.arange(0, 400)
    for variance, expected in (
        (0.0, stats.poisson(5.0).logpmf(counts)),
        (0.7, stats.nbinom(1 / np.expm1(0.7), 1 / (1 + 5 * np.expm1(0.7))).logpmf(counts)),
    ):
        mean = np.log(5.0) - variance / 2
        args = (torch.full((400, 1), float(v), dtype=torch.float64) for v in (mean, variance))
        found = -Poisson().of_answers(*args, column(counts))[:, 0].numpy()
        few = counts < 30
        assert_allclose(found[few], expected[few], atol=1e-3)
        assert np.exp(found).sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("loss", RESIDUAL_LOSSES, ids=repr)
def test_a_parabola_lies_above_the_loss_and_touches_it(loss):
    residuals = torch.linspace(-6, 6, 241, dtype=torch.float64)
    # Of a quantile, the loss is scaled so that one of one half is that of the size of a residual.
    factor = {"Huber": 1, "AbsoluteError": 2**0.5, "Quantile": 2**1.5}[type(loss).__name__]
    values = factor * loss.of_outputs(torch.zeros(()), residuals)
    for at in (-4.0, -0.3, 0.05, 1.0, 5.0):
        square = torch.tensor(at, dtype=torch.float64).square()
        curvature = loss.curvature(square)
        shift = loss.shift(square) if isinstance(loss, Quantile) else 0
        touched = factor * loss.of_outputs(torch.zeros(()), torch.tensor(at))
        above = touched + curvature / 2 * ((residuals + shift).square() - (at + shift) ** 2)
        assert (above >= values - 1e-6).all()
        at_it = (residuals - at).abs().argmin()
        assert above[at_it] - values[at_it] < 1e-3


# ---- posteriors


def noisy_line(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=n), rng.standard_t(2, size=n)
    return torch.as_tensor(x)[:, None], torch.as_tensor(1 + 2 * x + 0.5 * y)[:, None], torch.ones(n).double()


@pytest.mark.parametrize("loss", RESIDUAL_LOSSES, ids=repr)
def test_of_many_rows_the_posterior_mean_is_at_the_least_of_the_loss(loss):
    x, y, weight = noisy_line()
    head = ReweightedHead(1, 1, loss).double()
    head.log_noise.data.fill_(2 * np.log(0.5))
    head.log_precision.data.fill_(-6.0)
    layer = head(x, y, weight)

    def total(params):
        return loss(x * params[0] / 0.5 + params[1] / 0.5, y / 0.5, weight).item()

    found = np.array([layer["weight"].item(), layer["bias"].item()])
    least = minimize(total, found, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10}).x
    assert_allclose(found, least, atol=0.03)


def test_of_many_counts_the_posterior_mean_is_that_of_a_poisson_regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2))
    y = rng.poisson(np.exp(X @ [0.5, -1.0] + 2)).astype(float)
    head = PoissonHead(2, 1, 0.0).double()
    head.log_noise.data.fill_(-20.0)
    head.log_precision.data.fill_(-6.0)
    layer = head(torch.as_tensor(X), column(y), torch.ones(500).double())
    expected = PoissonRegressor(alpha=0, tol=1e-8).fit(X, y)
    assert_allclose(layer["weight"].detach().numpy()[0], expected.coef_, atol=2e-3)
    assert layer["bias"].item() == pytest.approx(expected.intercept_, abs=2e-3)


@pytest.mark.parametrize("loss", [Huber(), AbsoluteError()], ids=repr)
def test_a_row_however_wrong_moves_the_posterior_by_so_much(loss):
    x, y, weight = (part[:10].clone() for part in noisy_line())
    head = ReweightedHead(1, 1, loss).double()

    def moved(by):
        wrong = y.clone()
        wrong[3] += by
        return (head(x, wrong, weight)["bias"] - head(x, y, weight)["bias"]).abs().item()

    far = moved(1e3)
    assert far < 0.5
    assert moved(1e6) < 1.2 * far


# ---- level and scale


def test_robust_moments_by_hand():
    y = column([1.0, 2.0, 3.0, 1e6, 7.0])
    n, median, variance = robust_moments(y, torch.tensor([1.0, 1, 1, 1, 0]).double())
    assert (n.item(), median.item(), variance.item()) == (4, 2.5, pytest.approx((1.4826 * 1.0) ** 2))
    weighted = robust_moments(column([1.0, 2.0, 9.0]), torch.tensor([3.0, 1, 1]).double())
    twice = robust_moments(column([1.0, 1, 1, 2.0, 9.0]), torch.ones(5).double())
    for a, b in zip(weighted, twice, strict=True):
        assert a.item() == pytest.approx(b.item())
    none = robust_moments(y[:0], torch.ones(0).double())
    assert [part.item() for part in none] == [0, 0, 0]


def test_of_normal_targets_robust_moments_are_nearly_the_others():
    y, weight = torch.randn(4000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 1.0
    weight = torch.ones(4000).double()
    for robust, plain in zip(robust_moments(y, weight), moments(y, weight), strict=True):
        torch.testing.assert_close(robust, plain, rtol=0.06, atol=0.06)


# ---- estimators


def lines(n_tasks=25, n_rows=30, seed=0):
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.normal(size=(n_rows, 2))
        y = 5 * rng.normal() + X @ (1 + 0.3 * rng.normal(size=2)) + 0.3 * rng.normal(size=n_rows)
        tasks.append((X, 100 + 20 * y))
    return tasks


def counts(n_tasks=25, n_rows=30, seed=0):
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.normal(size=(n_rows, 2))
        y = rng.poisson(np.exp(2 + 0.7 * rng.normal() + X @ [0.5, -0.3]))
        tasks.append((X, y))
    return tasks


def errors(reg, wrong_by, n_support=10):
    """Mean error of each new task, one of whose support rows is so wrong."""
    found = []
    for X, y in lines(seed=1):
        given = y[:n_support].copy()
        given[0] += wrong_by
        found.append(
            mean_absolute_error(y[n_support:], reg.adapt(X[:n_support], given).predict(X[n_support:]))
        )
    return np.mean(found)


def test_one_wrong_support_row_in_ten_costs_little_by_huber_and_by_size():
    growth = {}
    for loss in ALL[:3]:
        reg = TMAMLRegressor(loss=loss, **START).fit(lines(15))
        clean, wrong = errors(reg, 0), errors(reg, 2000)
        print(f"{loss}: error {clean:.3g}, with one wrong row {wrong:.3g}")
        growth[loss] = wrong / clean
    assert growth["huber"] < 1.5 and growth["absolute_error"] < 1.5
    assert growth["squared_error"] > 3


def test_a_quantile_has_that_share_of_new_targets_below_it():
    quantile = 0.8
    reg = TMAMLRegressor(loss="quantile", quantile=quantile, **START).fit(lines(16))
    below = [(y[15:] <= reg.adapt(X[:15], y[:15]).predict(X[15:])).mean() for X, y in lines(40, seed=1)]
    assert abs(np.mean(below) - quantile) < 0.08
    for ask in (lambda X: reg.predict(X, return_std=True), reg.predict_interval):
        with pytest.raises(ValueError, match=r"loss='quantile' is of one quantile alone. Fit two with"):
            ask(np.zeros((1, 2)))


def test_counts_have_rates_deviations_and_whole_intervals():
    reg, covered, squares, variances = TMAMLRegressor(loss="poisson", **START).fit(counts(25)), [], [], []
    deviance, constant = [], []
    for X, y in counts(40, seed=1):
        reg.adapt(X[:5], y[:5])
        rate, deviation = reg.predict(X[5:], return_std=True)
        assert (rate > 0).all() and (deviation**2 >= rate).all()
        low, high = reg.predict_interval(X[5:]).T
        assert (low == np.round(low)).all() and (low >= 0).all()
        covered.append(((low <= y[5:]) & (y[5:] <= high)).mean())
        squares.append(((y[5:] - rate) ** 2).mean())
        variances.append((deviation**2).mean())
        deviance.append(mean_poisson_deviance(y[5:], rate))
        constant.append(mean_poisson_deviance(y[5:], np.full(len(rate), max(y[:5].mean(), 0.1))))
    assert 0.87 < np.mean(covered) < 0.98
    assert 0.7 < np.mean(variances) / np.mean(squares) < 1.4
    assert np.mean(deviance) < 0.7 * np.mean(constant)
    assert reg.adapt(X[:0], y[:0]).predict(np.zeros((1, 2)))[0] == pytest.approx(
        np.exp(2 + 0.49 / 2), rel=0.35
    )


@pytest.mark.parametrize("head", ["linear", "posterior"])
@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("estimator", [TMAMLRegressor, TAMLRegressor])
def test_each_trains_and_answers_many_tasks_as_one_at_a_time(estimator, loss, head):
    tasks = counts(8) if loss == "poisson" else lines(8)
    tasks = [(X, np.stack([y, 2 * y], 1)) for X, y in tasks]
    reg = estimator(loss=loss, head=head, **QUICK).fit(tasks)
    together = reg.predict_tasks([(X[:6], y[:6]) for X, y in tasks], [X for X, _ in tasks])
    for (X, y), answer in zip(tasks, together, strict=True):
        assert_allclose(answer, reg.adapt(X[:6], y[:6]).predict(X), rtol=2e-3)
        assert answer.shape == y.shape and np.isfinite(answer).all()


@pytest.mark.parametrize("head", ["linear", "posterior"])
def test_negative_targets_have_no_rate(head):
    tasks = counts(8)
    reg = TMAMLRegressor(loss="poisson", head=head, **QUICK).fit(tasks)
    X, y = tasks[0]
    with pytest.raises(ValueError, match=r"y must be 0 or more with loss='poisson'; got -1\. Use another"):
        reg.adapt(X, -np.ones(len(y)))
    with pytest.raises(ValueError, match="y must be 0 or more with loss='poisson'; got -3"):
        TMAMLRegressor(loss="poisson", head=head).fit([*tasks, (X, y - 3 - y.min())])
    with pytest.raises(ValueError, match="task 1: y must be 0 or more"):
        reg.predict_tasks([(X, y), (X, y - 1e3)], [X, X])


def test_what_a_loss_may_be_is_told():
    with pytest.raises(ValueError, match=r"The 'loss' parameter of TMAMLRegressor must be .*'huber'"):
        TMAMLRegressor(loss="l1").fit(lines(3))
    with pytest.raises(ValueError, match="'quantile' parameter of TMAMLRegressor must be a float in"):
        TMAMLRegressor(loss="quantile", quantile=1.0).fit(lines(3))
    with pytest.raises(TypeError, match="Did you mean 'loss'"):
        TMAMLRegressor(losss="huber")


@pytest.mark.parametrize(("loss", "start"), [("squared_error", "kernel"), ("huber", "linear")])
def test_there_is_no_kernel_but_for_the_squared_error(loss, start):
    rng = np.random.default_rng(0)
    tasks = []
    for _ in range(12):
        X = rng.uniform(-3, 3, size=(20, 1))
        tasks.append((X, rng.normal() + np.sin(2 * X[:, 0])))
    settings = START | {"tol": 1e-4, "early_stopping": "auto"}
    assert TMAMLRegressor(loss=loss, **settings).fit(tasks).start_ == start


# ---- what once went wrong


@pytest.mark.parametrize("loss", ALL)
def test_flat_rows_alone_and_their_weights(loss):
    X, y = (
        np.concatenate(part) for part in zip(*(counts(4) if loss == "poisson" else lines(4)), strict=True)
    )
    weight = np.arange(len(y)) % 2
    settings = QUICK | {"loss": loss}
    reg = TMAMLRegressor(**settings).fit(X, y)
    assert np.isfinite(reg.predict(X)).all()
    kept = weight > 0
    weighted = TMAMLRegressor(**settings).fit(X, y, sample_weight=weight)
    bare = TMAMLRegressor(**settings).fit(X[kept], y[kept])
    assert_allclose(weighted.predict(X), bare.predict(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wide", [(60, 300, ()), (60, 3, (4,))])
def test_flat_rows_of_many_columns_and_outputs(wide):
    n_rows, n_features, outputs = wide
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_rows, n_features)), rng.normal(size=(n_rows, *outputs))
    for loss in "squared_error", "huber":
        assert TMAMLRegressor(loss=loss, **QUICK).fit(X, y).predict(X).shape == y.shape


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("level", [0.0, 5.0])
def test_targets_that_are_all_the_same_are_answered_so(loss, level):
    tasks = [(X, np.full(len(X), level)) for X, _ in lines(6, n_rows=12)]
    reg = TMAMLRegressor(loss=loss, **START | {"early_stopping": False}).fit(tasks)
    X, y = tasks[0]
    for n in 0, 5:
        assert_allclose(reg.adapt(X[:n], y[:n]).predict(X), level, atol=0.05 + 0.2 * level)


def test_a_wrong_row_among_equal_ones_does_little_harm():
    y = column([3.0, 3, 3, 3, 3, 3, 4, 2, 3, 1e6])
    _, median, variance = robust_moments(y, torch.ones(10).double())
    assert median.item() == 3 and variance.item() == pytest.approx(1.4826**2)
    one = robust_moments(column([3.0, 3, 3, 3, 1e6]), torch.ones(5).double())
    assert one[2].item() == 0  # says nothing, as of equal targets


@pytest.mark.parametrize("head", ["linear", "posterior"])
def test_large_counts_start_at_their_mean(head):
    tasks = [(X, y * 10**5) for X, y in counts(12)]
    reg = TMAMLRegressor(loss="poisson", head=head, **START | {"early_stopping": False}).fit(tasks)
    X, y = tasks[0]
    rate = reg.adapt(X[:0], y[:0]).predict(np.zeros((1, 2)))[0]
    assert 2e5 < rate < 5e6


def test_a_loss_that_is_set_after_fit_changes_no_answer():
    X, y = lines(1, seed=1)[0]
    reg = TMAMLRegressor(**QUICK).fit(lines(6)).adapt(X, y)
    before = reg.predict(X)
    assert_allclose(reg.set_params(loss="poisson").predict(X), before)


def test_likelihoods_and_rates_of_a_huge_variance_are_finite():
    variance = torch.tensor([[1e3]], dtype=torch.float64, requires_grad=True)
    for y in 0.0, 3.0:
        value = Poisson().of_answers(column([0.0]), variance, column([y]))
        assert value.isfinite().all() and torch.autograd.grad(value, variance)[0].isfinite().all()


@pytest.mark.parametrize("quantile", [0.02, 0.98])
def test_extreme_quantiles_of_many_rows_have_their_share_below(quantile):
    x, y, weight = noisy_line(1000)
    head = ReweightedHead(1, 1, Quantile(quantile)).double()
    head.log_noise.data.fill_(2 * np.log(0.5))
    head.log_precision.data.fill_(-6.0)
    layer = head(x, y, weight)
    below = (y < x @ layer["weight"].mT + layer["bias"]).double().mean().item()
    assert abs(below - quantile) < 0.008
