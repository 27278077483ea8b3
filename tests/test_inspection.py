"""What a model did and why: each number equals what leaving out, adapting and scoring by hand give."""

import copy
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import PLAIN, QUICK, make_curves, make_tasks
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_pinball_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skmeta import (
    FewShotClassifier,
    TAMLClassifier,
    TAMLRegressor,
    TMAMLClassifier,
    TMAMLRegressor,
    adapt,
    compare,
)
from skmeta.inspection import UpdatesDisplay, feature_importance, support_influence, transfer_gain
from skmeta.inspection.updates import _shares

TASKS, CURVES = make_tasks(8), make_curves(8)
OWN = [(X, np.char.add(y, f" of {i}")) for i, (X, y) in enumerate(make_tasks(6, labels=("a", "b", "c")))]
CLASSIFIER = TMAMLClassifier(**QUICK).fit(TASKS)
REGRESSOR = TMAMLRegressor(**QUICK).fit(CURVES)
OWN_CLASSES = TMAMLClassifier(**QUICK).fit(OWN)


def pipeline():
    X, y = (np.concatenate(part) for part in zip(*TASKS, strict=True))
    task = np.repeat(np.arange(len(TASKS)), [len(y) for _, y in TASKS])
    return make_pipeline(StandardScaler(), TMAMLClassifier(**QUICK)).fit(X, y, tmamlclassifier__groups=task)


@pytest.mark.parametrize("model", [CLASSIFIER, pipeline()])
def test_a_change_of_probabilities_is_that_of_leaving_the_row_out(model):
    (X, y), (X_query, _) = TASKS[0], TASKS[1]
    found = support_influence(model, X[:9], y[:9], X_query[:4])
    assert found.change.shape == (9, 4, 2) and found.classes.tolist() == [0, 1]
    whole = adapt(model, X[:9], y[:9]).predict_proba(X_query[:4])
    for i in range(9):
        kept = np.delete(np.arange(9), i)
        expected = whole - adapt(model, X[kept], y[kept]).predict_proba(X_query[:4])
        np.testing.assert_allclose(found.change[i], expected, atol=1e-5)
    assert np.abs(found.change).max() > 0.01


@pytest.mark.parametrize("model", [REGRESSOR, Ridge()])
def test_harm_is_how_much_the_mean_error_falls(model):
    (X, y), (X_query, y_query) = CURVES[0], CURVES[1]
    found = support_influence(model, X[:6], y[:6], X_query, y_query)
    assert found.change.shape == (6, len(y_query)) and found.classes is None

    def error(rows):
        fitted = Ridge().fit(X[rows], y[rows]) if isinstance(model, Ridge) else adapt(model, X[rows], y[rows])
        return np.abs(fitted.predict(X_query) - y_query).mean()

    rows = np.arange(6)
    expected = [error(rows) - error(np.delete(rows, i)) for i in rows]
    np.testing.assert_allclose(found.harm, expected, rtol=1e-3, atol=1e-4)


def test_without_labels_harm_is_told_by_rows_that_the_others_answer():
    (X, y), (X_query, _) = CURVES[0], CURVES[1]
    rows = np.arange(5)

    def loss(kept, i):
        kept = np.setdiff1d(kept, i)
        return np.abs(adapt(REGRESSOR, X[kept], y[kept]).predict(X[[i]]) - y[i]).item()

    mean = np.mean([loss(rows, i) for i in rows])
    without = [np.mean([loss(np.delete(rows, i), j) for j in np.delete(rows, i)]) for i in rows]
    found = support_influence(REGRESSOR, X[:5], y[:5], X_query)
    np.testing.assert_allclose(found.harm, mean - without, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("known", [True, False])
def test_a_slip_of_the_pen_does_the_most_harm(known):
    for i, (X, y) in enumerate(CURVES):
        wrong = y[:10] + 20 * (np.arange(10) == i)
        harm = support_influence(REGRESSOR, X[:10], wrong, X[10:], y[10:] if known else None).harm
        assert harm.argmax() == i and harm[i] > 0


def test_a_class_of_one_row_vanishes_with_it():
    X, y = OWN[0]
    rows = np.r_[np.flatnonzero(y == y[0])[:2], np.flatnonzero(y != y[0])[:1]]
    found = support_influence(OWN_CLASSES, X[rows], y[rows], X[:5], y[rows][[0, 0, 0, 0, 0]])
    assert not np.isnan(found.harm[:2]).any() and not np.isnan(found.change[:2]).any()
    assert np.isnan(found.harm[2]) and np.isnan(found.change[2]).all()  # no second class
    three = np.r_[rows, np.flatnonzero(~np.isin(y, y[rows]))[:1]]
    found = support_influence(OWN_CLASSES, X[three], y[three], X[:5])
    whole = adapt(OWN_CLASSES, X[three], y[three])
    column = whole.classes_.tolist().index(y[three[2]])
    np.testing.assert_allclose(found.change[2, :, column], whole.predict_proba(X[:5])[:, column], rtol=1e-4)


def test_one_row_is_compared_with_none():
    X, y = CURVES[0]
    found = support_influence(REGRESSOR, X[:1], y[:1], X[1:4], y[1:4])
    none = adapt(REGRESSOR, X[:0], y[:0]).predict(X[1:4])
    expected = adapt(REGRESSOR, X[:1], y[:1]).predict(X[1:4]) - none
    np.testing.assert_allclose(found.change[0], expected, rtol=1e-4, atol=1e-5)
    assert np.isnan(support_influence(Ridge(), X[:1], y[:1], X[1:4]).harm).all()


def test_rows_and_labels_in_any_container():
    (X, y), (X_query, y_query) = TASKS[0], TASKS[1]
    expected = support_influence(CLASSIFIER, X[:8], y[:8], X_query, y_query)
    for kind in pd.DataFrame, sparse.csr_matrix, np.ndarray.tolist:
        model = (
            CLASSIFIER
            if kind is not sparse.csr_matrix
            else TMAMLClassifier(**QUICK).fit([(sparse.csr_matrix(X), y) for X, y in TASKS])
        )
        found = support_influence(model, kind(X[:8]), pd.Series(y[:8]), kind(X_query), list(y_query))
        if kind is not sparse.csr_matrix:
            np.testing.assert_array_equal(found.change, expected.change)
            np.testing.assert_array_equal(found.harm, expected.harm)
        assert np.isfinite(found.harm).all()


def test_a_few_shot_classifier_and_several_outputs():
    X, y = TASKS[0]
    found = support_influence(FewShotClassifier(CLASSIFIER), X[:9], y[:9], X[9:], y[9:])
    assert found.classes.tolist() == [0, 1] and np.isfinite(found.harm).all()
    tasks = [(X, np.c_[y, -y]) for X, y in CURVES]
    X, y = tasks[0]
    found = support_influence(TMAMLRegressor(**QUICK).fit(tasks), X[:5], y[:5], X, y)
    assert found.change.shape == (5, len(y), 2) and found.harm.shape == (5,)


def test_the_model_stays_as_it_is():
    X, y = TASKS[0]
    model = adapt(CLASSIFIER, X[:9], y[:9])
    before = model.predict_proba(X)
    support_influence(model, X[3:9], y[3:9], X)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_the_plot_has_a_bar_for_each_row_that_matters_most():
    X, y = CURVES[0]
    wrong = y[:10] + 20 * (np.arange(10) == 4)
    display = support_influence(REGRESSOR, X[:10], wrong, X[10:], y[10:]).plot(n_rows=6)
    assert len(display.ax_.patches) == 6
    assert display.ax_.get_yticklabels()[0].get_text() == f"row 4, y = {wrong[4]:.3g}"
    assert display.ax_.patches[0].get_width() == pytest.approx(display.harm[4]) and display.harm[4] > 0
    assert "it harms" in display.ax_.get_xlabel()
    assert display.figure_ is display.ax_.figure


@pytest.mark.parametrize(
    ("model", "sizes", "error", "text"),
    [
        (KMeans(), (3, 3, 3, 3), TypeError, "'model' parameter of support_influence must be a classifier or"),
        (LinearSVC(), (3, 3, 3, 3), TypeError, "with predict_proba. Got LinearSVC"),
        (
            CLASSIFIER,
            (3, 2, 3, 3),
            ValueError,
            "X_support and y_support must have as many rows, one or more. Got 3 and 2",
        ),
        (CLASSIFIER, (0, 0, 3, 3), ValueError, "X_support and y_support must have .* Got 0 and 0"),
        (CLASSIFIER, (3, 3, 3, 2), ValueError, "X_query and y_query must have .* Got 3 and 2"),
        (CLASSIFIER, (3, 3, 0, None), ValueError, "X_query must have a row or more"),
    ],
)
def test_a_bad_call_names_what_is_wrong(model, sizes, error, text):
    X, y = TASKS[0]
    a, b, c, d = sizes
    with pytest.raises(error, match=text):
        support_influence(model, X[:a], y[:b], X[:c], None if d is None else y[:d])


def test_labels_that_cannot_be_judged_are_refused():
    (X, y), (A, b) = TASKS[0], CURVES[0]
    with pytest.raises(ValueError, match=r"y_query has none of the classes .* \[0, 1\]\. Got \[7\]"):
        support_influence(LogisticRegression(), X[:9], y[:9], X[:2], np.array([7, 7]))
    with pytest.raises(ValueError, match="y_query must be finite numbers"):
        support_influence(REGRESSOR, A[:9], b[:9], A[9:11], [1.0, np.nan])
    with pytest.raises(ValueError, match=r"shape of predictions, \(10,\)\. Got \(10, 1\)"):
        support_influence(REGRESSOR, A[:9], b[:9], A[9:19], b[9:19, None])
    with pytest.raises(ValueError, match="y_support must have 2 classes or more for TMAMLClassifier"):
        support_influence(OWN_CLASSES, X[:3], ["a"] * 3, X[3:])
    with pytest.raises(
        ValueError, match=r"X_query must have rows of the shape \(3,\), as X_support\. Got \(2,"
    ):
        support_influence(CLASSIFIER, X[:9], y[:9], X[9:, :2])
    with pytest.raises(ValueError, match="y_support is None"):
        support_influence(CLASSIFIER, X[:9], None, X[9:])


def test_a_column_of_labels_is_its_only_column():
    X, y = TASKS[0]
    expected = support_influence(CLASSIFIER, X[:9], y[:9], X[9:], y[9:])
    with pytest.warns(DataConversionWarning):
        found = support_influence(CLASSIFIER, X[:9], y[:9, None], X[9:], y[9:, None])
    np.testing.assert_array_equal(found.harm, expected.harm)


def test_a_quantile_is_judged_by_its_own_loss():
    (A, b), (Aq, bq) = CURVES[0], CURVES[1]
    model = TMAMLRegressor(**PLAIN, loss="quantile", quantile=0.9).fit(CURVES)
    found = support_influence(model, A[:6], b[:6], Aq, bq)
    assert found.measure == "loss of the 0.9 quantile"
    rows = np.arange(6)
    losses = [
        mean_pinball_loss(bq, adapt(model, A[kept], b[kept]).predict(Aq), alpha=0.9)
        for kept in (rows, *(np.delete(rows, i) for i in rows))
    ]
    np.testing.assert_allclose(found.harm, losses[0] - np.array(losses[1:]), rtol=1e-3, atol=1e-4)


def test_harm_compares_the_same_rows_with_a_row_and_without():
    """Without one of two rows of a class, the other's cannot be answered, and counts in neither mean."""
    X, y = OWN[0]
    two = np.r_[np.flatnonzero(y == y[0])[:4], np.flatnonzero(y != y[0])[:1]]
    label = y[two[4]]
    rows = np.r_[two, np.flatnonzero(y == label)[1:2]]
    model = LogisticRegression()
    found = support_influence(model, X[rows], y[rows], X)

    def losses(kept):
        """Of each of the six rows by the ``kept`` others; NaN where these have one class."""
        out = np.full(6, np.nan)
        for i in range(6):
            by = [j for j in kept if j != i]
            if len(np.unique(y[rows[by]])) > 1:
                fitted = LogisticRegression().fit(X[rows[by]], y[rows[by]])
                column = fitted.classes_.tolist().index(y[rows[i]])
                out[i] = -fitted.predict_log_proba(X[rows[[i]]])[0, column]
        return out

    whole = losses(range(6))
    for i in range(6):
        without = losses(np.delete(np.arange(6), i))
        without[i] = np.nan
        compared = ~np.isnan(without)
        with_it = compared | (np.arange(6) == i)
        assert found.harm[i] == pytest.approx(whole[with_it].mean() - without[compared].mean(), rel=1e-6)


# ---- which features matter

SLOPES = [
    (X, X[:, 0] + slope * X[:, 1])
    for X, slope in zip(np.random.default_rng(0).normal(size=(9, 30, 3)), np.linspace(-2, 2, 9), strict=True)
]


@pytest.fixture(scope="module")
def slopes():
    return TMAMLRegressor(**QUICK).fit(SLOPES[1:])


def test_both_importances_are_those_of_scikit_learn(slopes):
    X, y = SLOPES[0]
    found = feature_importance(slopes, X[:10], y[:10], X[10:], y[10:], n_repeats=3, random_state=0)
    for one, rows in ((found.prior, slice(0)), (found.adapted, slice(10))):
        model = adapt(slopes, X[rows], y[rows])
        seed = np.random.RandomState(0).randint(2**31 - 1)
        expected = permutation_importance(model, X[10:], y[10:], n_repeats=3, random_state=seed)
        np.testing.assert_array_equal(one.importances, expected.importances)
    assert found.adapted.importances_mean[1] > found.prior.importances_mean[1] + 0.5
    assert found.names.tolist() == ["feature 0", "feature 1", "feature 2"]


def test_features_of_a_frame_keep_their_names_in_the_plot():
    X, y = TASKS[0]
    names = ["age", "dose", "sex"]
    tasks = [(pd.DataFrame(X, columns=names), y) for X, y in TASKS]
    model = TMAMLClassifier(**QUICK).fit(tasks)
    X, y = tasks[0]
    found = feature_importance(model, X[:6], y[:6], X[6:], y[6:], scoring="neg_log_loss").plot(n_features=2)
    assert found.names.tolist() == names
    drawn = [text.get_text() for text in found.ax_.get_yticklabels()]
    assert len(drawn) == 2 and set(drawn) < set(names)
    widths = [patch.get_width() for patch in found.ax_.patches]
    assert len(widths) == 4 and widths[2] >= widths[3]
    assert widths[2] == pytest.approx(found.adapted.importances_mean[names.index(drawn[0])])


def test_labels_of_a_task_have_no_prior_to_ask():
    X, y = OWN[0]
    with pytest.raises(ValueError, match="TMAMLClassifier has no answer without a row"):
        feature_importance(OWN_CLASSES, X[:9], y[:9], X[9:], y[9:])
    with pytest.raises(TypeError, match="model must be an estimator of skmeta"):
        feature_importance(Ridge(), X[:9], y[:9], X[9:], y[9:])
    with pytest.raises(TypeError, match="must be one metric"):
        feature_importance(CLASSIFIER, *TASKS[0], *TASKS[1], scoring=["accuracy"])


# ---- what the update did


def test_the_steps_are_those_of_adapt():
    (X, y), steps = CURVES[0], 3
    model = TMAMLRegressor(**PLAIN | {"inner_steps": steps}).fit(CURVES)
    found = UpdatesDisplay.from_estimator(model, X[:8], y[:8], X[8:], y[8:])
    assert found.layers == ["backbone.layers.0", "head", "level and scale"]
    assert found.steps == ["level", "step 1", "step 2", "step 3"]
    assert found.predicted is None and found.directions is None and found.measure == "absolute error"
    states = [adapt(clone(model, adapt_steps=k), X[:8], y[:8]) for k in range(steps + 1)]
    states = [adapt(model, X[:0], y[:0]), *states]
    for k, state in enumerate(states):
        assert found.losses[k] == np.abs(state.predict(X[:8]) - y[:8]).mean()
        assert found.query_losses[k] == np.abs(state.predict(X[8:]) - y[8:]).mean()
    for k, (one, other) in enumerate(pairwise(states)):
        for layer, name in enumerate(["backbone.layers.0", "head"]):
            parts = [other.adapted_params_[f"{name}.{p}"] - one.adapted_params_[f"{name}.{p}"] for p in PARTS]
            expected = torch.cat([part.flatten() for part in parts]).norm().item()
            assert found.moves[k, layer] == pytest.approx(expected, rel=1e-5)
    assert (found.moves[1:, :2] > 0).all() and (found.moves[1:, 2] == 0).all()
    assert (found.moves[0, :2] == 0).all() and found.moves[0, 2] > 0


PARTS = "weight", "bias"


def clone(model, **params):
    return copy.copy(model).set_params(**params)


@pytest.mark.parametrize("head", ["linear", "posterior"])
@pytest.mark.parametrize("algorithm", [TMAMLClassifier, TAMLRegressor])
def test_shares_add_up_to_the_change_of_predictions(algorithm, head):
    tasks = CURVES if algorithm is TAMLRegressor else TASKS
    X, y = tasks[0]
    model = algorithm(**QUICK, head=head, early_stopping=False).fit(tasks)
    found = UpdatesDisplay.from_estimator(model, X[:9], y[:9], X[9:])
    assert found.shares.sum() == pytest.approx(1, abs=0.01)
    assert (found.steps[0] == "solve") == (head == "posterior")
    assert found.query_losses is None
    assert len(found.shares) == len(found.layers) == found.moves.shape[1]
    if head == "posterior":
        before = [layer.startswith("backbone") for layer in found.layers]
        assert (found.moves[0, before] == 0).all() and found.moves[0, found.layers.index("head")] > 0


def test_of_one_layer_that_moves_the_share_is_one():
    X, y = CURVES[0]
    model = TMAMLRegressor(**PLAIN, adapt_params="head").fit(CURVES)
    assert UpdatesDisplay.from_estimator(model, X[:8], y[:8]).shares[0] == 0


def test_the_share_of_each_layer_of_a_product_is_that_of_its_factor():
    """Of w * v * x, from (1, 1) to (1 + a, 1 + b), along the straight way a + ab/2 and b + ab/2."""
    X, y = CURVES[0]
    model = adapt(TMAMLRegressor(**PLAIN).fit(CURVES), X[:8], y[:8])

    class Product(BaseEstimator):
        _level_and_scale = (0.0, 1.0)

        def __init__(self, w, v):
            self.adapted_params_ = {"one.w": torch.tensor(w), "two.v": torch.tensor(v)}

        def __sklearn_tags__(self):
            return model.__sklearn_tags__()

        def predict(self, X):
            return self.adapted_params_["one.w"].item() * self.adapted_params_["two.v"].item() * X[:, 0]

    shares = _shares(Product(1.0, 1.0), Product(1.5, 3.0), ["one", "two"], X)
    np.testing.assert_allclose(shares, np.array([1.0, 2.5]) / 3.5, rtol=1e-5)


def test_of_taml_the_predicted_parts_are_those_of_updates():
    X, y = TASKS[0]
    model = adapt(TAMLClassifier(**PLAIN | {"max_iter": 20}).fit(TASKS), X[:9], y[:9])
    found = UpdatesDisplay.from_estimator(model, X[:9], y[:9])
    updates = model.updates_
    head = np.flatnonzero(np.char.startswith(updates["tensors"], "head"))
    expected = np.sqrt(np.square(updates["predicted"][:, head]).sum(1))
    np.testing.assert_allclose(found.predicted[:, -1], expected)
    assert set(found.directions) == set(updates["directions"])
    np.testing.assert_allclose(found.directions["sign"][:, -1], updates["weights"][:, head, 1].mean(1))
    axes = found.plot().ax_
    assert len(axes[0].patches) == 2 * found.moves.size and len(axes[1].lines) == 1
    assert [text.get_text() for text in axes[2].get_yticklabels()] == found.layers


def test_labels_of_a_task_have_no_layer_before():
    X, y = OWN[0]
    found = UpdatesDisplay.from_estimator(OWN_CLASSES, X[:9], y[:9], X[9:], y[9:])
    assert "solve" not in found.steps and len(found.losses) == len(found.steps) + 1
    assert np.isfinite(found.query_losses).all()


def test_only_our_estimators_have_updates():
    with pytest.raises(TypeError, match=r"Got Ridge\(\) instead\. Of a pipeline, pass the last step"):
        UpdatesDisplay.from_estimator(Ridge(), *CURVES[0])
    with pytest.raises(NotFittedError):
        UpdatesDisplay.from_estimator(TMAMLRegressor(), *CURVES[0])
    X, y = TASKS[0]
    with pytest.raises(ValueError, match="y_query has labels, but X_query is None"):
        UpdatesDisplay.from_estimator(CLASSIFIER, X[:9], y[:9], y_query=y[9:])


def test_a_level_of_its_own_has_a_share_and_no_step_is_drawn_too():
    tasks = make_curves(8, log_scale=1.5, level=20)
    X, y = tasks[0]
    model = TMAMLRegressor(**QUICK, early_stopping=False).fit(tasks)
    found = UpdatesDisplay.from_estimator(model, X[:8], y[:8], X[8:], y[8:])
    before = adapt(model, X[:0], y[:0])
    assert found.query_losses[0] == pytest.approx(np.abs(before.predict(X[8:]) - y[8:]).mean())
    assert np.abs(found.shares[found.layers.index("level and scale")]) > 0.3
    assert found.shares.sum() == pytest.approx(1, abs=0.01)
    still = UpdatesDisplay.from_estimator(
        TMAMLClassifier(**PLAIN, adapt_steps=0).fit(TASKS), *(part[:9] for part in TASKS[0])
    )
    assert still.moves.shape == (0, 2) and np.isnan(still.shares).all()
    assert len(still.plot().ax_) == 3


# ---- who gains


def test_gains_are_paired_differences_of_each_task():
    drawn = {"n_episodes": 16, "n_shot": 4, "n_query": 6, "random_state": 3}
    pooled = Ridge().fit(*map(np.concatenate, zip(*CURVES, strict=True)))
    found = transfer_gain(REGRESSOR, CURVES, local=Ridge(alpha=10), pooled=pooled, **drawn)
    prior = FrozenEstimator(adapt(REGRESSOR, *(part[:0] for part in CURVES[0])))
    others = {"prior": prior, "local": Ridge(alpha=10), "pooled": FrozenEstimator(pooled)}
    assert list(found.gains) == list(found.intervals) == list(others)
    assert found.task.tolist() == list(range(8))
    for name, other in others.items():
        difference = compare(REGRESSOR, other, CURVES, **drawn)
        pairs = (difference.a.scores - difference.b.scores).reshape(8, 2)
        np.testing.assert_allclose(found.gains[name], pairs.mean(1), rtol=1e-6)
        half = 12.706 * np.abs(np.diff(pairs, axis=1)[:, 0]) / 2  # Student's t of one degree of freedom
        np.testing.assert_allclose(found.intervals[name], half, rtol=1e-3)
    assert not np.allclose(found.gains["prior"], found.gains["local"])


@pytest.mark.parametrize("kind", ["sparse", "missing", "categories", "images"])
def test_the_local_model_takes_rows_as_users_have_them(kind):
    tasks = []
    for X, y in TASKS:
        if kind == "sparse":
            X = sparse.csr_matrix(X)
        elif kind == "missing":
            X = np.where(np.arange(X.size).reshape(X.shape) % 7, X, np.nan)
        elif kind == "categories":
            X = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(np.where(X[:, 1] > 0, "x", "z"))})
        else:
            X = X[:, :, None]
        tasks.append((X, y))
    own = {"module": Flat, "hidden_layer_sizes": TMAMLClassifier().hidden_layer_sizes}
    model = TMAMLClassifier(**QUICK | (own if kind == "images" else {})).fit(tasks)
    found = transfer_gain(model, tasks, n_episodes=8, n_shot=4)
    assert np.isfinite(found.gains["local"]).all() and np.isfinite(found.gains["prior"]).all()


class Flat(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(3, 4))


def test_a_gain_is_of_our_models_over_fitted_ones():
    with pytest.raises(TypeError, match="must be a classifier or a regressor of skmeta"):
        transfer_gain(Ridge(), CURVES)
    with pytest.raises(TypeError, match="Got FrozenEstimator"):
        transfer_gain(FrozenEstimator(REGRESSOR), CURVES)
    with pytest.raises(NotFittedError):
        transfer_gain(REGRESSOR, CURVES, pooled=Ridge())
    with pytest.raises(ValueError, match=r"The local model: task 0: .*Pass another as 'local'"):
        transfer_gain(CLASSIFIER, TASKS, local=LinearSVC(), metric="neg_log_loss", n_episodes=8)


def test_a_prior_is_scored_by_areas_under_curves_of_the_classes_that_a_task_has():
    tasks = make_tasks(6, labels=("a", "b", "c"))
    model = TMAMLClassifier(**QUICK).fit(tasks)
    two = [(X[y != "c"], y[y != "c"]) for X, y in tasks]
    found = transfer_gain(model, two, n_episodes=12, n_shot=3, metric="roc_auc")
    assert np.isfinite(found.gains["prior"]).all()


def test_labels_of_a_task_have_no_prior_to_gain_over():
    found = transfer_gain(OWN_CLASSES, OWN, n_episodes=6, n_shot=3)
    assert list(found.gains) == ["local"] and np.isnan(found.intervals["local"]).all()


def test_the_plot_has_the_tasks_in_the_order_of_their_gains():
    found = transfer_gain(CLASSIFIER, TASKS, n_episodes=16, n_shot=3, metric="neg_log_loss")
    names = [f"clinic {i}" for i in range(8)]
    axes = found.plot(names=names).ax_
    assert len(axes) == 2
    heights = [bar.get_height() for bar in axes[0].patches]
    assert heights == sorted(heights) and len(heights) == 8
    assert axes[0].get_xticklabels()[0].get_text() == names[found.gains["prior"].argmin()]
    won = (found.gains["prior"] > 0).sum()
    assert axes[0].get_title() == f"Over the prior: {won} of 8 tasks gain"
    assert axes[1].get_ylabel() == "gain, neg_log_loss"


def test_bad_calls_of_displays_name_what_is_wrong():
    X, y = TASKS[0]
    with pytest.raises(ValueError, match=r"'n_rows' parameter of plot must be an int .* Got -1 instead"):
        support_influence(CLASSIFIER, X[:5], y[:5], X[5:]).plot(n_rows=-1)
    with pytest.raises(ValueError, match=r"'n_features' parameter of plot must be an int .* Got 0 instead"):
        feature_importance(CLASSIFIER, X[:5], y[:5], X[5:], y[5:]).plot(n_features=0)
    with pytest.raises(ValueError, match=r"names must have one for each of the 8 tasks\. Got 1"):
        transfer_gain(CLASSIFIER, TASKS, n_episodes=8, n_shot=2).plot(names=["a"])
    with pytest.raises(ValueError, match=r"X and y must have as many rows, one or more\. Got 0 and 0"):
        UpdatesDisplay.from_estimator(CLASSIFIER, X[:0], y[:0])
    with pytest.raises(ValueError, match=r"X_query must have rows of the shape \(3,\), as X\. Got \(2,\)"):
        UpdatesDisplay.from_estimator(CLASSIFIER, X[:9], y[:9], X[9:, :2])
