"""What rows count: ``sample_weight``, a third part of tasks, and ``class_weight``."""

import numpy as np
import pytest
from made_tasks import ESTIMATORS, QUICK, REGRESSORS, flatten, make_lines, make_tasks
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

ALL = [*((e, make_tasks) for e in ESTIMATORS), *((e, make_lines) for e in REGRESSORS)]
# The start alone, which is fitted in closed form or by the same steps.
START = {"max_iter": 1, "tol": 1e9, "random_state": 0}


def weighted(tasks, least=0, seed=0):
    """Tasks with a weight of ``least`` to 3 for each row, and the same with rows repeated as often."""
    rng = np.random.default_rng(seed)
    with_weights = [(X, y, rng.integers(least, 4, len(y)).astype(float)) for X, y in tasks]
    return with_weights, [repeated(*task) for task in with_weights]


def repeated(X, y, weight):
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    return X[rows], y[rows]


def without_zeros(X, y, weight):
    return X[weight > 0], y[weight > 0], weight[weight > 0]


def answers(model, support, X):
    adapted = skmeta.adapt(model, *support)
    return adapted.predict_proba(X) if hasattr(model, "predict_proba") else adapted.predict(X)


def test_the_mixed_model_of_weighted_rows_is_that_of_repeated_ones():
    tasks, copies = weighted(make_lines(20))
    by_weight, by_copies = (skmeta.TMAMLRegressor(**START).fit(part) for part in (tasks, copies))
    assert by_weight.best_iter_ == by_copies.best_iter_ == 0
    X = tasks[0][0]
    assert_allclose(answers(by_weight, tasks[1], X), answers(by_copies, copies[1], X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "settings", [{}, {"head": "linear"}, {"label_space": "per_task"}, {"head": "prototype"}]
)
@pytest.mark.parametrize(("estimator", "make"), ALL)
def test_a_support_row_of_weight_two_is_two_rows(estimator, make, settings):
    if make is make_lines and not {"head": "linear"}.items() >= settings.items():
        pytest.skip("a setting of classifiers")
    tasks = make(9)
    model = estimator(**QUICK | settings).fit(tasks)
    (task,), (copies,) = weighted(tasks[:1])
    assert_allclose(answers(model, task, task[0]), answers(model, copies, task[0]), rtol=1e-3, atol=1e-4)
    in_batch = model.predict_tasks([task, tasks[1]], [task[0], task[0]])
    assert_allclose_or_equal(in_batch[0], skmeta.adapt(model, *task).predict(task[0]))
    assert_allclose_or_equal(in_batch[1], skmeta.adapt(model, *tasks[1]).predict(task[0]))


def assert_allclose_or_equal(a, b):
    if a.dtype.kind == "f":
        assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    else:
        assert_array_equal(a, b)


@pytest.mark.parametrize(("estimator", "make"), ALL)
def test_a_row_of_weight_zero_is_none(estimator, make):
    tasks, _ = weighted(make(9))
    X = tasks[0][0]
    fits = [estimator(**QUICK).fit(part) for part in (tasks, list(map(lambda t: without_zeros(*t), tasks)))]
    support, fewer = tasks[1], without_zeros(*tasks[1])
    expected = answers(fits[1], fewer, X)
    assert_array_equal(answers(fits[0], support, X), expected)
    X_all, y_all, weight = (np.concatenate(part) for part in zip(*tasks, strict=True))
    groups = np.repeat(np.arange(9), [len(task[1]) for task in tasks])
    flat = estimator(**QUICK).fit(X_all, y_all, groups=groups, sample_weight=weight.tolist())
    assert_array_equal(answers(flat, support, X), expected)
    lazy = estimator(**QUICK).fit(skmeta.TaskList(tasks.__getitem__, range(len(tasks))))
    assert_array_equal(answers(lazy, support, X), expected)


@pytest.mark.parametrize(("estimator", "make"), ALL)
def test_weights_of_one_are_none(estimator, make):
    tasks = make(9)
    X = tasks[0][0]
    plain = estimator(**QUICK).fit(tasks)
    ones = estimator(**QUICK).fit([(*task, np.ones(len(task[1]))) for task in tasks])
    assert_allclose(
        answers(ones, (*tasks[1], np.ones(len(X))), X), answers(plain, tasks[1], X), rtol=1e-4, atol=1e-5
    )


def test_training_minds_the_weights():
    """Rows of one kind have another slope; where these weigh nothing much, it is not learned."""
    tasks = make_lines(30)
    rng = np.random.default_rng(1)
    mixed, truth = [], []
    for X, y in tasks:
        is_wrong = rng.random(len(y)) < 0.5
        mixed.append((X, np.where(is_wrong, -3 * y, y), np.where(is_wrong, 1e-6, 1.0)))
        truth.append((X, y))
    by_weight = skmeta.TMAMLRegressor(max_iter=20, random_state=0).fit(mixed)
    without = skmeta.TMAMLRegressor(max_iter=20, random_state=0).fit([task[:2] for task in mixed])
    assert by_weight.score(truth) > max(without.score(truth), 0.5)


def test_features_are_standardised_by_weight():
    X = np.array([[0.0, 1.0], [10.0, np.nan], [20.0, 3.0], [1e6, 5.0]] * 4)
    weight = np.array([1.0, 2.0, 1.0, 1e-15] * 4)
    y = np.tile([0.0, 1.0, 2.0, 3.0], 4)
    reg = skmeta.TMAMLRegressor(random_state=0).fit(X, y, sample_weight=weight)
    assert_allclose(reg._preparation.mean, [10, 2], rtol=1e-6)
    assert_allclose(reg._preparation.missing_shares, [0.5])
    rows = sparse.csr_matrix(np.nan_to_num(X[:, :1]))
    reg = skmeta.TMAMLRegressor(random_state=0).fit(rows, y, sample_weight=weight)
    assert_allclose(reg._preparation.scale, [50**0.5], rtol=1e-3)


# ---- class_weight


def rare(n_tasks=12, n_rows=60, seed=0):
    """Tasks of two classes, the second of which is rare."""
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.normal(size=(n_rows, 2))
        logit = 1.5 * X[:, 0] - 3 + rng.normal(scale=0.3)
        y = np.where(rng.random(n_rows) < 1 / (1 + np.exp(-logit)), "yes", "no")
        y[:2] = "no", "yes"
        tasks.append((X, y))
    return tasks


def test_balanced_classes_are_what_their_weights_make_of_them():
    tasks = rare()
    y = np.concatenate([task[1] for task in tasks])
    of_class = {label: len(y) / 2 / (y == label).sum() for label in ("no", "yes")}
    settings = {"max_iter": 3, "random_state": 0}
    balanced = skmeta.TMAMLClassifier(class_weight="balanced", **settings).fit(tasks)
    by_dict = skmeta.TMAMLClassifier(class_weight=of_class, **settings).fit(tasks)
    X, expected = tasks[0][0], answers(balanced, tasks[0], tasks[0][0])
    assert_allclose(answers(by_dict, tasks[0], X), expected, rtol=1e-5)
    plain = skmeta.TMAMLClassifier(**settings).fit(tasks)
    found = [(skmeta.adapt(model, *tasks[0]).predict(X) == "yes").mean() for model in (balanced, plain)]
    assert found[0] > found[1]


def test_class_weights_multiply_sample_weights():
    tasks = rare()
    of_rows = np.random.default_rng(0).integers(1, 3, 60).astype(float)
    model = skmeta.TMAMLClassifier(class_weight={"no": 1, "yes": 3}, max_iter=3, random_state=0).fit(tasks)
    X, y = tasks[0]
    both = answers(model, (X, y, of_rows), X)
    plain = skmeta.TMAMLClassifier(max_iter=3, random_state=0).fit(tasks)
    plain.net_.module_.load_state_dict(model.net_.module_.state_dict())
    by_product = answers(plain, (X, y, of_rows * np.where(y == "yes", 3, 1)), X)
    assert_allclose(both, by_product, rtol=1e-4)


def test_own_classes_are_balanced_in_each_support_set():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 3)), np.repeat(np.arange(9), 10)
    model = skmeta.TMAMLClassifier(class_weight="balanced", label_space="per_task", **QUICK).fit(X, y)
    few, many = X[y == 3][:2], X[y == 4][:8]
    support = np.concatenate([few, many]), np.repeat([3, 4], [2, 8])
    repeated_few = np.concatenate([few] * 4 + [many]), np.repeat([3, 4], [8, 8])
    halved = np.where(repeated_few[1] == 3, 5 / 8, 5 / 8)
    plain = skmeta.TMAMLClassifier(label_space="per_task", **QUICK).fit(X, y)
    plain.net_.module_.load_state_dict(model.net_.module_.state_dict())
    assert_allclose(answers(model, support, X), answers(plain, (*repeated_few, halved), X), rtol=1e-3)


# ---- scores, tools


def test_scores_of_tasks_are_weighted():
    tasks, _ = weighted(make_tasks(9), least=1)
    model = skmeta.TMAMLClassifier(**QUICK).fit(tasks)
    heavy = [(X, y, np.where(y == y[0], 1e-9, 1.0)) for X, y, _ in tasks]
    drawn = skmeta.evaluate(model, heavy, n_episodes=9, metric="neg_log_loss")
    assert np.isfinite(drawn.scores).all()
    for metric in "accuracy", accuracy_score:
        constant = skmeta.evaluate(LogisticRegression(), heavy, n_episodes=9, metric=metric)
        assert constant.mean > 0.99  # of the class that counts, which the fit was told of too
    assert 0 <= model.score(heavy) <= 1


def test_scores_of_regressors_are_weighted():
    tasks = [(X, y, np.where(np.arange(len(y)) % 2, 0.0, 1.0)) for X, y in make_lines(9)]
    few = [(X[::2], y[::2]) for X, y, _ in tasks]
    model = skmeta.TMAMLRegressor(**QUICK).fit(few)
    assert model.score(tasks) == pytest.approx(model.score(few), abs=0.2)
    scores = skmeta.evaluate(LinearRegression(), tasks, n_episodes=9, metric=r2_score).scores
    assert scores.shape == (9,)


def test_weights_reach_a_pipeline_and_a_few_shot_estimator():
    (task,), (copies,) = weighted(make_tasks(1), least=1)
    X_all, y_all, groups = flatten(make_tasks(9))
    pipe = make_pipeline(StandardScaler(), skmeta.TMAMLClassifier(**QUICK))
    pipe.fit(X_all, y_all, tmamlclassifier__groups=groups)
    expected = answers(pipe, copies, task[0])
    assert_allclose(answers(pipe, task, task[0]), expected, rtol=1e-3)
    assert_allclose(skmeta.FewShotClassifier(pipe).fit(*task).predict_proba(task[0]), expected, rtol=1e-3)
    with config_context(enable_metadata_routing=True):
        learner = skmeta.TMAMLClassifier(**QUICK).set_fit_request(sample_weight=True)
        weight = np.where(y_all == y_all[0], 0.0, 1.0)
        weight[:20] = 1.0
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, learner).fit(X_all, y_all, groups=groups, sample_weight=weight)
    assert routed[-1].n_tasks_ == 9
