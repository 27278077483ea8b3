"""What rows count: ``sample_weight``, a third part of tasks, and ``class_weight``."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import ESTIMATORS, QUICK, REGRESSORS, flatten, make_lines, make_tasks
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta.tasks.targets import CommonScale, moments

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
    tasks = rare(9)  # too few for folds, which might choose a kernel for one of both
    of_rows = np.random.default_rng(0).integers(1, 3, 60).astype(float)
    model = skmeta.TMAMLClassifier(class_weight={"no": 1, "yes": 3}, max_iter=3, random_state=0).fit(tasks)
    X, y = tasks[0]
    both = answers(model, (X, y, of_rows), X)
    plain = skmeta.TMAMLClassifier(max_iter=3, random_state=0).fit(tasks)
    plain.net_.module_.load_state_dict(model.net_.module_.state_dict())
    by_product = answers(plain, (X, y, of_rows * np.where(y == "yes", 3, 1)), X)
    assert_allclose(both, by_product, rtol=1e-4)


def test_balanced_classes_mind_sample_weights():
    (task,), (copies,) = weighted(rare(1), least=1)
    settings = {"class_weight": "balanced", "random_state": 0}
    by_weight = skmeta.TMAMLClassifier(**settings).fit(task[0], task[1], sample_weight=task[2])
    by_copies = skmeta.TMAMLClassifier(**settings).fit(*copies)
    # A copy that counts less than one is left out whole, of a row that counts more than one a one.
    assert_allclose(by_weight.predict_proba(task[0]), by_copies.predict_proba(task[0]), atol=5e-3)


def own_classes(n_rows=(10, 10, 10, 10, 10, 10, 10, 10, 10)):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(n_rows)), n_rows)
    return rng.normal(size=(len(y), 3)) + y[:, None] % 4, y


def test_own_classes_are_balanced_in_each_support_set():
    X, y = own_classes()
    settings = QUICK | {"label_space": "per_task"}
    model = skmeta.TMAMLClassifier(class_weight="balanced", **settings).fit(X, y)
    few, many = X[y == 3][:2], X[y == 4][:8]
    support = np.concatenate([few, many]), np.repeat([3, 4], [2, 8])
    as_many = np.concatenate([few] * 4 + [many]), np.repeat([3, 4], [8, 8])
    plain = skmeta.TMAMLClassifier(**settings).fit(X, y)
    plain.net_.module_.load_state_dict(model.net_.module_.state_dict())
    expected = answers(plain, (*as_many, np.full(16, 5 / 8)), X)
    assert_allclose(answers(model, support, X), expected, rtol=1e-3)
    assert_array_equal(model.predict_tasks([support], [X])[0], skmeta.adapt(plain, *as_many).predict(X))


def test_stratified_episodes_are_balanced_already():
    X, y = own_classes((12, 12, 12, 12))
    settings = QUICK | {"label_space": "per_task", "n_shot": 3, "n_query": 3, "n_way": 2}
    plain, balanced = (
        skmeta.TMAMLClassifier(class_weight=class_weight, **settings).fit(X, y)
        for class_weight in (None, "balanced")
    )
    assert_allclose(balanced.loss_curve_, plain.loss_curve_, rtol=1e-5)


# ---- scores, tools


def test_scores_of_tasks_are_weighted():
    tasks, _ = weighted(make_tasks(9), least=1)
    model = skmeta.TMAMLClassifier(**QUICK).fit(tasks)
    heavy = [(X, y, np.where(y == y[0], 1e-9, 1.0)) for X, y, _ in tasks]
    assert np.isfinite(skmeta.evaluate(model, heavy, n_episodes=9, metric="neg_log_loss").scores).all()
    rivals = LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())
    for rival in rivals:  # they answer the class that counts, which their fit was told of too
        for metric in "accuracy", accuracy_score:
            assert skmeta.evaluate(rival, heavy, n_episodes=9, metric=metric).mean > 0.99
    X_all, y_all, weight = (np.concatenate(part) for part in zip(*heavy, strict=True))
    groups = np.repeat(np.arange(9), [len(task[1]) for task in heavy])
    assert model.score(X_all, y_all, weight, groups=groups) == model.score(heavy)
    assert model.score(heavy) != model.score([task[:2] for task in heavy])


@pytest.mark.parametrize(("estimator", "make"), ALL)
def test_rows_of_weight_zero_are_not_scored(estimator, make):
    tasks, _ = weighted(make(9))
    fewer = [without_zeros(*task) for task in tasks]
    model = estimator(**QUICK).fit(tasks)
    assert model.score(tasks) == model.score(fewer)
    for n_shot in 1, 4:
        of_all, of_fewer = (skmeta.evaluate(model, t, n_episodes=18, n_shot=n_shot) for t in (tasks, fewer))
        assert_array_equal(of_all.scores, of_fewer.scores)
    one_row = [(*tasks[0][:2], np.eye(len(tasks[0][1]))[0])]
    with pytest.warns(UserWarning, match="1 of 10 tasks cannot give an episode"):
        assert model.score(tasks + one_row) == model.score(tasks)


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
        weight = np.where(groups == 0, 0.0, 1.0)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        with pytest.warns(UserWarning, match="task 0 has no rows of a weight above 0"):
            make_pipeline(scaler, learner).fit(X_all, y_all, groups=groups, sample_weight=weight)


def test_a_class_without_weight_is_none_to_a_few_shot_estimator():
    X, y = own_classes((10, 10, 10))
    prior = skmeta.TMAMLClassifier(label_space="per_task", n_way=2, **QUICK).fit(*own_classes())
    for gone in 0, 1, 2:
        model = skmeta.FewShotClassifier(prior).fit(X, y, np.where(y == gone, 0.0, 1.0))
        without = skmeta.FewShotClassifier(prior).fit(X[y != gone], y[y != gone])
        assert model.classes_.tolist() == without.classes_.tolist()
        assert_array_equal(model.predict_proba(X), without.predict_proba(X))


# ---- what may be a weight


@pytest.mark.parametrize("form", [lambda w: w[::-1][::-1], lambda w: w.tolist(), pd.Series, torch.as_tensor])
def test_weights_of_any_form(form):
    X, y = make_lines(1)[0]
    weight = np.linspace(0.5, 2, len(y))
    expected = skmeta.TMAMLRegressor(random_state=0).fit(X, y, sample_weight=weight).predict(X)
    model = skmeta.TMAMLRegressor(random_state=0).fit(X, y, sample_weight=form(weight))
    assert_array_equal(model.predict(X), expected)
    assert_array_equal(model.adapt(X, y, form(weight)).predict(X), expected)


def test_read_only_and_reversed_weights_are_taken():
    X, y = make_lines(1)[0]
    weight = np.linspace(0.5, 2, len(y))
    weight.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        skmeta.TMAMLRegressor(random_state=0).fit(X, y, sample_weight=weight[::-1]).adapt(X, y, weight)


def test_a_third_part_may_be_none():
    tasks = make_tasks(9)
    X = tasks[0][0]
    none = skmeta.TMAMLClassifier(**QUICK).fit([(*task, None) for task in tasks])
    ones = skmeta.TMAMLClassifier(**QUICK).fit([(*task, np.ones(len(X))) for task in tasks])
    assert_array_equal(answers(none, (*tasks[1], None), X), answers(ones, tasks[1], X))


def test_shares_that_are_taken_for_counts_are_told():
    X, y = make_lines(1, n_rows=100)[0]
    with pytest.warns(UserWarning, match=r"sample_weight is 0.01 at most: 100 rows count as 1"):
        model = skmeta.TMAMLRegressor(random_state=0).fit(X, 1e3 * y, sample_weight=np.full(100, 0.01))
    assert np.isfinite(model.predict(X)).all()


def test_the_common_scale_of_less_than_two_rows():
    y = torch.randn(5, 8, 1, dtype=torch.float64)
    of_tasks = zip(*(moments(values, torch.full((8,), 0.05)) for values in y), strict=True)
    scaler = CommonScale(*map(torch.stack, of_tasks))
    assert 0 < scaler.scale < 2
