"""The regressors: targets of any shape, scale and level, oracles, forms of input, and that they learn."""

import pickle
from functools import partial

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from made_tasks import (
    ESTIMATORS,
    PLAIN,
    QUICK,
    REGRESSORS,
    episodes_seen_by,
    flatten,
    make_curves,
    make_tasks,
    split,
)
from scipy import sparse
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.neural_network import MLPRegressor
from skorch.callbacks import Callback
from torch import nn

from skmeta import TAMLRegressor, TMAMLRegressor
from skmeta.engine import forced_strategy

TASKS = make_curves()
X, Y = TASKS[0]
RAGGED = [(X[: 8 + 2 * i], y[: 8 + 2 * i]) for i, (X, y) in enumerate(TASKS)]
# Tasks whose scales differ by factors of a million.
WIDE = make_curves(30, log_scale=6.0, seed=1)

each_regressor = pytest.mark.parametrize("regressor", REGRESSORS)


def copied(params):
    return {name: p.clone() for name, p in params.items()}


def same_params(a, b):
    return a.keys() == b.keys() and all(torch.equal(p, b[name]) for name, p in a.items())


def assert_same_model(a, b, X=X, support=TASKS[1]):
    """Two fitted regressors know and answer the same, to the last bit."""
    assert same_params(a.meta_params_, b.meta_params_)
    np.testing.assert_array_equal(a.adapt(*support).predict(X), b.adapt(*support).predict(X))


def assert_close(actual, expected, share):
    """No further apart than that share of the spread of what is expected."""
    assert np.shape(actual) == np.shape(expected)
    assert np.abs(actual - expected).max() <= share * np.std(expected)


def test_the_helpers_of_this_file_see_a_difference():
    a, b = (TMAMLRegressor(**QUICK | {"random_state": seed}).fit(TASKS) for seed in (0, 1))
    with pytest.raises(AssertionError):
        assert_same_model(a, b)
    with pytest.raises(AssertionError):
        assert_close(Y + 0.1 * np.std(Y), Y, share=0.01)


# ---- shapes and kinds of targets


@pytest.mark.parametrize("outputs", [(), (1,), (2,)], ids=str)
@each_regressor
def test_predictions_have_the_shape_of_the_targets(regressor, outputs):
    tasks = make_curves(outputs=outputs)
    (X, y), (X_query, _) = tasks[:2]
    reg = regressor(**QUICK).fit(tasks).adapt(X, y)
    assert reg.predict(X_query[:7]).shape == (7, *outputs)
    assert reg.predict(X_query[:1]).shape == (1, *outputs)
    assert reg.predict(X_query[:0]).shape == (0, *outputs)
    assert reg.predict(X).dtype == np.float64
    many, none = reg.predict_tasks(tasks[:2], [X_query, X_query[:0]])
    assert many.shape == (24, *outputs) and none.shape == (0, *outputs)
    assert np.isfinite(reg.score(tasks))
    assert not hasattr(reg, "classes_")


@each_regressor
def test_a_column_of_targets_is_a_vector_of_them(regressor):
    columns = [(X, y[:, None]) for X, y in TASKS]
    a, b = regressor(**QUICK).fit(TASKS), regressor(**QUICK).fit(columns)
    assert same_params(a.meta_params_, b.meta_params_)
    expected = a.adapt(X, Y).predict(X)
    np.testing.assert_array_equal(b.adapt(X, Y[:, None]).predict(X)[:, 0], expected)
    assert a.score(TASKS) == b.score(columns)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32, bool])
@each_regressor
def test_targets_of_any_number_type(regressor, dtype):
    tasks = [(X, np.abs(3 * y).astype(dtype)) for X, y in TASKS]
    as_doubles = [(X, y.astype(float)) for X, y in tasks]
    assert_same_model(regressor(**QUICK).fit(tasks), regressor(**QUICK).fit(as_doubles), support=tasks[1])


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])
def test_no_query_rows_and_one(estimator):
    tasks = TASKS if estimator in REGRESSORS else make_tasks()
    X, y = tasks[0]
    model = estimator(**QUICK).fit(tasks).adapt(X, y)
    assert model.predict(X[:1]).shape == (1,)
    assert model.predict(X[:0]).shape == (0,)
    assert model.predict(X[:0]).dtype == model.predict(X).dtype
    if estimator in ESTIMATORS:
        assert model.predict_proba(X[:0]).shape == model.predict_log_proba(X[:0]).shape == (0, 2)
        assert model.decision_function(X[:0]).shape == (0,)
    assert [len(p) for p in model.predict_tasks(tasks[:3], [X[:0], X[:1], X])] == [0, 1, 24]


# ---- scales and levels


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@each_regressor
def test_multiplying_all_targets_multiplies_the_predictions(regressor, factor):
    a = regressor(**QUICK).fit(WIDE)
    b = regressor(**QUICK).fit([(X, factor * y) for X, y in WIDE])
    for X, y in WIDE[:5]:
        expected = factor * a.adapt(X[:6], y[:6]).predict(X)
        assert_close(b.adapt(X[:6], factor * y[:6]).predict(X), expected, 1e-3)
    assert b.score([(X, factor * y) for X, y in WIDE]) == pytest.approx(a.score(WIDE), rel=1e-3)


@pytest.mark.parametrize("shift", [-50.0, 1e9])
@each_regressor
def test_adding_to_all_targets_adds_to_the_predictions(regressor, shift):
    """Where scales are alike. A double next to 1e9 has a rounding of 1e-7."""
    alike = [(X, y / np.std(y)) for X, y in TASKS]
    a = regressor(**QUICK).fit(alike)
    b = regressor(**QUICK).fit([(X, y + shift) for X, y in alike])
    for X, y in alike[:3]:
        expected = a.adapt(X, y).predict(X)
        assert_close(b.adapt(X, y + shift).predict(X) - shift, expected, 1e-3)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@each_regressor
def test_where_scales_vary_a_tasks_own_scale_multiplies_its_predictions(regressor, factor):
    reg = regressor(**QUICK | {"max_iter": 20}).fit(WIDE)
    X, y = make_curves(1, n_rows=300, seed=7)[0]
    for n_support, share in (20, 0.3), (280, 0.03):
        expected = reg.adapt(X[:n_support], y[:n_support]).predict(X[280:])
        scaled = reg.adapt(X[:n_support], factor * y[:n_support]).predict(X[280:])
        assert_close(scaled / factor, expected, share)


@each_regressor
def test_tasks_a_million_times_apart_are_all_learned(regressor):
    """One scale for all would leave the small ones at a large negative R²."""
    scales = np.logspace(-6, 6, len(WIDE))
    tasks = [(X, c * (X[:, 0] + 1)) for c, (X, _) in zip(scales, WIDE, strict=True)]
    reg = regressor(**QUICK | {"max_iter": 150}, n_shot=15).fit(tasks)
    scores = [r2_score(y[15:], reg.adapt(X[:15], y[:15]).predict(X[15:])) for X, y in tasks]
    assert np.median(scores) > 0.8 and min(scores) > 0.4


@each_regressor
def test_a_support_set_of_one_row_or_of_equal_targets(regressor):
    reg = regressor(**QUICK).fit(WIDE)
    for X, y in ((TASKS[0][0][:1], [3.0]), (TASKS[0][0], np.full(24, 1e6))):
        assert np.isfinite(reg.adapt(X, y).predict(TASKS[0][0])).all()


@each_regressor
def test_constant_and_large_features(regressor):
    """A constant tells nothing, and units of features are nobody's concern."""
    constant = [(np.hstack([X, np.full((24, 1), 0.1), np.zeros((24, 1))]), y) for X, y in TASKS]
    large = [(X * [1e4, 1e-4, 1] + [0, 0, 1e4], y) for X, y in TASKS]
    for tasks in constant, large:
        reg = regressor(**QUICK).fit(tasks)
        assert np.isfinite(reg.loss_curve_).all() and reg.n_skipped_ == 0
        assert np.isfinite(reg.adapt(*tasks[0]).predict(1e3 * tasks[1][0])).all()
    plain, reg = regressor(**QUICK).fit(TASKS), regressor(**QUICK).fit(large)
    expected = plain.adapt(*TASKS[1]).predict(X)
    assert_close(reg.adapt(*large[1]).predict(large[0][0]), expected, 0.02)


# ---- bounds


@each_regressor
def test_a_feature_counts_up_to_ten_deviations_from_its_mean(regressor):
    rows = np.concatenate([X for X, _ in TASKS]).astype(float)
    mean, deviation = rows.mean(0), rows.std(0)
    reg = regressor(**QUICK).fit(TASKS).adapt(X, Y)
    for sign in np.eye(3)[[0, 1, 2]] * 2 - 1, -np.eye(3), np.ones((1, 3)):
        less, ten, far = (reg.predict(mean + sign * n * deviation) for n in (9, 10, 1000))
        np.testing.assert_allclose(far, ten, rtol=1e-5, atol=1e-5 * np.std(Y))
        assert (np.abs(less - ten) > 1e-3 * np.std(Y)).all()


class Gradients(Callback):
    """Keeps the Euclidean norm of the gradient of each outer step."""

    def __init__(self):
        self.norms = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        grads = [p.grad.flatten() for _, p in named_parameters if p.grad is not None]
        self.norms.append(float(torch.cat(grads).norm()))


@each_regressor
def test_outer_gradients_are_clipped_to_a_norm_of_one(regressor):
    seen = Gradients()
    tasks = [(X, y + 100 * (X[:, 0] > 1)) for X, y in TASKS]
    regressor(**QUICK | {"max_iter": 10}, inner_lr=0.5, callbacks=[seen]).fit(tasks)
    assert len(seen.norms) == 10
    assert max(seen.norms) == pytest.approx(1, rel=1e-4)


def steep(n_features=50):
    """A task whose rows all lie ten deviations out, on one of two sides, and of which the side tells all."""
    side = np.where(np.arange(20) % 2, 1.0, -1.0)
    return side[:, None] * np.full((1, n_features), 1e3), side


def test_inner_gradients_are_bounded_by_a_norm_of_thirty():
    """A gradient of 2 * 10 * 50 ** (1 / 2) is drawn in; the step is that much of the step size."""
    tasks, settings = make_curves(n_features=50), PLAIN | {"hidden_layer_sizes": ()}
    one_step = {"inner_lr": 0.125, "learn_inner_lr": False, "adapt_steps": 1}
    reg = TMAMLRegressor(**settings, **one_step).fit(tasks)

    def length(task):
        before, after = reg.meta_params_, reg.adapt(*task).adapted_params_
        step = torch.cat([(after[name] - p).flatten() for name, p in before.items() if name in after])
        return float(step.norm()) / 0.125

    assert length(steep()) == pytest.approx(30, rel=1e-4)
    assert all(length(task) < 29 for task in tasks)


def test_inner_gradients_of_taml_are_bounded_alike():
    settings = PLAIN | {"hidden_layer_sizes": (), "inner_steps": 1}
    reg = TAMLRegressor(**settings, inner_lr=0.125, learn_inner_lr=False).fit(make_curves(n_features=50))
    norms = reg.adapt(*steep()).updates_["gradient"]
    assert np.linalg.norm(norms, axis=-1) / 0.125 == pytest.approx(30, rel=1e-4)


# ---- other implementations


@pytest.mark.parametrize("outputs", [(), (2,)], ids=str)
def test_many_steps_of_a_linear_regressor_are_least_squares(outputs):
    settings = PLAIN | {"hidden_layer_sizes": ()}
    tasks = make_curves(9, n_rows=60, outputs=outputs)
    reg = TMAMLRegressor(**settings, adapt_steps=1000, inner_lr=0.1).fit(tasks[:-1])
    X, y = tasks[-1]
    expected = LinearRegression().fit(X[:40], y[:40]).predict(X[40:])
    assert_close(reg.adapt(X[:40], y[:40]).predict(X[40:]), expected, 1e-3)


@pytest.mark.parametrize("n_steps", [0, 1, 7])
def test_steps_of_a_linear_regressor_are_a_contraction(n_steps):
    """theta_K = best + (I - 2 lr Z'Z/n)^K (theta_0 - best), in units of the task."""
    settings = PLAIN | {"hidden_layer_sizes": (), "learn_inner_lr": False, "inner_lr": 0.1}
    X, y, X_query, _ = split(make_curves(1, n_rows=60, seed=3)[0], 40)
    reg = TMAMLRegressor(**settings, adapt_steps=n_steps).fit(TASKS).adapt(X, y)
    rows = np.concatenate([task_X for task_X, _ in TASKS]).astype(float)

    def standard(X):
        return np.hstack([(X - rows.mean(0)) / rows.std(0), np.ones((len(X), 1))])

    level, scale = (v.item() for v in reg._labels.scaler(torch.as_tensor(y)[:, None], torch.ones(len(y))))
    Z, t = standard(X), (y - level) / scale
    meta = reg.meta_params_
    start = np.append(meta["head.weight"].numpy(), meta["head.bias"].numpy())
    best = np.linalg.lstsq(Z, t, rcond=None)[0]
    contraction = np.linalg.matrix_power(np.eye(4) - 2 * 0.1 * Z.T @ Z / len(Z), n_steps)
    theta = best + contraction @ (start - best)
    assert_close(reg.predict(X_query), level + scale * standard(X_query) @ theta, 1e-5)


@pytest.mark.parametrize("strategy", ["batched", "vmap"])
def test_adapting_with_steps_far_too_large_stays_finite(strategy):
    X = np.linspace(-1, 1, 12)[:, None]
    tasks = [(X, a * X[:, 0]) for a in (1.0, -1.0, 2.0, 3.0)]
    steps = {"inner_lr": 5.0, "learn_inner_lr": False, "inner_steps": 1, "adapt_steps": 60, "max_iter": 1}
    with forced_strategy(strategy):
        reg = TMAMLRegressor(hidden_layer_sizes=(), head="linear", **steps, random_state=0).fit(tasks)
        assert np.isfinite(reg.adapt(*tasks[0]).predict(X)).all()
        reg.net_.module_.largest_gradient = None  # it is the bound that keeps it so
        with pytest.raises(FloatingPointError, match="not finite after 60 inner steps"):
            reg.adapt(*tasks[0])


@each_regressor
def test_score_is_the_mean_r2_of_the_rows_beside_the_support_set(regressor):
    reg = regressor(**QUICK | {"max_iter": 30}, n_shot=5).fit(RAGGED)
    with episodes_seen_by(reg) as seen:
        score = reg.score(RAGGED)
    by_hand = []
    for (X, y), (support, query, _) in zip(RAGGED, seen, strict=True):
        prepared = reg._preparation(torch.as_tensor(X)).numpy()
        kept = [(row == prepared).all(1).argmax() for row in support]
        rest = np.setdiff1d(np.arange(len(y)), kept)
        assert len(set(kept)) == 5 and all((query == prepared[i]).all(1).any() for i in rest)
        by_hand.append(r2_score(y[rest], reg.adapt(X[kept], y[kept]).predict(X[rest])))
    assert np.ptp(by_hand) > 0.1
    assert score == pytest.approx(np.mean(by_hand), abs=1e-4)


@each_regressor
def test_score_of_rows_is_the_usual_one(regressor):
    reg = regressor(**QUICK).fit(TASKS).adapt(X, Y)
    weight = np.arange(24.0)
    assert reg.score(X, Y) == r2_score(Y, reg.predict(X))
    assert reg.score(X, Y, sample_weight=weight) == r2_score(Y, reg.predict(X), sample_weight=weight)


def test_the_validation_score_is_one_minus_the_error_in_units_of_the_tasks_spread():
    """One given episode is held out; every look at it gives the same."""
    given = [split(task) for task in TASKS]
    reg = TMAMLRegressor(**PLAIN, early_stopping=True).fit(given)
    by_hand = []
    for (_, y), (X_s, y_s, X_q, y_q) in zip(TASKS, given, strict=True):
        _, spread = reg._labels.scaler(torch.as_tensor(y)[:, None], torch.ones(len(y)))
        error = mean_squared_error(y_q, reg.adapt(X_s, y_s).predict(X_q)) / spread.item() ** 2
        by_hand.append(1 - error)
    (score,) = reg.validation_scores_
    assert np.sum(np.isclose(score, by_hand, atol=1e-4)) == 1


# ---- forms of input


@each_regressor
def test_flat_rows_with_groups_are_the_same_tasks_as_a_list(regressor):
    X, y, groups = flatten(RAGGED)
    flat, listed = regressor(**QUICK).fit(X, y, groups=groups), regressor(**QUICK).fit(RAGGED)
    assert flat.n_tasks_ == listed.n_tasks_ == 8
    assert flat.score(X, y, groups=groups) == listed.score(RAGGED)
    assert_same_model(flat, listed)


@each_regressor
def test_flat_rows_alone_are_one_task_that_is_adapted_to(regressor):
    X, y = make_curves(1, n_rows=60, noise=0)[0]
    reg = regressor(random_state=0).fit(X, y)
    assert (reg.n_tasks_, reg.n_iter_, reg.best_iter_, reg.loss_curve_) == (1, 1, 0, [])
    predicted, params = reg.predict(X), copied(reg.adapted_params_)
    assert same_params(reg.adapt(X, y).adapted_params_, params)
    np.testing.assert_array_equal(reg.predict(X), predicted)
    assert reg.score(X, y) > 0.7


@each_regressor
def test_given_episodes_are_used_as_they_are(regressor):
    given = [split(task, 8 + i) for i, task in enumerate(TASKS)]
    reg = regressor(**QUICK).fit(given)
    assert_same_model(reg, regressor(**QUICK | {"n_query": 1}, n_shot=1).fit(given))
    by_hand = [reg.adapt(*g[:2]).score(*g[2:]) for g in given]
    assert reg.score(given) == pytest.approx(np.mean(by_hand), abs=1e-4)


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array])
@each_regressor
def test_sparse_tasks_equal_dense_ones(regressor, form):
    """For a module, which gets them as passed; for the default network, sparse rows are not centred."""
    dense = [(np.where(X > 0, X, 0), y) for X, y in RAGGED]
    thin = [(form(X), y) for X, y in dense]
    a, b = (regressor(partial(nn.Linear, 3, 8), **QUICK).fit(tasks) for tasks in (dense, thin))
    for name, p in a.meta_params_.items():  # their sums differ in the last bits
        torch.testing.assert_close(b.meta_params_[name], p, rtol=1e-4, atol=1e-5)
    expected = a.adapt(*dense[3]).predict(dense[4][0])
    assert_close(b.adapt(*thin[3]).predict(thin[4][0]), expected, 1e-4)
    assert b.score(thin) == pytest.approx(a.score(dense), abs=1e-4)
    queries = [X for X, _ in thin]
    for (X, y), p in zip(dense, b.predict_tasks(thin, queries), strict=True):
        assert_close(p, a.adapt(X, y).predict(X), 1e-3)


def polars_frame(X):
    return pl.DataFrame(X, schema=["age", "dose", "size"])


def pandas_frame(X):
    return pd.DataFrame(X, columns=["age", "dose", "size"])


@pytest.mark.parametrize(
    ("frame", "series"), [(pandas_frame, pd.Series), (polars_frame, pl.Series)], ids=["pandas", "polars"]
)
@each_regressor
def test_frames_keep_their_names(regressor, frame, series):
    frames = [(frame(X), series(y)) for X, y in TASKS]
    reg = regressor(**QUICK).fit(frames)
    assert reg.feature_names_in_.tolist() == ["age", "dose", "size"]
    plain = regressor(**QUICK).fit(TASKS)
    assert same_params(reg.meta_params_, plain.meta_params_)
    assert reg.score(frames) == plain.score(TASKS)
    predicted = reg.adapt(*frames[0]).predict(frames[1][0])
    np.testing.assert_array_equal(predicted, plain.adapt(X, Y).predict(TASKS[1][0]))
    wrong = frames[0][0][["age", "size", "dose"]]
    with pytest.raises(ValueError, match="feature names should match"):
        reg.predict(wrong)


@pytest.mark.parametrize("storage", ["read-only", "memory-mapped", "Fortran", "reversed"])
@each_regressor
def test_rows_and_targets_in_any_storage(regressor, storage, tmp_path):
    def stored(a, name):
        if storage == "memory-mapped":
            np.save(tmp_path / name, a)
            return np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        if storage == "read-only":
            a = a.copy()
            a.flags.writeable = False
            return a
        return np.asfortranarray(a) if storage == "Fortran" else np.ascontiguousarray(a[::-1])[::-1]

    tasks = [(stored(X, f"X{i}"), stored(y, f"y{i}")) for i, (X, y) in enumerate(TASKS)]
    torch.set_warn_always(True)
    try:
        reg = regressor(**QUICK).fit(tasks)
        assert_same_model(reg, regressor(**QUICK).fit(TASKS), tasks[0][0], tasks[1])
        assert_same_model(regressor(**QUICK).fit(*tasks[0]), regressor(**QUICK).fit(X, Y), tasks[2][0])
        reg.predict_tasks(tasks, [X for X, _ in tasks])
        reg.score(tasks)
    finally:
        torch.set_warn_always(False)


# ---- predictions


@each_regressor
def test_predict_tasks_equals_adapt_and_predict_one_by_one(regressor):
    for tasks in RAGGED, WIDE:
        reg = regressor(**QUICK | {"max_iter": 20}, adapt_steps=3).fit(tasks)
        supports = [(X[: 4 + i % 4], y[: 4 + i % 4]) for i, (X, y) in enumerate(tasks)]
        queries = [X[i % 5 :] for i, (X, _) in enumerate(tasks)]
        one_by_one = [reg.adapt(*s).predict(q) for s, q in zip(supports, queries, strict=True)]
        last = copied(reg.adapted_params_)
        for p, expected in zip(reg.predict_tasks(supports, queries), one_by_one, strict=True):
            assert_close(p, expected, 1e-4)
        assert same_params(reg.adapted_params_, last)
        np.testing.assert_array_equal(reg.predict(queries[-1]), one_by_one[-1])


@each_regressor
def test_a_row_alone_is_predicted_as_among_others(regressor):
    reg = regressor(**QUICK).fit(TASKS).adapt(X, Y)
    alone = np.concatenate([reg.predict(row[None]) for row in X])
    np.testing.assert_allclose(alone, reg.predict(X), rtol=1e-12)


@each_regressor
def test_the_order_of_the_support_rows_does_not_matter(regressor):
    reg = regressor(**QUICK).fit(TASKS)
    order = np.random.default_rng(0).permutation(24)
    expected = reg.adapt(X, Y).predict(X)
    assert_close(reg.adapt(X[order], Y[order]).predict(X), expected, 1e-4)


def test_an_untrained_taml_is_tmaml_to_the_last_bit():
    still = QUICK | {"optimizer": "sgd", "outer_lr": 1e-30, "adapt_steps": 5}
    tmaml, taml = TMAMLRegressor(**still).fit(WIDE), TAMLRegressor(**still).fit(WIDE)
    for support in WIDE:
        tmaml.adapt(*support)
        assert same_params(tmaml.adapted_params_, taml.adapt(*support).adapted_params_)
        np.testing.assert_array_equal(tmaml.predict(X), taml.predict(X))
    steps = {"max_iter": 20, "early_stopping": False}
    trained = TAMLRegressor(**QUICK | steps).fit(WIDE).adapt(*WIDE[0])
    before = trained.predict(X)
    trained.net_.module_.meta_model = None
    assert not np.array_equal(trained.adapt(*WIDE[0]).predict(X), before)


# ---- training and state


@each_regressor
def test_early_stopping_keeps_the_best_state(regressor):
    settings = PLAIN | {"inner_steps": 1, "max_iter": 400, "meta_batch_size": 2, "outer_lr": 0.1}
    stop = {"early_stopping": True, "n_iter_no_change": 1, "tol": 0.0}
    given = [split(task) for task in TASKS]
    reg = regressor(**settings, **stop, iterator_train__steps_per_epoch=20).fit(given)
    scores = reg.validation_scores_
    best = int(np.argmax(scores))
    assert len(scores) == len(reg.history_) == best + 2 < 20
    assert reg.n_iter_ == 20 * len(scores)
    until_best = settings | {"max_iter": 20 * (best + 1)}
    again = regressor(**until_best, **stop, iterator_train__steps_per_epoch=20).fit(given)
    assert_same_model(reg, again)


@pytest.mark.parametrize("dump", ["pickle", "joblib"])
@each_regressor
def test_a_round_trip_predicts_the_same(regressor, dump, tmp_path):
    reg = regressor(**QUICK, early_stopping=True).fit(WIDE).adapt(X, Y)
    if dump == "pickle":
        again = pickle.loads(pickle.dumps(reg))
    else:
        joblib.dump(reg, tmp_path / "reg.joblib")
        again = joblib.load(tmp_path / "reg.joblib")
    np.testing.assert_array_equal(again.predict(X), reg.predict(X))
    assert_same_model(again, reg)
    assert again.score(WIDE) == reg.score(WIDE)


@pytest.mark.parametrize("inequality", ["theil", "gini", "atkinson", "generalized_entropy", "log_variance"])
@each_regressor
def test_inequalities_lower_their_objective(regressor, inequality):
    settings = PLAIN | {"max_iter": 40, "outer_lr": 0.02, "meta_batch_size": 8}
    reg = regressor(**settings, task_regularizer=inequality).fit(WIDE)
    curve = np.array(reg.loss_curve_)
    assert np.isfinite(curve).all() and np.median(curve[-10:]) < np.median(curve[:10]) - 0.05
    short = settings | {"max_iter": 3}
    plain = regressor(**short).fit(WIDE)
    some, none = (
        regressor(**short, task_regularizer=inequality, regularizer_weight=w).fit(WIDE) for w in (0.1, 0)
    )
    assert not same_params(some.meta_params_, plain.meta_params_)
    assert same_params(none.meta_params_, plain.meta_params_)


@each_regressor
def test_entropy_is_of_classes(regressor):
    reg = regressor(**QUICK, task_regularizer="entropy")
    with pytest.raises(ValueError, match=f"task_regularizer='entropy' .* {regressor.__name__} has not"):
        reg.fit(TASKS)
    assert not hasattr(reg, "net_")


# ---- that they learn


def make_sinusoids(n_tasks, seed, n_rows=40):
    """Finn et al. 2017: amplitudes of 0.1 to 5, phases of 0 to pi."""
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.uniform(-5, 5, size=(n_rows, 1))
        tasks.append((X, rng.uniform(0.1, 5) * np.sin(X[:, 0] - rng.uniform(0, np.pi))))
    return tasks


def held_out_error(predict, seed):
    """Mean squared error of new tasks over the mean square of their targets, from ten support rows."""
    new = [split(task, 10) for task in make_sinusoids(40, 100 + seed)]
    errors = [np.mean((predict(*task[:3]) - task[3]) ** 2) for task in new]
    return np.mean(errors) / np.mean([np.mean(task[3] ** 2) for task in new])


def errors_of(regressor, seed):
    tasks = make_sinusoids(200, seed)
    settings = {"hidden_layer_sizes": (40, 40), "early_stopping": False}
    reg = regressor(n_shot=10, **settings, max_iter=200, random_state=seed).fit(tasks)
    assert reg.n_skipped_ <= 5
    pooled = MLPRegressor(hidden_layer_sizes=(40, 40), max_iter=20, random_state=seed)
    pooled.fit(*map(np.concatenate, zip(*tasks, strict=True)))
    return {
        "adapted": held_out_error(lambda X, y, X_query: reg.adapt(X, y).predict(X_query), seed),
        "pooled": held_out_error(lambda X, y, X_query: pooled.predict(X_query), seed),
        "local": held_out_error(lambda X, y, X_query: Ridge().fit(X, y).predict(X_query), seed),
    }


# The pooled network needs no last digit; and a squared error may, now and then, explode in an inner loop.
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:A meta-step was not finite:UserWarning")
@each_regressor
def test_sinusoids_are_learned_from_ten_rows(regressor):
    runs = [errors_of(regressor, seed) for seed in range(2)]
    errors = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    for name, values in errors.items():
        print(f"{regressor.__name__}, {name}: {values.round(3)}, spread {np.ptp(values):.3f}")
    for baseline in "pooled", "local":
        assert (errors["adapted"] < errors[baseline] - 0.25).all()
        assert errors["adapted"].mean() < 0.4 * errors[baseline].mean()
