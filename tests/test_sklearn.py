"""The estimators by scikit-learn's own checks, what kind they are, and ``skmeta.adapt`` of what holds one.

``test_tools.py`` has scikit-learn's tools, ``test_few_shot.py`` the checks of ``FewShotClassifier``.
"""

import numpy as np
import pytest
import sklearn
from made_checks import run_checks
from made_tasks import ESTIMATORS, QUICK, contents, flatten, make_tasks
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import skmeta
from skmeta import TMAMLClassifier

CHECKED = ["TMAMLClassifier", "TAMLClassifier", "TMAMLRegressor", "TAMLRegressor", "PerTask"]
TASKS = make_tasks(9, n_features=4)
X, Y, GROUPS = flatten(TASKS)
X_S, Y_S, X_Q = TASKS[0][0][:12], TASKS[0][1][:12], TASKS[0][0][12:]


@pytest.mark.parametrize("name", CHECKED)
def test_every_check_of_scikit_learn_passes(name):
    report = run_checks(name)
    assert [check for check in report if check.status != "passed"] == []
    # .ci/check_sklearn_versions shows this line.
    print(f"{name}: {len(report)} checks passed, scikit-learn {sklearn.__version__}")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_kind_of_estimator_it_is(estimator):
    clf = estimator(**QUICK)
    assert is_classifier(clf)
    assert clf.__sklearn_tags__().input_tags.sparse
    assert "inner_lr=0.1" not in repr(clf) and "inner_steps=2" in repr(clf)
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    check_is_fitted(clf.fit(TASKS))


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
