"""The estimators where scikit-learn's own go: its checks, searches, pipelines, routing."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import sklearn
import torch
from made_tasks import ESTIMATORS, QUICK, flatten, make_tasks
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import skmeta
from skmeta import PerTask, TAMLRegressor, TMAMLClassifier, TMAMLRegressor

TASKS = make_tasks(9, n_features=4)
X, Y, GROUPS = flatten(TASKS)
X_S, Y_S, X_Q = TASKS[0][0][:12], TASKS[0][1][:12], TASKS[0][0][12:]

CHECKS = """
import json, sys, torch
torch.set_num_threads(1)
import skmeta
from sklearn.utils.estimator_checks import check_estimator
results = check_estimator(getattr(skmeta, sys.argv[1])(), on_fail=None, on_skip=None)
report = [[r["check_name"], r["status"], r["expected_to_fail"], str(r["exception"])] for r in results]
print(json.dumps(report))
"""


@pytest.mark.parametrize("estimator", [*ESTIMATORS, TMAMLRegressor, TAMLRegressor, PerTask])
def test_every_check_of_scikit_learn_passes(estimator):
    # scipy reads SCIPY_ARRAY_API as it is imported; without it, the checks of array inputs are skipped.
    alone = os.environ | {"SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHECKS, estimator.__name__],
        env=alone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert [row for row in report if row[1] != "passed"] == []
    assert not any(expected_to_fail for _, _, expected_to_fail, _ in report)
    assert len(report) >= 40
    # .ci/check_sklearn_versions shows this line.
    print(f"{estimator.__name__}: {len(report)} checks passed, scikit-learn {sklearn.__version__}")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_kind_of_estimator_it_is(estimator):
    clf = estimator(**QUICK)
    assert is_classifier(clf)
    assert clf.__sklearn_tags__().input_tags.sparse
    assert "inner_lr=0.1" not in repr(clf) and "inner_steps=2" in repr(clf)
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    check_is_fitted(clf.fit(TASKS))


# ---- searches


def test_a_grid_search_over_tasks():
    grid = {"inner_lr": [0.01, 0.1], "inner_steps": [1, 5]}
    search = GridSearchCV(TMAMLClassifier(**QUICK | {"max_iter": 10}), grid, cv=3).fit(TASKS)
    results = search.cv_results_
    assert len(results["params"]) == 4
    # By hand, the same tasks for every candidate: each third of them scored after a fit on the others.
    for params, mean in zip(results["params"], results["mean_test_score"], strict=True):
        scores = []
        for train, test in KFold(3).split(TASKS):
            clf = TMAMLClassifier(**QUICK | {"max_iter": 10} | params).fit([TASKS[i] for i in train])
            scores.append(clf.score([TASKS[i] for i in test]))
        assert mean == pytest.approx(np.mean(scores))
    assert len(set(results["mean_test_score"])) > 1
    assert search.best_score_ == max(results["mean_test_score"])
    assert search.best_estimator_.n_tasks_ == 9
    refitted = TMAMLClassifier(**QUICK | {"max_iter": 10} | search.best_params_).fit(TASKS)
    for name, p in refitted.meta_params_.items():
        assert torch.equal(search.best_estimator_.meta_params_[name], p)


def test_a_search_finds_the_better_step_size():
    """Steps of 1e-6 adapt to nothing: on tasks that contradict each other, they stay near chance."""
    contrary = [(X, y if i % 2 else 1 - y) for i in range(8) for X, y in make_tasks(1, n_rows=40, seed=3)]
    clf = TMAMLClassifier(**QUICK | {"max_iter": 40, "inner_steps": 5}, learn_inner_lr=False)
    search = GridSearchCV(clf, {"inner_lr": [1e-6, 0.1]}, cv=2).fit(contrary)
    worse, better = search.cv_results_["mean_test_score"]
    assert search.best_params_ == {"inner_lr": 0.1}
    assert better > 0.8 > 0.7 > worse


def test_a_search_over_names_with_skorchs_spelling():
    distributions = {"optimizer__weight_decay": [0.0, 0.5], "hidden_layer_sizes": [(4,), (8,)]}
    search = RandomizedSearchCV(TMAMLClassifier(**QUICK), distributions, n_iter=3, cv=2, random_state=0)
    search.fit(TASKS)
    assert search.best_estimator_.get_params()["optimizer__weight_decay"] in (0.0, 0.5)


def test_cross_validation_over_tasks():
    scores = cross_val_score(TMAMLClassifier(**QUICK), TASKS, cv=3)
    assert scores.shape == (3,) and (scores >= 0).all() and (scores <= 1).all()


def test_cross_validation_of_flat_rows_alone():
    X, y = make_tasks(1, labels=("a", "b", "c"), n_rows=60, spread=0.3)[0]
    clf = TMAMLClassifier(**QUICK | {"max_iter": 20, "inner_steps": 5})
    assert cross_val_score(clf, X, y, cv=3).mean() > 0.9
    assert cross_val_predict(clf, X, y, cv=3, method="predict_proba").shape == (60, 3)


# ---- groups


def test_groups_reach_fit_and_score_with_metadata_routing():
    clf = TMAMLClassifier(**QUICK | {"max_iter": 10})
    by_hand = []
    for train, test in GroupKFold(3).split(X, Y, GROUPS):
        clf.fit(X[train], Y[train], groups=GROUPS[train])
        by_hand.append(clf.score(X[test], Y[test], groups=GROUPS[test]))
    with config_context(enable_metadata_routing=True):
        routed = cross_val_score(clf, X, Y, params={"groups": GROUPS}, cv=GroupKFold(3))
        np.testing.assert_allclose(routed, by_hand)
        search = GridSearchCV(clf, {"inner_lr": [0.05, 0.1]}, cv=GroupKFold(3)).fit(X, Y, groups=GROUPS)
        assert search.best_estimator_.n_tasks_ == 9


def test_groups_go_through_a_pipeline_with_metadata_routing():
    pipe = make_pipeline(StandardScaler(), TMAMLClassifier(**QUICK))
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(pipe, X, Y, params={"groups": GROUPS}, cv=GroupKFold(3))
    by_hand = []
    for train, test in GroupKFold(3).split(X, Y, GROUPS):
        scaler = StandardScaler().fit(X[train])
        clf = TMAMLClassifier(**QUICK).fit(scaler.transform(X[train]), Y[train], groups=GROUPS[train])
        by_hand.append(clf.score(scaler.transform(X[test]), Y[test], groups=GROUPS[test]))
    np.testing.assert_allclose(scores, by_hand)


# ---- pipelines and skmeta.adapt


def test_a_pipeline_that_is_not_adapted_says_so():
    with pytest.raises(NotFittedError, match=r"meta-trained on 9 tasks but not adapted .* Call adapt"):
        fitted_pipeline().predict(X_Q)


def fitted_pipeline():
    return make_pipeline(StandardScaler(), TMAMLClassifier(**QUICK)).fit(X, Y, tmamlclassifier__groups=GROUPS)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_adapt_of_a_pipeline_equals_its_parts_by_hand(estimator):
    name = estimator.__name__.lower()
    pipe = make_pipeline(StandardScaler(), estimator(**QUICK)).fit(X, Y, **{f"{name}__groups": GROUPS})
    adapted = skmeta.adapt(pipe, X_S, Y_S)
    scaler = StandardScaler().fit(X)
    clf = estimator(**QUICK).fit(scaler.transform(X), Y, groups=GROUPS)
    clf.adapt(scaler.transform(X_S), Y_S)
    np.testing.assert_array_equal(adapted.predict(X_Q), clf.predict(scaler.transform(X_Q)))
    np.testing.assert_array_equal(adapted.predict_proba(X_Q), clf.predict_proba(scaler.transform(X_Q)))
    assert adapted.classes_.tolist() == [0, 1]
    assert adapted.score(X_S, Y_S) == clf.score(scaler.transform(X_S), Y_S)


def contents(model):
    """All attributes, and those of the parts, as they are in memory."""
    parts = [model, *(getattr(model, "named_steps", {}).values())]
    parts += [model.best_estimator_] if hasattr(model, "best_estimator_") else []
    return [{name: id(value) for name, value in vars(part).items()} for part in parts]


@pytest.mark.parametrize(
    "make",
    [
        lambda: TMAMLClassifier(**QUICK).fit(TASKS),
        lambda: TMAMLClassifier(**QUICK).fit(TASKS).adapt(*TASKS[1]),
        fitted_pipeline,
        lambda: make_pipeline(TMAMLClassifier(**QUICK)).fit(X, Y, tmamlclassifier__groups=GROUPS),
        lambda: make_pipeline(StandardScaler(), fitted_pipeline().steps[1][1]).fit(X, Y),
        lambda: GridSearchCV(TMAMLClassifier(**QUICK), {"inner_lr": [0.1, 0.2]}, cv=2).fit(TASKS),
        lambda: GridSearchCV(
            make_pipeline(StandardScaler(), TMAMLClassifier(**QUICK)), {"tmamlclassifier__n_shot": [5]}, cv=2
        ).fit(X, Y),
    ],
    ids=["fitted", "adapted", "pipeline", "one step", "flat pipeline", "search", "search of a pipeline"],
)
def test_adapt_leaves_the_original(make):
    model = make()
    before = contents(model)
    adapted = skmeta.adapt(model, X_S, Y_S)
    assert type(adapted) is type(model) and adapted is not model
    assert contents(model) == before
    other = skmeta.adapt(model, *TASKS[2])
    first = adapted.predict_proba(X_Q)
    assert not np.array_equal(other.predict_proba(X_Q), first)
    np.testing.assert_array_equal(adapted.predict_proba(X_Q), first)
    np.testing.assert_array_equal(skmeta.adapt(adapted, X_S, Y_S).predict_proba(X_Q), first)


def test_adapted_copies_share_what_was_meta_learned():
    clf = TMAMLClassifier(**QUICK).fit(TASKS)
    copies = [skmeta.adapt(clf, X, y) for X, y in TASKS]
    assert all(c.net_ is clf.net_ for c in copies)
    assert not hasattr(clf, "adapted_params_")
    expected = clf.predict_tasks(TASKS, [X_Q] * 9)
    for c, p in zip(copies, expected, strict=True):
        np.testing.assert_array_equal(c.predict(X_Q), p)


def test_adapt_of_a_search_adapts_its_best_estimator():
    search = GridSearchCV(TMAMLClassifier(**QUICK), {"inner_lr": [0.01, 0.1]}, cv=3).fit(TASKS)
    by_hand = TMAMLClassifier(**QUICK | search.best_params_).fit(TASKS).adapt(X_S, Y_S)
    np.testing.assert_array_equal(
        skmeta.adapt(search, X_S, Y_S).predict_proba(X_Q), by_hand.predict_proba(X_Q)
    )
