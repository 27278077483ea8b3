"""Tasks as users have them: classes with few rows, one class, no rows, and labels of either kind."""

import numpy as np
import pandas as pd
import pytest
import torch
from made_tasks import ESTIMATORS, PLAIN, QUICK, REGRESSORS, flatten, make_lines, make_tasks
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import TaskList, TMAMLClassifier, TMAMLRegressor, adapt, evaluate

ABC = make_tasks(8, labels=("a", "b", "c"), n_rows=36)


def only(task, label):
    X, y = task
    return X[y == label], y[y == label]


def with_one_row_of(task, label):
    X, y = task
    kept = np.r_[np.flatnonzero(y != label), np.flatnonzero(y == label)[:1]]
    return X[kept], y[kept]


# ---- the label space


@pytest.mark.parametrize(
    ("labels_of_tasks", "expected"),
    [
        ([[0, 1], [2, 3], [4, 5]], "per_task"),  # disjoint
        ([[0, 1, 2], [0, 1], [1, 2]], "shared"),  # one holds all
        ([[0, 1], [1, 2], [2, 3], [3, 0]], "shared"),  # none holds all, each occurs twice
        ([[0, 1], [0, 2], [0, 3], [0, 4]], "per_task"),  # one of five occurs again
        ([[0, 1]] * 3, "shared"),
        ([[0, 1, 2, 3]], "shared"),  # a single task, of no more classes than n_way
        ([list(range(8))], "per_task"),
    ],
    ids=str,
)
def test_the_label_space(labels_of_tasks, expected):
    tasks = [make_tasks(1, labels=tuple(labels), seed=i)[0] for i, labels in enumerate(labels_of_tasks)]
    assert TMAMLClassifier(**QUICK).fit(tasks).label_space_ == expected
    told = "shared" if expected == "per_task" else "per_task"
    clf = TMAMLClassifier(**QUICK, label_space=told).fit(tasks)
    assert clf.label_space_ == told


def ways_in(tasks, names):
    X, y, groups = flatten(tasks, names)
    return {
        "list": (tasks,),
        "TaskList": (TaskList(dict(zip(names, tasks, strict=True)).__getitem__, names),),
        "groups": (X, y),
        "frame": (pd.DataFrame(X), pd.Series(y)),
        "frames": ([(pd.DataFrame(X), pd.Series(y)) for X, y in tasks],),
    }, groups


@pytest.mark.parametrize("n_tasks", [1, 6])
@pytest.mark.parametrize("n_classes", [3, 8])
def test_the_same_data_by_any_way_in_give_the_same_model(n_tasks, n_classes):
    tasks = make_tasks(n_tasks, labels=tuple("abcdefgh"[:n_classes]), n_rows=48)
    ways, groups = ways_in(tasks, list(range(n_tasks)))
    models = {}
    for name, args in ways.items():
        models[name] = TMAMLClassifier(**QUICK)
        models[name].fit(*args, **{"groups": groups} if len(args) == 2 else {})
    if n_tasks == 1:
        models["flat"] = TMAMLClassifier(**QUICK).fit(*tasks[0])
    first = models.pop("list")
    X, y = tasks[0]
    expected = first.adapt(X[:24], y[:24]).predict_proba(X)
    for name, model in models.items():
        assert model.label_space_ == first.label_space_, name
        assert model.loss_curve_ == first.loss_curve_, name
        rows = pd.DataFrame(X) if name in ("frame", "frames") else X
        np.testing.assert_array_equal(model.adapt(rows[:24], y[:24]).predict_proba(rows), expected)


# ---- few rows, one class, none


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("label_space", ["shared", "per_task"])
def test_a_class_with_one_row(estimator, label_space):
    tasks = [*ABC[:5], with_one_row_of(ABC[5], "c")]
    clf = estimator(**QUICK, label_space=label_space).fit(tasks)
    assert clf.n_tasks_ == 6
    assert 0 <= clf.score([with_one_row_of(ABC[6], "b")]) <= 1
    assert set(clf.adapt(*with_one_row_of(ABC[7], "a")).predict(ABC[7][0])) <= set("abc")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_task_of_one_class_in_a_shared_label_space(estimator):
    tasks = [*ABC[:5], only(ABC[5], "b")]
    clf = estimator(**QUICK, label_space="shared").fit(tasks)
    adapted = clf.adapt(*only(ABC[6], "a"))
    assert adapted.predict_proba(ABC[6][0]).shape == (36, 3)
    assert clf.score([only(ABC[7], "c")]) in np.arange(8) / 7
    assert evaluate(clf, [only(ABC[7], "c"), ABC[6]], n_episodes=4, n_shot=2).scores.shape == (4,)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_task_of_one_class_in_a_label_space_of_its_own_is_left_out(estimator):
    tasks = [*ABC[:5], only(ABC[5], "b")]
    told = "1 of 6 tasks cannot give an episode and are left out: task 5 has only the class 'b'"
    with pytest.warns(UserWarning, match=told):
        clf = estimator(**QUICK, label_space="per_task").fit(tasks)
    plain = estimator(**QUICK, label_space="per_task").fit(tasks[:5])
    assert clf.loss_curve_ == plain.loss_curve_ and clf.n_tasks_ == 6
    with pytest.warns(UserWarning, match=told):
        assert clf.score(tasks) == plain.score(tasks[:5])
    with pytest.warns(UserWarning, match=told):
        evaluate(clf, tasks, n_episodes=5, n_shot=2)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_rows_are_answered_by_what_all_tasks_have_in_common(estimator):
    """That is the initialisation: no step leads away from it, whatever the meta-model says."""
    clf = estimator(**PLAIN, label_space="shared").fit(ABC[:6])
    X, y = ABC[7]
    answers = clf.adapt(X[:0], y[:0]).predict_proba(X)
    for name, p in clf.adapted_params_.items():
        np.testing.assert_array_equal(p, clf.meta_params_[name])
    (decided,) = clf.predict_tasks([(X[:0], y[:0])], [X])
    np.testing.assert_array_equal(decided, clf.predict(X))
    frame = pd.DataFrame(X)
    named = estimator(**PLAIN, label_space="shared").fit([(pd.DataFrame(X), y) for X, y in ABC[:6]])
    np.testing.assert_array_equal(named.adapt(frame[:0], y[:0]).predict_proba(frame), answers)
    mixed = clf.predict_tasks([(X[:0], y[:0]), (X[:9], y[:9])], [X, X])
    np.testing.assert_array_equal(mixed[0], decided)
    np.testing.assert_array_equal(mixed[1], clf.adapt(X[:9], y[:9]).predict(X))


@pytest.mark.parametrize("estimator", REGRESSORS)
@pytest.mark.parametrize("outputs", [(), (2,)])
def test_no_rows_of_a_regression_are_answered_by_the_level_of_all_tasks(estimator, outputs):
    tasks = [(X, 5 + np.multiply.outer(y, np.ones(outputs))) for X, y in make_lines(8)]
    reg = estimator(**QUICK).fit(tasks[:6])
    X, y = tasks[7]
    answers = reg.adapt(X[:0], y[:0]).predict(X)
    assert answers.shape == y.shape and np.isfinite(answers).all()
    assert abs(answers.mean() - 5) < 2
    np.testing.assert_allclose(reg.predict_tasks([(X[:0], y[:0])], [X])[0], answers, rtol=1e-5)


@pytest.mark.parametrize("make", [list, np.array], ids=["list", "array"])
def test_no_rows_are_so_in_whatever_they_come_and_through_a_pipeline(make):
    X, y = ABC[7]
    clf = TMAMLClassifier(**PLAIN, label_space="shared").fit(ABC[:6])
    expected = clf.adapt(X[:0], y[:0]).predict_proba(X)
    np.testing.assert_array_equal(clf.adapt(make([]), make([])).predict_proba(X), expected)
    rows, labels, groups = flatten(ABC[:6])
    pipe = make_pipeline(StandardScaler(), TMAMLClassifier(**PLAIN, label_space="shared"))
    pipe.fit(rows, labels, tmamlclassifier__groups=groups)
    adapted = adapt(pipe, make([]), make([]))
    start = adapt(pipe.set_params(tmamlclassifier__adapt_steps=0), X[:9], y[:9])
    np.testing.assert_allclose(adapted.predict_proba(X), start.predict_proba(X), rtol=1e-6)
    drawn = {"n_shot": 0, "sampling": "natural", "n_episodes": 4, "metric": "neg_log_loss"}
    scaled = [(pipe[0].transform(X), y) for X, y in ABC[6:]]
    np.testing.assert_allclose(
        evaluate(pipe, ABC[6:], **drawn).scores, evaluate(pipe[-1], scaled, **drawn).scores, rtol=1e-6
    )


def test_no_rows_of_a_label_space_of_its_own():
    clf = TMAMLClassifier(**QUICK, label_space="per_task").fit(ABC[:6])
    X, y = ABC[7]
    with pytest.raises(ValueError, match="y has no rows; a task needs 2 classes or more"):
        clf.adapt(X[:0], y[:0])


@pytest.mark.parametrize("sampling", ["natural", "stratified"])
@pytest.mark.parametrize("n_shot", [0, 3, (0, 20)])
def test_any_draw_trains_a_shared_label_space(sampling, n_shot):
    clf = TMAMLClassifier(**QUICK, sampling=sampling, n_shot=n_shot, label_space="shared").fit(ABC[:6])
    assert np.isfinite(clf.loss_curve_).all() and 0 <= clf.score(ABC[6:]) <= 1


@pytest.mark.parametrize("n_shot", [2, (2, 20)])
@pytest.mark.parametrize("sampling", ["natural", "stratified"])
def test_any_draw_trains_a_label_space_of_its_own(sampling, n_shot):
    clf = TMAMLClassifier(**QUICK, sampling=sampling, n_shot=n_shot, label_space="per_task").fit(ABC[:6])
    assert np.isfinite(clf.loss_curve_).all() and min(clf.loss_curve_) > 0
    assert 0 <= clf.score(ABC[6:]) <= 1


@pytest.mark.parametrize("n_shot", [1, (0, 5), (1, 5)])
def test_one_row_is_no_support_set_of_a_label_space_of_its_own(n_shot):
    clf = TMAMLClassifier(**QUICK, sampling="natural", n_shot=n_shot, label_space="per_task")
    with pytest.raises(ValueError, match=r"The 'n_shot' parameter of TMAMLClassifier must be [12] or more"):
        clf.fit(ABC)


def test_support_sets_of_natural_draws_have_two_classes_where_a_task_needs_them():
    """Of 40 rows 38 are of one class: most draws of 5 would have no other."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [38, 2])
    tasks = [(rng.normal(size=(40, 3)) + y[:, None], 10 * i + y) for i in range(6)]
    clf = TMAMLClassifier(**QUICK, sampling="natural", label_space="per_task").fit(tasks)
    assert clf.label_space_ == "per_task" and 0 <= clf.score(tasks) <= 1
    assert evaluate(clf, tasks, n_episodes=20, n_shot=5, sampling="natural").scores.shape == (20,)


def test_natural_support_sets_are_as_unbalanced_as_the_task():
    """Of nine rows of a class in ten, few support rows are of the other; in stratified draws half are."""
    y = np.repeat([0, 1], [90, 10])
    tasks = [(np.column_stack([y, np.random.default_rng(i).normal(size=100)]), y) for i in range(4)]
    seen = []

    def note(X, generator):
        seen.append(X[:, :, 0])  # the label, as the support rows come first
        return X

    shares = {}
    for sampling, n_support in ("natural", 20), ("stratified", 2 * 5):
        n_shot = n_support if sampling == "natural" else 5
        settings = QUICK | {"max_iter": 50, "n_shot": n_shot, "augment": note}
        TMAMLClassifier(**settings, sampling=sampling).fit(tasks)
        shares[sampling] = torch.cat([X[:, :n_support] for X in seen[1:]]).mean().item()
        seen.clear()
    assert shares["stratified"] == 0.5 and abs(shares["natural"] - 0.1) < 0.02


def test_a_pair_of_support_rows_in_a_regression():
    reg = TMAMLRegressor(**QUICK, n_shot=(0, 12)).fit(make_lines(6))
    assert np.isfinite(reg.loss_curve_).all()


# ---- scores are compared alike


@pytest.mark.parametrize(("estimator", "make"), [(TMAMLClassifier, make_tasks), (TMAMLRegressor, make_lines)])
def test_scores_and_validation_do_not_depend_on_the_shots_of_training(estimator, make):
    """Untrained, both have the same parameters, so the same score on the same rows."""
    settings = PLAIN | {"max_iter": 1, "outer_lr": 1e-12, "early_stopping": True, "validation_fraction": 0.3}
    a, b = (estimator(**settings, n_shot=n_shot).fit(make(8)) for n_shot in (1, 9))
    assert a.validation_scores_ == pytest.approx(b.validation_scores_, rel=1e-5)
    assert a.score(make(8, seed=1)) == pytest.approx(b.score(make(8, seed=1)), rel=1e-5)


# ---- missing labels


@pytest.mark.parametrize("missing", [pd.NA, None, np.nan], ids=str)
def test_missing_labels_and_groups_get_the_message(missing):
    X, y, groups = flatten(ABC[:2], ["u", "v"])
    labels, ids = y.astype(object), groups.astype(object)
    labels[3] = ids[3] = missing
    with pytest.raises(ValueError, match="y has missing labels"):
        TMAMLClassifier(**QUICK).fit(X, labels, groups=groups)
    with pytest.raises(ValueError, match=r"groups must have an id for each row; got .* for 1 rows"):
        TMAMLClassifier(**QUICK).fit(X, y, groups=ids)
    with pytest.raises(ValueError, match="groups must have an id for each row"):
        TMAMLClassifier(**QUICK).fit(X, y, groups=pd.Series(ids, dtype="string"))
    with pytest.raises(ValueError, match="y has missing labels"):
        TMAMLClassifier(**QUICK).fit(X, pd.Series(labels, dtype="string"), groups=groups)
    with pytest.raises(ValueError, match="y has missing labels"):
        TMAMLClassifier(**QUICK).fit(X, labels.tolist(), groups=groups)
    with pytest.raises(ValueError, match="groups must have an id for each row"):
        TMAMLClassifier(**QUICK).fit(X, y, groups=ids.tolist())


# ---- tasks, and parts of them, without a row


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame], ids=["arrays", "frames"])
def test_a_task_without_rows_is_left_out(at, kind):
    empty = ABC[0][0][:0], ABC[0][1][:0]
    tasks = [*ABC[:at], empty, *ABC[at:6]]
    with pytest.warns(UserWarning, match=f"^1 of 7 tasks cannot give .* left out: task {at} has no rows;"):
        clf = TMAMLClassifier(**QUICK).fit([(kind(X), y) for X, y in tasks])
    assert clf.loss_curve_ == TMAMLClassifier(**QUICK).fit([(kind(X), y) for X, y in ABC[:6]]).loss_curve_
    with pytest.warns(UserWarning, match="task 1 has no rows"):
        assert clf.score([(kind(X), y) for X, y in (ABC[6], empty)]) == clf.score(
            [(kind(ABC[6][0]), ABC[6][1])]
        )


def test_given_support_sets_may_be_empty_where_labels_are_shared():
    X, y = ABC[0]
    given = [(X[:0], y[:0], X, y), *((X[:9], y[:9], X[9:], y[9:]) for X, y in ABC[1:6])]
    clf = TMAMLClassifier(**QUICK, label_space="shared").fit(given)
    assert np.isfinite(clf.loss_curve_).all() and 0 <= clf.score(given) <= 1
    with pytest.warns(UserWarning, match="left out: task 0 has no support rows;"):
        TMAMLClassifier(**QUICK, label_space="per_task").fit(given)


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame], ids=["arrays", "frames"])
def test_a_task_without_rows_is_left_out_of_a_regression(at, kind):
    lines = make_lines(6)
    tasks = [*lines[:at], (lines[0][0][:0], lines[0][1][:0]), *lines[at:]]
    with pytest.warns(UserWarning, match=f"left out: task {at} has no rows;"):
        reg = TMAMLRegressor(**QUICK).fit([(kind(X), y) for X, y in tasks])
    assert reg.loss_curve_ == TMAMLRegressor(**QUICK).fit([(kind(X), y) for X, y in lines]).loss_curve_
