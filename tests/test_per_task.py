"""PerTask: one transformer for all tasks, whatever holds their rows."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from made_tasks import QUICK, make_lines, make_tasks, split
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from skmeta import PerTask, TaskList, TMAMLClassifier, TMAMLRegressor, adapt, few_shot_scorer

TASKS = [(X * [1, 10, 100, 1000] + i, y) for i, (X, y) in enumerate(make_tasks(6, n_features=4))]
GIVEN = [split(task) for task in TASKS]
ROWS, LABELS = (np.concatenate(part) for part in zip(*TASKS, strict=True))
NAMES = list("wxyz")


def assert_same_tasks(tasks, expected):
    """Tasks of the same lengths, whose parts are the same numbers."""
    assert len(tasks) == len(expected)
    for task, other in zip(tasks, expected, strict=True):
        assert isinstance(task, tuple) and len(task) == len(other)
        for part, its in zip(task, other, strict=True):
            np.testing.assert_allclose(np.asarray(part), np.asarray(its), rtol=1e-6, atol=1e-9)


def by_hand(transformer, tasks=TASKS):
    """Tasks transformed by what the pooled rows of all of them tell."""
    transformer.fit(ROWS, LABELS)
    return [tuple(transformer.transform(p) if i % 2 == 0 else p for i, p in enumerate(t)) for t in tasks]


def test_the_helper_sees_a_difference():
    for wrong in TASKS[1:], [(X + 1, y) for X, y in TASKS], [(X, y, X, y) for X, y in TASKS]:
        with pytest.raises(AssertionError):
            assert_same_tasks(wrong, TASKS)


@pytest.mark.parametrize(
    "make",
    [StandardScaler, RobustScaler, lambda: PCA(2), lambda: SelectKBest(k=2)],
    ids=["partial_fit", "scaler", "fewer columns", "labels"],
)
@pytest.mark.parametrize("tasks", [TASKS, GIVEN], ids=["pairs", "with a query set"])
def test_a_transformer_is_fitted_to_the_pooled_rows(make, tasks):
    before = [tuple(part.copy() for part in task) for task in tasks]
    transformer = make()
    assert_same_tasks(PerTask(transformer).fit_transform(tasks), by_hand(make(), tasks))
    assert_same_tasks(tasks, before)
    assert not hasattr(transformer, "n_features_in_")  # a clone of it was fitted


def test_the_standard_scaler_is_the_default():
    assert_same_tasks(PerTask().fit(TASKS).transform(TASKS), by_hand(StandardScaler()))


def test_rows_are_transformed_as_they_are():
    per_task = PerTask(MinMaxScaler()).fit(TASKS)
    expected = MinMaxScaler().fit(ROWS).transform(TASKS[0][0])
    np.testing.assert_allclose(per_task.transform(TASKS[0][0]), expected)
    flat = PerTask(SelectKBest(k=2)).fit(ROWS, LABELS)
    np.testing.assert_array_equal(flat.transform(ROWS), SelectKBest(k=2).fit_transform(ROWS, LABELS))


def test_new_tasks_are_transformed_by_the_tasks_of_fit():
    per_task = PerTask().fit(TASKS[:3])
    scaler = StandardScaler().fit(np.concatenate([X for X, _ in TASKS[:3]]))
    assert_same_tasks(per_task.transform(TASKS[3:]), [(scaler.transform(X), y) for X, y in TASKS[3:]])


# ---- what holds the rows


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames_keep_the_names_of_their_columns(frame):
    frames = [(frame(dict(zip(NAMES, X.T, strict=True))), y) for X, y in TASKS]
    per_task = PerTask(RobustScaler()).fit(frames)
    assert_same_tasks(per_task.transform(frames), by_hand(RobustScaler()))
    assert per_task.feature_names_in_.tolist() == per_task.get_feature_names_out().tolist() == NAMES
    assert per_task.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        per_task.transform([(frames[0][0][NAMES[::-1]], LABELS[:24])])


class Plain(BaseEstimator):
    """Transforms nothing, and knows no containers."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


def lazily(tasks):
    return TaskList(tasks.__getitem__, range(len(tasks)))


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("form", [list, lazily])
@pytest.mark.parametrize("transformer", [None, RobustScaler()], ids=["default", "given"])
def test_set_output_chooses_what_holds_the_transformed_rows(transformer, form, library):
    kind = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[library]
    frames = [(kind(dict(zip(NAMES, X.T, strict=True))), y) for X, y in TASKS]
    frames = form(frames)
    settings = {"transform": library}
    transformed = {
        "before fit": PerTask(transformer).set_output(**settings).fit(frames).transform(frames),
        "after fit": PerTask(transformer).fit(frames).set_output(**settings).transform(frames),
        "cloned": clone(PerTask(transformer).set_output(**settings)).fit(frames).transform(frames),
        "pickled": pickled(PerTask(transformer).set_output(**settings)).fit(frames).transform(frames),
        "None is no change": PerTask(transformer)
        .set_output(**settings)
        .set_output(transform=None)
        .fit(frames)
        .transform(frames),
        "set before": PerTask(PCA(2))
        .set_output(**settings)
        .set_params(transformer=transformer)
        .fit(frames)
        .transform(frames),
        "in a pipeline": make_pipeline(PerTask(transformer)).set_output(**settings).fit_transform(frames),
    }
    for how, tasks in transformed.items():
        assert isinstance(tasks, type(frames)), how
        assert all(isinstance(X, kind) and list(X.columns) == NAMES for X, _ in tasks), how
        assert_same_tasks(tasks, by_hand(StandardScaler() if transformer is None else clone(transformer)))
    assert transformer is None or not isinstance(clone(transformer).fit_transform(frames[0][0]), kind)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_container_can_be_set_for_all_of_scikit_learn(library):
    kind = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[library]
    with config_context(transform_output=library):
        assert all(isinstance(X, kind) for X, _ in PerTask().fit_transform(TASKS))


def test_a_transformer_that_has_no_container_to_set_is_told():
    with pytest.raises(ValueError, match=r"'transformer' parameter of PerTask, Plain\(\), has no set_output"):
        PerTask(Plain()).set_output(transform="pandas")


def test_columns_of_several_kinds():
    frames = [
        (pd.DataFrame({"dose": X[:, 0], "ward": np.where(X[:, 1] > 0, "A", f"B{i}")}), y)
        for i, (X, y) in enumerate(TASKS)
    ]
    make = make_column_transformer
    columns = (StandardScaler(), ["dose"]), (OneHotEncoder(sparse_output=False), ["ward"])
    fitted = make(*columns).fit(pd.concat([frame for frame, _ in frames]))
    tasks = PerTask(make(*columns)).fit_transform(frames)
    assert_same_tasks(tasks, [(fitted.transform(frame), y) for frame, y in frames])
    assert tasks[0][0].shape == (24, 8)  # the dose, and the wards A, B0, ..., B5


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.coo_array, sparse.csr_matrix])
def test_sparse_rows_stay_sparse(form):
    thin = [(form(X), y) for X, y in TASKS]
    tasks = PerTask(MaxAbsScaler()).fit_transform(thin)
    assert all(sparse.issparse(X) for X, _ in tasks)
    assert_same_tasks([(X.toarray(), y) for X, y in tasks], by_hand(MaxAbsScaler()))


def test_texts():
    words = ["one red apple", "two green pears", "three blue plums", "four apples"]
    tasks = [(words[i:] + words[:i], np.array([0, 1, 0, 1])) for i in range(3)]
    vectorizer = TfidfVectorizer().fit([text for texts, _ in tasks for text in texts])
    transformed = PerTask(TfidfVectorizer()).fit_transform(tasks)
    expected = [(vectorizer.transform(texts).toarray(), y) for texts, y in tasks]
    assert_same_tasks([(X.toarray(), y) for X, y in transformed], expected)
    pipe = make_pipeline(PerTask(TfidfVectorizer()), TMAMLClassifier(**QUICK)).fit(tasks)
    clf = TMAMLClassifier(**QUICK).fit(transformed).adapt(*transformed[0])
    np.testing.assert_allclose(
        adapt(pipe, *tasks[0]).predict_proba(words), clf.predict_proba(vectorizer.transform(words)), rtol=1e-6
    )


# ---- lists that stay where they are


class Shelf:
    """Tasks that are counted as they are loaded."""

    def __init__(self, tasks):
        self.tasks, self.loaded = tasks, []

    def __call__(self, name):
        self.loaded.append(name)
        return self.tasks[name]


class Parts(StandardScaler):
    """Notes the rows of each call of ``partial_fit``, and whether any other had been loaded since."""

    shelf = calls = None

    def partial_fit(self, X, y=None):
        self.calls.append((len(X), list(self.shelf.loaded)))
        return super().partial_fit(X, y)


def test_a_task_list_is_fitted_a_task_at_a_time(monkeypatch):
    shelf = Shelf(GIVEN)
    monkeypatch.setattr(Parts, "shelf", shelf)
    monkeypatch.setattr(Parts, "calls", [])
    per_task = PerTask(Parts()).fit(TaskList(shelf, range(6)))
    # 12 rows of each support and of each query set, and no task is loaded before its turn.
    assert Parts.calls == [(12, list(range(i + 1))) for i in range(6) for _ in range(2)]
    np.testing.assert_allclose(per_task.transformer_.mean_, ROWS.mean(0))
    np.testing.assert_allclose(per_task.transformer_.var_, ROWS.var(0))


@pytest.mark.parametrize("make", [StandardScaler, RobustScaler], ids=["partial_fit", "fit"])
def test_a_task_list_stays_one_and_is_loaded_as_it_is_used(make):
    shelf = Shelf(TASKS)
    tasks = TaskList(shelf, range(6))
    per_task = PerTask(make()).fit(tasks)
    assert shelf.loaded == list(range(6))
    shelf.loaded.clear()
    transformed = per_task.transform(tasks)
    assert isinstance(transformed, TaskList) and list(transformed.ids) == list(range(6))
    assert shelf.loaded == []
    assert_same_tasks([transformed[4]], by_hand(make())[4:5])
    assert shelf.loaded == [4]
    assert_same_tasks(list(transformed), by_hand(make()))


TRANSFORMERS = [
    StandardScaler(),
    MinMaxScaler(),
    MaxAbsScaler(),
    RobustScaler(),
    PCA(2),
    IncrementalPCA(2),
    SelectKBest(k=2),
]


@pytest.mark.parametrize("tasks", [TASKS, GIVEN], ids=["pairs", "with a query set"])
@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda t: type(t).__name__)
def test_a_task_list_gives_what_the_list_gives(transformer, tasks):
    """To the last bit: what the transformer learned, and what becomes of the tasks."""
    many = [(X / 3, y) for X, y in TASKS]  # whose means are no short binary fractions
    tasks = tasks if tasks is GIVEN else many
    a, b = (PerTask(transformer).fit(form(tasks)) for form in (list, lazily))
    learned = {name for name in vars(a.transformer_) if name.endswith("_")}
    assert learned
    for name in learned:
        np.testing.assert_array_equal(getattr(a.transformer_, name), getattr(b.transformer_, name))
    for task, other in zip(a.transform(tasks), b.transform(lazily(tasks)), strict=True):
        for part, its in zip(task, other, strict=True):
            np.testing.assert_array_equal(part, its)


@pytest.mark.parametrize("transformer", [None, RobustScaler()], ids=["default", "given"])
def test_a_pipeline_of_a_task_list_is_that_of_a_list(transformer):
    pipe = make_pipeline(PerTask(transformer), TMAMLClassifier(**QUICK))
    lazy = adapt(pipe.fit(lazily(TASKS)), *TASKS[0]).predict_proba(ROWS)
    np.testing.assert_array_equal(adapt(pipe.fit(TASKS), *TASKS[0]).predict_proba(ROWS), lazy)


# ---- in pipelines


@pytest.mark.parametrize("learner", [TMAMLClassifier, TMAMLRegressor])
def test_a_pipeline_is_its_parts_by_hand(learner):
    tasks = TASKS if learner is TMAMLClassifier else make_lines(n_features=4)
    scaler = StandardScaler().fit(np.concatenate([X for X, _ in tasks]))
    scaled = [(scaler.transform(X), y) for X, y in tasks]
    pipe = make_pipeline(PerTask(), learner(**QUICK)).fit(tasks)
    model = learner(**QUICK).fit(scaled)
    assert pipe.score(tasks) == pytest.approx(model.score(scaled), rel=1e-6)
    X_S, y_S, X_Q, _ = split(tasks[0])
    answers = adapt(pipe, X_S, y_S).predict(X_Q)
    np.testing.assert_allclose(
        answers, model.adapt(scaler.transform(X_S), y_S).predict(scaler.transform(X_Q))
    )


def test_a_search_over_the_transformer():
    """Each candidate is fitted to the tasks of its fold alone."""
    pipe = make_pipeline(PerTask(), TMAMLClassifier(**QUICK))
    grid = {"pertask__transformer": [RobustScaler(), PCA(1)]}
    scorer = few_shot_scorer("neg_log_loss")  # finer than the accuracy
    search = GridSearchCV(pipe, grid, scoring=scorer, cv=2).fit(TASKS)
    for k, (train, test) in enumerate(KFold(2).split(TASKS)):
        train, test = ([TASKS[i] for i in part] for part in (train, test))
        for transformer, score in zip(
            grid["pertask__transformer"], search.cv_results_[f"split{k}_test_score"], strict=True
        ):
            transformer.fit(np.concatenate([X for X, _ in train]))
            clf = TMAMLClassifier(**QUICK).fit([(transformer.transform(X), y) for X, y in train])
            expected = scorer(clf, [(transformer.transform(X), y) for X, y in test])
            assert score == pytest.approx(expected, rel=1e-6)
    assert len(set(search.cv_results_["mean_test_score"])) == 2


# ---- errors


def test_what_is_refused():
    with pytest.raises(ValueError, match="list of tasks, each with its own labels, so y must be None"):
        PerTask().fit(TASKS, LABELS)
    with pytest.raises(ValueError, match="empty list of tasks; at least 1 is needed"):
        PerTask().fit([])
    with pytest.raises(ValueError, match="empty list of tasks"):
        PerTask().fit(TaskList(TASKS.__getitem__, []))
    with pytest.raises(NotFittedError, match="This PerTask instance is not fitted yet"):
        PerTask().transform(TASKS)
    with pytest.raises(ValueError, match="X has 3 features, but StandardScaler is expecting 4"):
        PerTask().fit(TASKS).transform([(X[:, :3], y) for X, y in TASKS])


def test_it_has_no_names_or_widths_before_fit():
    per_task = PerTask(TfidfVectorizer())
    assert not hasattr(per_task, "get_feature_names_out")
    with pytest.raises(NotFittedError):
        _ = per_task.n_features_in_
    assert not hasattr(per_task.fit([(["a word"], [0])]), "n_features_in_")
    assert per_task.get_feature_names_out().tolist() == ["word"]
