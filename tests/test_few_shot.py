"""Few-shot scores of every metric, and a meta-trained prior as a plain estimator."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from made_checks import run_checks
from made_tasks import LEARNING, PLAIN, QUICK, contents, flatten, make_lines, make_tasks, split
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, get_scorer, get_scorer_names, log_loss, r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import (
    FewShotClassifier,
    FewShotRegressor,
    TAMLClassifier,
    TAMLRegressor,
    TaskList,
    TMAMLClassifier,
    TMAMLRegressor,
    adapt,
    evaluate,
    few_shot_scorer,
)

# Tasks hard enough that a classifier errs both ways in each: then every metric is defined.
BINARY = make_tasks(4, n_rows=60, spread=4.0, seed=1)
MULTICLASS = make_tasks(4, n_rows=60, labels=(0, 1, 2), spread=2.0, seed=1)
LINES = make_lines(6)
POSITIVE = [(X, np.exp(y / 4)) for X, y in make_lines(4, n_features=2, seed=1)]
ABC = make_tasks(6, labels=("a", "b", "c"), n_rows=36, n_features=4)
X, Y = ABC[0]
X_S, Y_S, X_Q, Y_Q = split(ABC[0], 15)


@pytest.fixture(scope="module")
def priors():
    """Meta-trained on each list of tasks, which stands beside it."""
    prior_of_two = TMAMLClassifier(**QUICK | {"max_iter": 10}, label_space="per_task", head="prototype")
    return {
        "binary": (prior_of_two.fit(BINARY), BINARY),
        "multiclass": (TMAMLClassifier(**QUICK | {"max_iter": 20}).fit(MULTICLASS), MULTICLASS),
        "positive": (TMAMLRegressor(**QUICK | {"max_iter": 10}).fit(POSITIVE), POSITIVE),
    }


@pytest.fixture(scope="module")
def prior():
    """Of a shared label space, a, b and c."""
    return TMAMLClassifier(**LEARNING | {"max_iter": 10}).fit(ABC)


@pytest.fixture(scope="module")
def lines_prior():
    return TMAMLRegressor(**QUICK | {"max_iter": 10}).fit(LINES)


def plain(prior):
    """The plain estimator of a prior."""
    return (FewShotRegressor if isinstance(prior, TMAMLRegressor) else FewShotClassifier)(prior)


# ---- every metric of scikit-learn

OF_TWO_CLASSES = {
    "f1",
    "jaccard",
    "neg_negative_likelihood_ratio",
    "positive_likelihood_ratio",
    "precision",
    "recall",
    "roc_auc",
}
OF_MORE_CLASSES = {"top_k_accuracy"}  # the best two of two are always right
OF_CLASSES = {
    "accuracy",
    "adjusted_mutual_info_score",
    "adjusted_rand_score",
    "average_precision",
    "balanced_accuracy",
    "completeness_score",
    "d2_brier_score",
    "d2_log_loss_score",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "fowlkes_mallows_score",
    "homogeneity_score",
    "jaccard_macro",
    "jaccard_micro",
    "jaccard_weighted",
    "matthews_corrcoef",
    "mutual_info_score",
    "neg_brier_score",
    "neg_log_loss",
    "normalized_mutual_info_score",
    "precision_macro",
    "precision_micro",
    "precision_weighted",
    "rand_score",
    "recall_macro",
    "recall_micro",
    "recall_weighted",
    "roc_auc_ovo",
    "roc_auc_ovo_weighted",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
    "v_measure_score",
}
OF_VALUES = {
    "d2_absolute_error_score",
    "explained_variance",
    "neg_max_error",
    "neg_mean_absolute_error",
    "neg_mean_absolute_percentage_error",
    "neg_mean_gamma_deviance",
    "neg_mean_poisson_deviance",
    "neg_mean_squared_error",
    "neg_mean_squared_log_error",
    "neg_median_absolute_error",
    "neg_root_mean_squared_error",
    "neg_root_mean_squared_log_error",
    "r2",
}
OF_LABEL_SETS = {"f1_samples", "jaccard_samples", "precision_samples", "recall_samples"}
DEFINED = {
    "binary": OF_CLASSES | OF_TWO_CLASSES,
    "multiclass": OF_CLASSES | OF_MORE_CLASSES,
    "positive": OF_VALUES,
}
UNDEFINED = {
    "binary": OF_LABEL_SETS,
    "multiclass": OF_LABEL_SETS | OF_TWO_CLASSES,
    "positive": OF_LABEL_SETS | {"accuracy", "neg_log_loss", "roc_auc"},
}


def pairs(names_of):
    """Those that this version of scikit-learn has."""
    return [(name, kind) for name in get_scorer_names() for kind in names_of if name in names_of[kind]]


def test_the_lists_hold_every_metric_of_scikit_learn():
    assert set(get_scorer_names()) <= {name for names in [*DEFINED.values(), OF_LABEL_SETS] for name in names}


@pytest.mark.filterwarnings("ignore:Precision is ill-defined")  # of a class that no row was taken for
@pytest.mark.parametrize(("name", "kind"), pairs(DEFINED))
def test_a_metric_is_the_mean_of_what_it_says_of_each_task(name, kind, priors):
    prior, tasks = priors[kind]
    given = [split(task) for task in tasks]
    score = few_shot_scorer(name)(prior, given)
    metric = get_scorer(name)
    by_hand = [metric(plain(prior).fit(*task[:2]), *task[2:]) for task in given]
    assert isinstance(score, float) and np.isfinite(score)
    assert score == pytest.approx(np.mean(by_hand), rel=1e-6)  # single and double precision
    assert len(set(by_hand)) > 1 or name == "fowlkes_mallows_score"


@pytest.mark.parametrize(("name", "kind"), pairs(UNDEFINED))
def test_a_metric_that_is_not_defined_names_the_task(name, kind, priors):
    prior, tasks = priors[kind]
    with pytest.raises(ValueError, match=r"^task 0: "):
        few_shot_scorer(name)(prior, [split(task) for task in tasks])


@pytest.mark.parametrize(
    ("name", "kind", "by_hand"),
    [
        ("accuracy", "multiclass", lambda model, X, y: accuracy_score(y, model.predict(X))),
        ("neg_log_loss", "multiclass", lambda model, X, y: -log_loss(y, model.predict_proba(X))),
        ("roc_auc", "binary", lambda model, X, y: roc_auc_score(y, model.decision_function(X))),
        ("r2", "positive", lambda model, X, y: r2_score(y, model.predict(X))),
    ],
)
def test_a_metric_asks_for_the_right_answer(name, kind, by_hand, priors):
    prior, tasks = priors[kind]
    given = [split(task) for task in tasks]
    values = [by_hand(deepcopy(prior).adapt(*task[:2]), *task[2:]) for task in given]
    assert few_shot_scorer(name)(prior, given) == pytest.approx(np.mean(values), rel=1e-6)


# ---- which rows are the support set


def queries_of(prior, *args, n_shot, random_state=0):
    """What a scorer asks for: ``(X_query, y_query, probabilities)`` of each task."""
    seen = []

    def note(model, X, y):
        seen.append((X, y, model.predict_proba(X)))
        return 0.0

    few_shot_scorer(note, n_shot=n_shot, random_state=random_state)(prior, *args)
    return seen


@pytest.mark.parametrize("n_shot", [1, 5])
def test_all_rows_but_a_support_set_of_each_task_are_scored(n_shot, prior):
    for (X, y), (X_query, y_query, p) in zip(ABC, queries_of(prior, ABC, n_shot=n_shot), strict=True):
        asked = (X[:, None] == X_query).all(2).any(1)
        assert asked.sum() == len(y_query) == 36 - 3 * n_shot
        np.testing.assert_array_equal(np.sort(y[asked]), np.sort(y_query))
        assert np.unique(y[~asked], return_counts=True)[1].tolist() == [n_shot] * 3
        by_hand = FewShotClassifier(prior).fit(X[~asked], y[~asked])
        np.testing.assert_allclose(p, by_hand.predict_proba(X_query), atol=1e-5)


def test_random_state_draws_the_support_sets(prior):
    first, again, other = (queries_of(prior, ABC, n_shot=2, random_state=seed) for seed in (0, 0, 1))
    for (a, *_), (b, *_), (c, *_) in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_flat_rows_with_groups_and_a_task_list_are_scored_as_a_list(prior):
    scorer = few_shot_scorer("neg_log_loss", n_shot=3)
    expected = scorer(prior, ABC)
    assert scorer(prior, *flatten(ABC)) == pytest.approx(expected, rel=1e-12)
    assert scorer(prior, TaskList(ABC.__getitem__, range(6))) == expected


def test_a_class_that_is_not_in_the_support_set_can_be_asked_for_with_a_shared_label_space(prior):
    a_and_b = Y_S != "c"
    task = X_S[a_and_b], Y_S[a_and_b], X_Q, Y_Q
    by_hand = deepcopy(prior).adapt(*task[:2])
    assert "c" in Y_Q
    assert few_shot_scorer("neg_log_loss")(prior, [task]) == pytest.approx(
        -log_loss(Y_Q, by_hand.predict_proba(X_Q))
    )


def test_the_prior_is_not_changed_by_a_scorer(prior):
    before = contents(prior)
    few_shot_scorer()(prior, ABC)
    assert contents(prior) == before


def test_several_scorers_at_once_in_a_search():
    """Each has its own columns, and equals the scorer by hand after a fit on the other folds."""
    scoring = {"1shot": few_shot_scorer("neg_log_loss", n_shot=1), "5shot": few_shot_scorer(n_shot=5)}
    grid = {"inner_lr": [1e-6, 0.1]}
    search = GridSearchCV(TMAMLClassifier(**PLAIN), grid, scoring=scoring, refit="5shot", cv=2).fit(ABC)
    for name, scorer in scoring.items():
        for k, (train, test) in enumerate(KFold(2).split(ABC)):
            for params, score in zip(
                search.cv_results_["params"], search.cv_results_[f"split{k}_test_{name}"], strict=True
            ):
                clf = TMAMLClassifier(**PLAIN | params).fit([ABC[i] for i in train])
                assert score == pytest.approx(scorer(clf, [ABC[i] for i in test]), rel=1e-9)
    mean = search.cv_results_["mean_test_5shot"]
    assert search.best_score_ == mean.max() > mean.min()
    assert search.best_params_ == search.cv_results_["params"][mean.argmax()]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda prior: few_shot_scorer("acuracy"), "metric='acuracy'"),
        (lambda prior: few_shot_scorer(n_shot=-1), "'n_shot' parameter of few_shot_scorer"),
        (lambda prior: few_shot_scorer(random_state=-1), "'random_state' parameter of few_shot_scorer"),
        (lambda prior: few_shot_scorer()(prior, X, Y), "list of tasks, or rows with groups"),
        (
            lambda prior: few_shot_scorer(n_shot=1)(prior, [(X[:3], np.array(["a", "b", "c"]))]),
            "task 0 has 1 row of each class; an episode needs",
        ),
        (lambda prior: few_shot_scorer()(prior, [ABC[0], (X, Y[:-1])]), "inconsistent numbers of samples"),
    ],
    ids=["metric", "n_shot", "random_state", "no groups", "no query", "lengths"],
)
def test_what_a_scorer_refuses(make, text, prior):
    with pytest.raises(ValueError, match=text):
        make(prior)


# ---- a prior as a plain estimator


@pytest.mark.parametrize("learner", [TMAMLClassifier, TAMLClassifier])
def test_a_fit_of_a_classifier_is_adapt(learner):
    prior = learner(**QUICK).fit(ABC)
    model, adapted = FewShotClassifier(prior).fit(X_S, Y_S), adapt(prior, X_S, Y_S)
    np.testing.assert_allclose(model.predict_proba(X_Q), adapted.predict_proba(X_Q), rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X_Q), adapted.predict_log_proba(X_Q), rtol=1e-9)
    np.testing.assert_array_equal(model.predict(X_Q), adapted.predict(X_Q))
    np.testing.assert_array_equal(model.classes_, adapted.classes_)
    assert model.score(X_Q, Y_Q) == accuracy_score(Y_Q, adapted.predict(X_Q))
    assert model.n_features_in_ == 4


@pytest.mark.parametrize("learner", [TMAMLRegressor, TAMLRegressor])
@pytest.mark.parametrize("n_outputs", [None, 2])
def test_a_fit_of_a_regressor_is_adapt(learner, n_outputs):
    tasks = LINES if n_outputs is None else [(X, np.column_stack([y, -3 * y])) for X, y in LINES]
    prior = learner(**QUICK).fit(tasks)
    X_S, y_S, X_Q, y_Q = split(tasks[0])
    model, adapted = FewShotRegressor(prior).fit(X_S, y_S), adapt(prior, X_S, y_S)
    np.testing.assert_array_equal(model.predict(X_Q), adapted.predict(X_Q))
    assert model.predict(X_Q).shape == y_Q.shape
    assert model.score(X_Q, y_Q) == r2_score(y_Q, adapted.predict(X_Q))


def test_the_decision_is_the_log_probability_and_of_two_classes_their_difference(prior):
    model = FewShotClassifier(prior).fit(X_S, Y_S)
    np.testing.assert_array_equal(model.decision_function(X_Q), model.predict_log_proba(X_Q))
    two = Y_S != "c"
    model = FewShotClassifier(prior).fit(X_S[two], Y_S[two])
    p = model.predict_proba(X_Q)
    np.testing.assert_allclose(model.decision_function(X_Q), np.log(p[:, 1] / p[:, 0]), rtol=1e-9)


HOLDERS = {
    "prior": lambda prior: prior,
    "frozen": FrozenEstimator,
    "pipeline": lambda prior: make_pipeline(StandardScaler().fit(X), prior),
    "frozen in a pipeline": lambda prior: make_pipeline(StandardScaler().fit(X), FrozenEstimator(prior)),
    "search": lambda prior: GridSearchCV(TMAMLClassifier(**QUICK), {"inner_lr": [0.1]}, cv=2).fit(ABC),
}
each_holder = pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)


@each_holder
def test_whatever_ends_in_a_learner_is_a_prior(hold, prior):
    holder = hold(prior)
    before = contents(holder)
    model = FewShotClassifier(holder).fit(X_S, Y_S)
    expected = adapt(holder, X_S, Y_S).predict_proba(X_Q)
    np.testing.assert_allclose(model.predict_proba(X_Q), expected, rtol=1e-12)
    assert not np.array_equal(model.fit(X_Q, Y_Q).predict_proba(X_Q), expected)
    assert contents(holder) == before and not hasattr(prior, "adapted_params_")
    assert model.prior is holder


@each_holder
def test_a_clone_keeps_what_the_prior_learned(hold, prior):
    model = FewShotClassifier(hold(prior)).fit(X_S, Y_S)
    copy = clone(model)
    with pytest.raises(NotFittedError):
        copy.predict(X_Q)
    np.testing.assert_array_equal(copy.fit(X_S, Y_S).predict_proba(X_Q), model.predict_proba(X_Q))


def test_a_clone_has_a_prior_of_its_own(prior):
    copy = clone(FewShotClassifier(prior))
    copy.prior.fit(ABC[:2])
    assert copy.prior.n_tasks_ == 2 and prior.n_tasks_ == 6
    frozen = FrozenEstimator(prior)
    assert clone(FewShotClassifier(frozen)).prior is frozen


def test_classes_that_the_support_set_lacks_are_never_answered(prior):
    """The prior's label space is a, b, c; its probabilities of a and c alone are scaled to one."""
    kept = Y_S != "b"
    model = FewShotClassifier(prior).fit(X_S[kept], Y_S[kept])
    assert model.classes_.tolist() == ["a", "c"]
    assert set(model.predict(X_Q)) == {"a", "c"}
    p = adapt(prior, X_S[kept], Y_S[kept]).predict_proba(X_Q)
    assert p.shape == (21, 3) and p[:, 1].min() > 0
    expected = p[:, [0, 2]] / p[:, [0, 2]].sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X_Q), expected, rtol=1e-9)
    np.testing.assert_array_equal(model.predict(X_Q), model.classes_[expected.argmax(1)])


# ---- tools that number the classes

NUMBERS = np.searchsorted(["a", "b", "c"], Y_S)


@pytest.mark.parametrize("form", [np.array, np.uint8, list, pd.Series], ids=lambda form: form.__name__)
@each_holder
def test_numbers_are_those_of_the_classes_of_the_prior(hold, form, prior):
    model = FewShotClassifier(hold(prior)).fit(X_S, form(NUMBERS))
    letters = FewShotClassifier(hold(prior)).fit(X_S, Y_S)
    assert model.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(model.predict_proba(X_Q), letters.predict_proba(X_Q))
    np.testing.assert_array_equal(np.array(["a", "b", "c"])[model.predict(X_Q)], letters.predict(X_Q))


def test_numbers_that_lack_the_last_are_told(prior):
    two, last = NUMBERS < 2, NUMBERS > 0
    with pytest.warns(
        UserWarning, match=r"numbers up to 1.*taken for \['a', 'b'\], but may.*label_space"
    ) as told:
        model = FewShotClassifier(prior).fit(X_S[two], NUMBERS[two])
    assert len(told) == 1 and model.classes_.tolist() == [0, 1]
    expected = FewShotClassifier(prior).fit(X_S[two], Y_S[two]).predict_proba(X_Q)
    np.testing.assert_array_equal(model.predict_proba(X_Q), expected)
    model.fit(X_S[last], NUMBERS[last])  # the last class is there: of three they were numbered
    expected = FewShotClassifier(prior).fit(X_S[last], Y_S[last]).predict_proba(X_Q)
    np.testing.assert_array_equal(model.predict_proba(X_Q), expected)


@each_holder
def test_an_evaluation_reads_numbers_as_a_fit_does(hold, prior):
    few = FewShotClassifier(hold(prior))
    numbered = [(X, np.searchsorted(["a", "b", "c"], y)) for X, y in ABC]
    settings = {"n_episodes": 12, "n_shot": 2, "n_query": 8, "metric": "accuracy"}
    a, b = (evaluate(few, tasks, **settings).scores for tasks in (numbered, ABC))
    np.testing.assert_array_equal(a, b)
    assert b.mean() > 0.3
    np.testing.assert_array_equal(
        evaluate(few, numbered, **settings | {"metric": "neg_log_loss"}).scores,
        evaluate(few, ABC, **settings | {"metric": "neg_log_loss"}).scores,
    )


@pytest.mark.parametrize("labels", [(0, 1, 2), (10, 20, 30), ("0", "1", "2")], ids=str)
def test_labels_of_the_prior_that_are_numbers_themselves(labels):
    """What the prior knows is taken as it is; other numbers are those of its classes."""
    labels = np.array(labels)
    prior = TMAMLClassifier(**QUICK).fit([(X, labels[np.searchsorted(["a", "b", "c"], y)]) for X, y in ABC])
    known = FewShotClassifier(prior).fit(X_S, labels[NUMBERS])
    assert known.classes_.tolist() == labels.tolist()
    numbered = FewShotClassifier(prior).fit(X_S, NUMBERS)
    assert numbered.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(numbered.predict_proba(X_Q), known.predict_proba(X_Q))
    two = NUMBERS < 2
    known.fit(X_S[two], labels[NUMBERS][two])  # without a warning
    assert known.classes_.tolist() == labels[:2].tolist()


@pytest.mark.parametrize(
    "wrong", [NUMBERS - 1, NUMBERS + 1, NUMBERS.astype(float)], ids=["low", "high", "float"]
)
def test_what_cannot_number_the_classes_is_an_error(wrong, prior):
    with pytest.raises(ValueError, match="labels that no task of fit had"):
        FewShotClassifier(prior).fit(X_S, wrong)
    mixed = TMAMLClassifier(**QUICK).fit([(X, np.searchsorted(["", "a", "b", "c"], y)) for X, y in ABC])
    with pytest.raises(ValueError, match=r"labels that no task of fit had: \[0\]"):
        FewShotClassifier(mixed).fit(X_S, NUMBERS)  # a label or a number: 1 and 2 may be either


def test_a_prior_of_labels_of_each_tasks_own_takes_any_numbers():
    prior = TMAMLClassifier(label_space="per_task", **QUICK).fit(ABC)
    two = NUMBERS < 2
    assert FewShotClassifier(prior).fit(X_S[two], NUMBERS[two]).classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    "ensemble",
    [
        lambda few: VotingClassifier([("few", few), ("local", LogisticRegression())], voting="soft"),
        lambda few: StackingClassifier([("few", few), ("local", LogisticRegression())], cv=2),
        lambda few: BaggingClassifier(few, 3, random_state=0),
    ],
    ids=["voting", "stacking", "bagging"],
)
def test_an_ensemble_answers_with_the_labels_that_it_was_given(ensemble, prior):
    """Its parts, which see numbers, are those of the letters."""
    model = ensemble(FewShotClassifier(prior)).fit(X_S, Y_S)
    assert set(model.predict(X_Q)) <= {"a", "b", "c"} == set(model.classes_)
    parts = [part for part in model.estimators_ if isinstance(part, FewShotClassifier)]
    samples = getattr(model, "estimators_samples_", [np.arange(len(Y_S))])
    for part, rows in zip(parts, samples, strict=True):
        assert part.classes_.tolist() == [0, 1, 2]
        letters = FewShotClassifier(prior).fit(X_S[rows], Y_S[rows])
        # Bagging passes on how often a row is drawn as its weight, where it can.
        np.testing.assert_allclose(part.predict_proba(X_Q), letters.predict_proba(X_Q), rtol=1e-5)


def test_a_class_that_the_prior_does_not_know(prior):
    with pytest.raises(ValueError, match=r"labels that no task of fit had: \['z'\]"):
        FewShotClassifier(prior).fit(X_S, np.where(Y_S == "a", "z", Y_S))


def test_sparse_rows_are_as_dense_ones(prior, lines_prior):
    for model, (X, y) in (FewShotClassifier(prior), ABC[0]), (FewShotRegressor(lines_prior), LINES[0]):
        dense = model.fit(X, y).predict(X)
        thin = sparse.csr_array(X)
        np.testing.assert_array_equal(model.fit(thin, y).predict(thin), dense)


def test_names_of_columns_are_kept_and_checked():
    named = [(pd.DataFrame(X, columns=list("wxyz")), y) for X, y in ABC]
    with_names, without = TMAMLClassifier(**QUICK).fit(named), TMAMLClassifier(**QUICK).fit(ABC)
    model = FewShotClassifier(with_names).fit(*named[0])
    assert model.feature_names_in_.tolist() == list("wxyz")
    np.testing.assert_array_equal(
        model.predict_proba(named[1][0]), FewShotClassifier(without).fit(*ABC[0]).predict_proba(ABC[1][0])
    )
    with pytest.raises(ValueError, match="feature names"):
        model.predict(named[1][0][list("zyxw")])
    assert not hasattr(model.set_params(prior=without).fit(*ABC[0]), "feature_names_in_")


def test_texts_through_the_prior_pipeline():
    words = {"spam": "win cash now", "ham": "see you at lunch"}
    labels = ["spam", "ham"] * 6
    texts = [f"{words[label]} {i}" for i, label in enumerate(labels)]
    pipe = make_pipeline(TfidfVectorizer(), TMAMLClassifier(**QUICK | {"max_iter": 30})).fit(texts, labels)
    model = FewShotClassifier(pipe).fit(texts[:4], labels[:4])
    adapted = adapt(pipe, texts[:4], labels[:4])
    np.testing.assert_allclose(model.predict_proba(texts), adapted.predict_proba(texts), rtol=1e-12)
    assert model.score(texts[4:], labels[4:]) == 1


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda prior, lines: FewShotClassifier(), ValueError, "FewShotClassifier must not be None. Pass a"),
        (lambda prior, lines: FewShotRegressor(), ValueError, "FewShotRegressor must not be None. Pass a"),
        (
            lambda prior, lines: FewShotClassifier(TMAMLClassifier()),
            NotFittedError,
            "FewShotClassifier is not meta-trained yet",
        ),
        (
            lambda prior, lines: FewShotClassifier(make_pipeline(StandardScaler(), TMAMLClassifier())),
            NotFittedError,
            "FewShotClassifier is not meta-trained yet",
        ),
        (
            lambda prior, lines: FewShotClassifier(GridSearchCV(TMAMLClassifier(), {})),
            NotFittedError,
            "FewShotClassifier is not meta-trained yet",
        ),
        (
            lambda prior, lines: FewShotClassifier(LogisticRegression().fit(X, Y)),
            TypeError,
            "FewShotClassifier ends in a LogisticRegression. Pass a meta-trained classifier",
        ),
        (
            lambda prior, lines: FewShotRegressor(make_pipeline(StandardScaler(), Ridge())),
            TypeError,
            "FewShotRegressor ends in a Ridge. Pass a meta-trained regressor",
        ),
        (
            lambda prior, lines: FewShotClassifier(lines),
            TypeError,
            "FewShotClassifier ends in a TMAMLRegressor",
        ),
        (
            lambda prior, lines: FewShotRegressor(prior),
            TypeError,
            "FewShotRegressor ends in a TMAMLClassifier",
        ),
        (lambda prior, lines: FewShotClassifier(TMAMLClassifier), TypeError, "ends in a type"),
    ],
    ids=[
        *("none", "none of a regressor", "unfitted", "unfitted pipeline", "unfitted search"),
        *("foreign", "foreign in a pipeline", "a regressor", "a classifier", "a class"),
    ],
)
def test_what_is_no_prior(make, error, text, prior, lines_prior):
    model = make(prior, lines_prior)
    with pytest.raises(error, match=f"The 'prior' parameter of .*{text}"):
        model.fit(X_S, Y_S)


# ---- scikit-learn's own checks


@pytest.mark.parametrize("name", ["FewShotClassifier", "FewShotRegressor"])
def test_without_a_prior_every_check_that_fails_says_that_it_is_missing(name):
    message = f"The 'prior' parameter of {name} must not be None"
    report = run_checks(name)
    others = [check for check in report if check.status != "passed"]
    assert 10 < len(others) < len(report)
    assert [check for check in others if not any(message in text for text in check.exceptions)] == []


@pytest.mark.parametrize("name", ["ReadyClassifier", "ReadyRegressor"])
def test_with_a_prior_every_check_passes(name):
    assert [check for check in run_checks(name) if check.status != "passed"] == []
