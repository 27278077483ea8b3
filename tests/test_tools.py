"""scikit-learn's tools, one row each: what they make of our estimators equals the same thing by hand.

Tools for tasks get a learner, whose lists of tasks they split. Those for plain rows get
``FewShotClassifier`` or ``FewShotRegressor`` of a prior, or a learner that is fitted to flat rows.
"""

import os

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import LEARNING, flatten, make_lines, make_tasks
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmeta import (
    FewShotClassifier,
    FewShotRegressor,
    TaskList,
    TMAMLClassifier,
    TMAMLRegressor,
    adapt,
    few_shot_scorer,
)

TASKS = make_tasks(9, n_features=4)
X, Y, GROUPS = flatten(TASKS)
LINES = make_lines(9)
# The same rows with labels that say the contrary in every other task: only adapting helps.
CONTRARY = [(X, y if i % 2 else 1 - y) for i in range(8) for X, y in make_tasks(1, n_rows=40, seed=3)]
# Three classes, fitted flat or few-shot; the first 60 rows are there to fit.
FLAT_X, FLAT_Y = make_tasks(1, labels=("a", "b", "c"), n_rows=120, n_features=4, seed=5)[0]
FIT_X, FIT_Y, NEW_X, NEW_Y = FLAT_X[:60], FLAT_Y[:60], FLAT_X[60:], FLAT_Y[60:]
LEARNER = TMAMLClassifier(head="linear", **LEARNING)
FLAT_LEARNER = TMAMLClassifier(**LEARNING | {"max_iter": 20, "inner_steps": 5})


@pytest.fixture(scope="module")
def prior():
    """Of a per-task label space: it adapts to classes of any name."""
    tasks = make_tasks(20, labels=("a", "b", "c"), n_features=4, seed=1)
    return TMAMLClassifier(**LEARNING | {"max_iter": 40}, label_space="per_task").fit(tasks)


@pytest.fixture(scope="module")
def few_shot(prior):
    return FewShotClassifier(prior)


@pytest.fixture(scope="module")
def lines_prior():
    return TMAMLRegressor(**LEARNING | {"max_iter": 40, "inner_steps": 5, "inner_lr": 0.2}).fit(LINES)


def some(tasks, index):
    return [tasks[i] for i in index]


def scores_by_hand(clf, tasks, cv, scorer=None):
    """Of each fold: the score of its tasks after a fit to those of the others."""
    scorer = scorer or (lambda clf, tasks: clf.score(tasks))
    folds = KFold(cv).split(tasks)
    return [scorer(clone(clf).fit(some(tasks, train)), some(tasks, test)) for train, test in folds]


def with_params(clf, params):
    return clone(clf).set_params(**params)


def assert_same_learned(a, b):
    for name, p in a.meta_params_.items():
        assert torch.equal(b.meta_params_[name], p), name


def test_the_helper_of_this_file_sees_a_difference():
    one, other = (with_params(LEARNER, {"random_state": seed}).fit(TASKS) for seed in (0, 1))
    with pytest.raises(AssertionError):
        assert_same_learned(one, other)


# ---- searches


def test_grid_search():
    """The same tasks for every candidate: each third of them scored after a fit on the others."""
    clf = TMAMLClassifier(head="linear", **LEARNING | {"max_iter": 10})
    search = GridSearchCV(clf, {"inner_lr": [0.01, 0.1], "inner_steps": [1, 5]}, cv=3).fit(TASKS)
    results = search.cv_results_
    assert len(results["params"]) == 4
    for params, mean in zip(results["params"], results["mean_test_score"], strict=True):
        assert mean == pytest.approx(np.mean(scores_by_hand(with_params(clf, params), TASKS, 3)))
    assert len(set(results["mean_test_score"])) > 1
    assert search.best_score_ == max(results["mean_test_score"])
    assert search.best_estimator_.n_tasks_ == 9
    assert_same_learned(search.best_estimator_, with_params(clf, search.best_params_).fit(TASKS))


def test_grid_search_finds_the_better_step_size():
    """Steps of 1e-6 adapt to nothing: on tasks that contradict each other, they stay near chance."""
    settings = LEARNING | {"head": "linear", "max_iter": 40, "inner_steps": 5, "learn_inner_lr": False}
    clf = TMAMLClassifier(**settings)
    search = GridSearchCV(clf, {"inner_lr": [1e-6, 0.3]}, cv=2).fit(CONTRARY)
    worse, better = search.cv_results_["mean_test_score"]
    assert search.best_params_ == {"inner_lr": 0.3}
    assert better > 0.8 > 0.7 > worse


def test_randomized_search():
    """Names with skorch's spelling are searched too."""
    distributions = {"optimizer__weight_decay": [0.0, 0.5], "hidden_layer_sizes": [(4,), (8,)]}
    search = RandomizedSearchCV(LEARNER, distributions, n_iter=3, cv=2, random_state=0).fit(TASKS)
    results = search.cv_results_
    assert len({str(params) for params in results["params"]}) == 3
    for params, mean in zip(results["params"], results["mean_test_score"], strict=True):
        assert mean == pytest.approx(np.mean(scores_by_hand(with_params(LEARNER, params), TASKS, 2)))
    assert search.best_params_.items() <= search.best_estimator_.get_params().items()
    assert_same_learned(search.best_estimator_, with_params(LEARNER, search.best_params_).fit(TASKS))


def test_halving_grid_search():
    """With outer steps as the resource: half of the candidates stay, and train for twice as long."""
    grid = {"inner_lr": [1e-6, 0.01, 0.1, 0.5]}
    halving = {"resource": "max_iter", "min_resources": 2, "max_resources": 8, "factor": 2, "cv": 3}
    search = HalvingGridSearchCV(LEARNER, grid, **halving, random_state=0).fit(TASKS)
    results = search.cv_results_
    assert search.n_candidates_ == [4, 2, 1] and search.n_resources_ == [2, 4, 8]
    for params, n, mean in zip(
        results["params"], results["n_resources"], results["mean_test_score"], strict=True
    ):
        assert params["max_iter"] == n
        assert mean == pytest.approx(np.mean(scores_by_hand(with_params(LEARNER, params), TASKS, 3)))
    first = results["mean_test_score"][:4]
    kept = {params["inner_lr"] for params in results["params"][4:6]}
    assert sorted(first[[grid["inner_lr"].index(value) for value in kept]]) == sorted(first)[2:]
    assert search.best_estimator_.n_iter_ == 8


def test_halving_grid_search_of_flat_rows():
    """Without adapt_steps nothing is adapted to the support set, so those candidates go first."""
    grid = {"adapt_steps": [0, 5], "n_shot": [3, 5]}
    halving = {"resource": "max_iter", "min_resources": 5, "max_resources": 20, "factor": 2, "cv": 2}
    search = HalvingGridSearchCV(FLAT_LEARNER, grid, **halving, random_state=0).fit(FIT_X, FIT_Y)
    assert search.n_candidates_ == [4, 2, 1]
    assert all(params["adapt_steps"] == 5 for params in search.cv_results_["params"][4:])
    by_hand = with_params(FLAT_LEARNER, search.best_params_).fit(FIT_X, FIT_Y)
    np.testing.assert_array_equal(search.predict_proba(NEW_X), by_hand.predict_proba(NEW_X))
    assert search.score(NEW_X, NEW_Y) > 0.8


# ---- cross-validation and curves


@pytest.mark.parametrize("tasks", [TASKS, TaskList(TASKS.__getitem__, range(9))], ids=["list", "TaskList"])
def test_cross_val_score(tasks):
    scores = cross_val_score(LEARNER, tasks, cv=3)
    assert scores == pytest.approx(scores_by_hand(LEARNER, TASKS, 3))
    assert len(set(scores)) > 1


def test_cross_val_score_of_flat_rows():
    scores = cross_val_score(FLAT_LEARNER, FLAT_X, FLAT_Y, cv=3)
    by_hand = []
    for train, test in StratifiedKFold(3).split(FLAT_X, FLAT_Y):
        clf = clone(FLAT_LEARNER).fit(FLAT_X[train], FLAT_Y[train])
        by_hand.append(clf.score(FLAT_X[test], FLAT_Y[test]))
    assert scores == pytest.approx(by_hand)
    assert scores.mean() > 0.9


def test_cross_validate():
    scoring = {"loss": few_shot_scorer("neg_log_loss", n_shot=2), "accuracy": few_shot_scorer(n_shot=2)}
    results = cross_validate(
        LEARNER, TASKS, scoring=scoring, cv=3, return_train_score=True, return_estimator=True
    )
    for name, scorer in scoring.items():
        assert results[f"test_{name}"] == pytest.approx(scores_by_hand(LEARNER, TASKS, 3, scorer))
    for k, (train, _) in enumerate(KFold(3).split(TASKS)):
        clf = clone(LEARNER).fit(some(TASKS, train))
        assert_same_learned(results["estimator"][k], clf)
        assert results["train_loss"][k] == pytest.approx(scoring["loss"](clf, some(TASKS, train)))


@pytest.mark.parametrize("kind", ["a learner fitted flat", "few-shot"])
def test_cross_val_predict(kind, few_shot):
    clf = FLAT_LEARNER if kind == "a learner fitted flat" else few_shot
    p = cross_val_predict(clf, FLAT_X, FLAT_Y, cv=3, method="predict_proba")
    predicted = cross_val_predict(clf, FLAT_X, FLAT_Y, cv=3)
    for train, test in StratifiedKFold(3).split(FLAT_X, FLAT_Y):
        fold = clone(clf).fit(FLAT_X[train], FLAT_Y[train])
        np.testing.assert_allclose(p[test], fold.predict_proba(FLAT_X[test]), rtol=1e-12)
        np.testing.assert_array_equal(predicted[test], fold.predict(FLAT_X[test]))
    assert (predicted == FLAT_Y).mean() > 0.9


def test_learning_curve():
    """Over the number of tasks to train on."""
    sizes, train_scores, test_scores = learning_curve(LEARNER, TASKS, None, train_sizes=[2, 6], cv=3)
    assert sizes.tolist() == [2, 6]
    for k, (train, test) in enumerate(KFold(3).split(TASKS)):
        for i, size in enumerate(sizes):
            clf = clone(LEARNER).fit(some(TASKS, train[:size]))
            assert train_scores[i, k] == pytest.approx(clf.score(some(TASKS, train[:size])))
            assert test_scores[i, k] == pytest.approx(clf.score(some(TASKS, test)))


def test_learning_curve_of_a_few_rows(few_shot):
    """Over the number of support rows, down to two of each class."""
    sizes, _, scores = learning_curve(
        few_shot, FLAT_X, FLAT_Y, train_sizes=[6, 60], cv=StratifiedKFold(2), shuffle=True, random_state=0
    )
    assert sizes.tolist() == [6, 60]
    assert scores[0].mean() > 0.7 and scores[1].mean() > 0.9


def test_validation_curve():
    """Unadapted, a model of tasks that contradict each other stays at chance."""
    clf = TMAMLClassifier(head="linear", **LEARNING | {"max_iter": 40, "inner_steps": 5, "inner_lr": 0.3})
    _, scores = validation_curve(clf, CONTRARY, None, param_name="adapt_steps", param_range=[0, 5], cv=2)
    for n_steps, by_hand in zip((0, 5), scores, strict=True):
        clf.set_params(adapt_steps=n_steps)
        assert by_hand == pytest.approx(scores_by_hand(clf, CONTRARY, 2))
    assert scores[1].mean() > 0.8 > 0.7 > scores[0].mean()


def test_train_test_split():
    """Tasks are split, as they are: the same objects, each on one side."""
    train, test = train_test_split(TASKS, test_size=3, random_state=0)
    assert len(train) == 6 and len(test) == 3
    assert {id(task) for task in [*train, *test]} == {id(task) for task in TASKS}


def test_train_test_split_of_a_task_list():
    """It loads nothing, and splits as a list is split."""
    loaded = []

    def load(i):
        loaded.append(i)
        return TASKS[i]

    train, test = train_test_split(TaskList(load, range(9)), test_size=3, random_state=0)
    assert loaded == []
    assert isinstance(train, TaskList) and isinstance(test, TaskList)
    for part, expected in zip(
        (train, test), train_test_split(TASKS, test_size=3, random_state=0), strict=True
    ):
        assert [id(task) for task in part] == [id(task) for task in expected]
    assert sorted(loaded) == list(range(9))


# ---- transformers before a learner


def test_pipeline():
    pipe = make_pipeline(StandardScaler(), clone(LEARNER)).fit(X, Y, tmamlclassifier__groups=GROUPS)
    rows = StandardScaler().fit_transform(X)
    assert_same_learned(pipe[-1], clone(LEARNER).fit(rows, Y, groups=GROUPS))
    with pytest.raises(NotFittedError, match=r"meta-trained on 9 tasks but not adapted .* Call adapt"):
        pipe.predict(X)


def test_column_transformer():
    """Of a frame, by the names of its columns; a new task's rows pass through it as well."""
    frame = pd.DataFrame(X, columns=list("wxyz")).assign(ward=np.where(X[:, 0] > 0, "A", "B"))
    columns = make_column_transformer((StandardScaler(), ["w", "z"]), (OneHotEncoder(), ["ward"]))
    pipe = make_pipeline(columns, clone(LEARNER)).fit(frame, Y, tmamlclassifier__groups=GROUPS)
    wards = np.column_stack([frame["ward"] == "A", frame["ward"] == "B"])
    rows = np.hstack([StandardScaler().fit_transform(frame[["w", "z"]].to_numpy()), wards])
    clf = clone(LEARNER).fit(rows, Y, groups=GROUPS)
    assert_same_learned(pipe[-1], clf)
    task = GROUPS == 4
    adapted = adapt(pipe, frame[task], Y[task])
    np.testing.assert_array_equal(
        adapted.predict_proba(frame), clf.adapt(rows[task], Y[task]).predict_proba(rows)
    )


def test_feature_union():
    union = make_union(StandardScaler(), PCA(2))
    pipe = make_pipeline(union, clone(FLAT_LEARNER)).fit(FIT_X, FIT_Y)
    scaler, pca = StandardScaler().fit(FIT_X), PCA(2).fit(FIT_X)
    rows, new = (np.hstack([scaler.transform(part), pca.transform(part)]) for part in (FIT_X, NEW_X))
    by_hand = clone(FLAT_LEARNER).fit(rows, FIT_Y)
    np.testing.assert_array_equal(pipe.predict_proba(NEW_X), by_hand.predict_proba(new))
    assert pipe.score(NEW_X, NEW_Y) > 0.8


# ---- what is built of plain estimators


def test_calibration(few_shot):
    """Calibrated by rows that it was not fitted to: the isotonic regression of its decisions."""
    two = FLAT_Y != "c"
    rows, labels = FLAT_X[two], FLAT_Y[two]
    fitted = clone(few_shot).fit(rows[:10], labels[:10])
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method="isotonic").fit(
        rows[10:], labels[10:]
    )
    by_hand = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    by_hand.fit(fitted.decision_function(rows[10:]), labels[10:] == "b")
    np.testing.assert_allclose(
        calibrated.predict_proba(rows)[:, 1], by_hand.predict(fitted.decision_function(rows)), atol=1e-6
    )


def test_calibration_by_cross_validation(few_shot):
    """Each part is fitted to the rows of a fold, and their calibrated probabilities are averaged."""
    calibrated = CalibratedClassifierCV(few_shot, cv=3).fit(FIT_X, FIT_Y)
    for part, (train, _) in zip(
        calibrated.calibrated_classifiers_, StratifiedKFold(3).split(FIT_X, FIT_Y), strict=True
    ):
        by_hand = clone(few_shot).fit(FIT_X[train], FIT_Y[train])
        np.testing.assert_allclose(part.estimator.predict_proba(NEW_X), by_hand.predict_proba(NEW_X))
    p = [part.predict_proba(NEW_X) for part in calibrated.calibrated_classifiers_]
    np.testing.assert_allclose(calibrated.predict_proba(NEW_X), np.mean(p, axis=0))
    assert calibrated.score(NEW_X, NEW_Y) > 0.9


def test_voting(few_shot):
    parts = [("ours", few_shot), ("linear", LogisticRegression())]
    voting = VotingClassifier(parts, voting="soft", weights=[2, 1]).fit(FIT_X, FIT_Y)
    ours, linear = (clone(part).fit(FIT_X, FIT_Y).predict_proba(NEW_X) for _, part in parts)
    np.testing.assert_allclose(voting.predict_proba(NEW_X), (2 * ours + linear) / 3)
    np.testing.assert_array_equal(
        voting.predict(NEW_X), np.array(["a", "b", "c"])[(2 * ours + linear).argmax(1)]
    )
    assert not np.allclose(ours, linear, atol=1e-3)


def test_stacking(few_shot):
    parts = [("ours", few_shot), ("linear", LogisticRegression())]
    stacking = StackingClassifier(parts, LogisticRegression(), cv=3).fit(FIT_X, FIT_Y)
    out_of_fold = [cross_val_predict(part, FIT_X, FIT_Y, cv=3, method="predict_proba") for _, part in parts]
    final = LogisticRegression().fit(np.hstack(out_of_fold), FIT_Y)
    new = np.hstack([clone(part).fit(FIT_X, FIT_Y).predict_proba(NEW_X) for _, part in parts])
    np.testing.assert_allclose(stacking.predict_proba(NEW_X), final.predict_proba(new), rtol=1e-6)
    assert stacking.score(NEW_X, NEW_Y) > 0.9


def test_bagging(few_shot):
    bagging = BaggingClassifier(few_shot, n_estimators=4, random_state=0).fit(FIT_X, FIT_Y)
    parts = [clone(few_shot).fit(FIT_X[rows], FIT_Y[rows]) for rows in bagging.estimators_samples_]
    p = np.array([part.predict_proba(NEW_X) for part in parts])
    np.testing.assert_allclose(bagging.predict_proba(NEW_X), p.mean(0))
    assert p.std(0).max() > 0.01
    assert bagging.score(NEW_X, NEW_Y) > 0.9


def test_tuned_threshold(few_shot):
    """Of all thresholds, the best on the rows that it is tuned with."""
    labels = np.where(FLAT_Y == "a", 1, 0)
    fitted = clone(few_shot).fit(FLAT_X[:9], labels[:9])
    tuned = TunedThresholdClassifierCV(fitted, cv="prefit", refit=False).fit(FIT_X, labels[:60])
    p = fitted.predict_proba(FIT_X)[:, 1]
    scores = [balanced_accuracy_score(labels[:60], p >= t) for t in np.linspace(p.min(), p.max(), 100)]
    assert tuned.best_score_ == pytest.approx(max(scores))
    assert max(scores) > min(scores)
    np.testing.assert_array_equal(tuned.predict(FIT_X), p >= tuned.best_threshold_)


def test_one_vs_rest():
    """A learner for each class, fitted to flat rows; the surest answers."""
    clf = OneVsRestClassifier(FLAT_LEARNER).fit(FIT_X, FIT_Y)
    decisions = [
        clone(FLAT_LEARNER).fit(FIT_X, (label == FIT_Y).astype(int)).decision_function(NEW_X)
        for label in clf.classes_
    ]
    np.testing.assert_allclose(clf.decision_function(NEW_X), np.column_stack(decisions))
    np.testing.assert_array_equal(clf.predict(NEW_X), clf.classes_[np.argmax(decisions, axis=0)])
    assert clf.score(NEW_X, NEW_Y) > 0.8


def test_multi_output_regressor(lines_prior):
    """Column by column, of a prior whose tasks have one."""
    rows, y = make_lines(1, n_rows=40, seed=1)[0]
    targets = np.column_stack([y, 1 - 2 * y])
    model = MultiOutputRegressor(FewShotRegressor(lines_prior)).fit(rows[:20], targets[:20])
    by_hand = [FewShotRegressor(lines_prior).fit(rows[:20], t).predict(rows[20:]) for t in targets[:20].T]
    np.testing.assert_array_equal(model.predict(rows[20:]), np.column_stack(by_hand))
    assert model.score(rows[20:], targets[20:]) > 0.7


def test_permutation_importance():
    """Of a learner adapted to a new task: of four columns, the one that tells the classes comes first."""
    rng = np.random.default_rng(0)
    tasks = []
    for _ in range(20):
        rows, y = rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 2
        rows[:, 2] += rng.choice([-1, 1]) * (6 * y - 3)  # the higher class differs from task to task
        tasks.append((rows, y))
    clf = TMAMLClassifier(**LEARNING | {"max_iter": 60, "inner_steps": 5}).fit(tasks[:15])
    for rows, y in tasks[15:]:
        adapted = adapt(clf, rows[:20], y[:20])
        importance = permutation_importance(adapted, rows[20:], y[20:], random_state=0).importances_mean
        assert importance.argmax() == 2
        assert importance[2] > 0.3 > 0.1 > np.delete(importance, 2).max()


# ---- copies


def test_frozen_estimator(few_shot):
    """What is frozen is neither fitted again nor cloned away, in whatever tool it is."""
    fitted = clone(few_shot).fit(FIT_X, FIT_Y)
    expected = fitted.predict_proba(NEW_X)
    frozen = FrozenEstimator(fitted)
    np.testing.assert_array_equal(frozen.fit(NEW_X[:5], NEW_Y[:5]).predict_proba(NEW_X), expected)
    np.testing.assert_array_equal(clone(frozen).predict_proba(NEW_X), expected)
    in_folds = cross_val_predict(frozen, NEW_X, NEW_Y, cv=3, method="predict_proba")
    np.testing.assert_allclose(in_folds, expected, rtol=1e-12)


def test_clone(few_shot):
    fitted = clone(LEARNER).set_params(optimizer__weight_decay=0.1).fit(TASKS)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() == LEARNER.get_params() | {"optimizer__weight_decay": 0.1}
    with pytest.raises(NotFittedError):
        copy.adapt(*TASKS[0])
    assert_same_learned(copy.fit(TASKS), fitted)
    assert_same_learned(clone(few_shot).prior, few_shot.prior)  # this one is what it learned


@pytest.mark.parametrize(
    "make",
    [
        lambda prior: clone(FLAT_LEARNER).fit(FIT_X, FIT_Y),
        lambda prior: FewShotClassifier(prior).fit(FIT_X, FIT_Y),
        lambda prior: make_pipeline(StandardScaler(), FewShotClassifier(prior)).fit(FIT_X, FIT_Y),
        lambda prior: adapt(GridSearchCV(LEARNER, {"n_shot": [2]}, cv=2).fit(TASKS), *TASKS[0]),
    ],
    ids=["learner", "few-shot", "pipeline", "search"],
)
def test_joblib(make, prior, tmp_path):
    model = make(prior)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(NEW_X), model.predict_proba(NEW_X))


def test_n_jobs(monkeypatch):
    """Two processes find what one does."""
    # The processes that joblib starts read it before they import torch.
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    grid = {"inner_lr": [0.01, 0.1]}
    learner = clone(LEARNER).set_params(head="linear")
    one, two = (GridSearchCV(learner, grid, cv=3, n_jobs=n_jobs).fit(TASKS) for n_jobs in (1, 2))
    for k in range(3):
        np.testing.assert_array_equal(
            one.cv_results_[f"split{k}_test_score"], two.cv_results_[f"split{k}_test_score"]
        )
    assert_same_learned(one.best_estimator_, two.best_estimator_)


# ---- settings


def test_display_as_a_diagram(few_shot):
    pipe = make_pipeline(StandardScaler(), clone(LEARNER))
    with config_context(display="diagram"):
        html = pipe._repr_html_()
        assert "StandardScaler" in html and "TMAMLClassifier" in html and "Pipeline" in html
        html = few_shot._repr_html_()
        assert "FewShotClassifier" in html and "TMAMLClassifier" in html
    with config_context(display="text"):
        assert not hasattr(pipe, "_repr_html_") and "TMAMLClassifier(" in repr(pipe)


# ---- metadata routing: flat rows, whose groups are their tasks


def routed_by_hand(model, X, y, groups, score):
    """Scores of three folds of groups: scaled and trained on the rows of the others."""
    scores = []
    for train, test in GroupKFold(3).split(X, y, groups):
        scaler = StandardScaler().fit(X[train])
        fitted = clone(model).fit(scaler.transform(X[train]), y[train], groups=groups[train])
        scores.append(score(fitted, scaler.transform(X[test]), y[test], groups=groups[test]))
    return scores


def own_score(model, X, y, groups):
    return model.score(X, y, groups=groups)


@pytest.mark.parametrize(
    "scorer", [None, few_shot_scorer("neg_log_loss", n_shot=2)], ids=["score", "few-shot"]
)
def test_routing_of_a_classifier(scorer):
    clf = TMAMLClassifier(head="linear", **LEARNING | {"max_iter": 10})
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(clf, X, Y, params={"groups": GROUPS}, cv=GroupKFold(3), scoring=scorer)
    by_hand = []
    for train, test in GroupKFold(3).split(X, Y, GROUPS):
        fitted = clone(clf).fit(X[train], Y[train], groups=GROUPS[train])
        by_hand.append((scorer or own_score)(fitted, X[test], Y[test], groups=GROUPS[test]))
    np.testing.assert_allclose(scores, by_hand)
    assert len(set(scores)) == 3


@pytest.mark.parametrize(
    "scorer", [None, few_shot_scorer("neg_log_loss", n_shot=2)], ids=["score", "few-shot"]
)
def test_routing_through_a_pipeline_in_a_search(scorer):
    pipe = make_pipeline(StandardScaler(), clone(LEARNER))
    grid = {"tmamlclassifier__inner_lr": [0.01, 0.1]}
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(pipe, grid, cv=GroupKFold(3), scoring=scorer).fit(X, Y, groups=GROUPS)
    assert search.best_estimator_[-1].n_tasks_ == 9
    for i, inner_lr in enumerate([0.01, 0.1]):
        clf = with_params(LEARNER, {"inner_lr": inner_lr})
        by_hand = routed_by_hand(clf, X, Y, GROUPS, scorer or own_score)
        searched = [search.cv_results_[f"split{k}_test_score"][i] for k in range(3)]
        np.testing.assert_allclose(searched, by_hand)


@pytest.mark.parametrize(
    "scorer", [None, few_shot_scorer("neg_mean_absolute_error", n_shot=4)], ids=["score", "few-shot"]
)
def test_routing_of_a_regressor(scorer):
    rows, targets, groups = flatten(LINES)
    model = TMAMLRegressor(**LEARNING)
    pipe = make_pipeline(StandardScaler(), model)
    with config_context(enable_metadata_routing=True):
        params = {"groups": groups}
        scores = cross_val_score(pipe, rows, targets, params=params, cv=GroupKFold(3), scoring=scorer)
    np.testing.assert_allclose(scores, routed_by_hand(model, rows, targets, groups, scorer or own_score))
