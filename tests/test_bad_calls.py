"""Bad calls: the error names the argument and what came, and the object stays as it was, at work."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from bad_calls import (
    GIVEN,
    LETTERS,
    NAMES,
    OBJECTS,
    PER_TASK,
    TASKS,
    TWO_OUTPUTS,
    VALUES,
    WIDE,
    Bad,
    X,
    Y,
    Z,
    adapted,
    check_at_work,
    check_bad_call,
    check_refused,
    made,
    replaced,
    with_value,
    without,
)
from made_tasks import make_images, make_tasks
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback
from torch import nn

import skmeta
from skmeta import (
    Conv4,
    FewShotClassifier,
    FewShotRegressor,
    Rotations,
    TAMLClassifier,
    TaskList,
    TMAMLClassifier,
    TMAMLRegressor,
    compare,
    evaluate,
    few_shot_scorer,
    shots_curve,
)

ALL = tuple(c.__name__ for c in NAMES)
CLS, REG = ALL[:2], ALL[2:]
WARM = (*CLS, "warm")
BOTH = (*WARM, *REG, "warm regressor")
ONE = CLS[:1]
UNFITTED = tuple(f"unfitted {name}" for name in ALL)
FITTED = tuple(f"fitted {name}" for name in ALL)
REGRESSOR = REG[:1]

SQUARE = [0, 1, 0, 1]
MISSING = np.array(["a", None] * 12, dtype=object)
MIXED = np.array(["a", 1] * 12, dtype=object)
SPARSE_Y = sparse.csr_array(np.c_[Z])
IMAGES = make_images()
TWELVE = make_tasks(1, labels=range(12), n_rows=60)[0]
NOT_TRAINED = "This {cls} is not meta-trained yet.", "Call fit with tasks before adapt."
NOT_ADAPTED = (
    "This {cls} is meta-trained on 8 tasks but not adapted to one yet.",
    "Call adapt(X_support, y_support) before predict.",
)
EXPECTING_3 = "X has 5 features", "{cls} is expecting 3 features"
TUPLES = "Each task must be a tuple (X, y), or each (X, y, sample_weight), or each (X_support, y_support, "
TUPLES += "X_query, y_query)"
ONES = np.ones(24)
NEEDS_Y = "{cls} requires y to be passed, but the target y is None. Without y, X must be a list of tasks"
BATCH_NORM = "module has the batch normalisation '1', whose statistics would leak"
ENDS_IN = "model must be an estimator of skmeta, or a fitted pipeline or search that ends in one. "


class BatchNormed(nn.Sequential):
    def __init__(self, in_features):
        super().__init__(nn.Linear(in_features, 4), nn.BatchNorm1d(4))


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


def no_tuple(name):
    return [X, Y]


def five(name):
    return X, Y, X, Y, Y


def with_nan(name):
    return with_value(np.nan), Y


def fit(m):
    m.fit(TASKS)


def fit_values(m):
    m.fit(VALUES)


def adapt_with(X, y):
    return lambda m: m.adapt(X, y)


def fit_with(task, i=3, tasks=TASKS):
    """A fit of tasks of which one is another."""
    return lambda m: m.fit(replaced(task, i, tasks))


BAD = [
    # ---- before fit, and before adapt
    Bad("adapt before fit", UNFITTED, adapt_with(X, Y), NotFittedError, *NOT_TRAINED),
    Bad("predict before fit", UNFITTED, lambda m: m.predict(X), NotFittedError, *NOT_TRAINED),
    Bad("predict_proba before fit", UNFITTED[:2], lambda m: m.predict_proba(X), NotFittedError, *NOT_TRAINED),
    Bad("predict_tasks before fit", UNFITTED, lambda m: m.predict_tasks([(X, Y)], [X]), NotFittedError,
        *NOT_TRAINED),
    Bad("score of rows before fit", UNFITTED, lambda m: m.score(X, Y), NotFittedError, *NOT_TRAINED),
    Bad("score of tasks before fit", UNFITTED, lambda m: m.score(TASKS), NotFittedError, *NOT_TRAINED),
    Bad("meta_params_ before fit", UNFITTED, lambda m: m.meta_params_, NotFittedError, *NOT_TRAINED),
    Bad("device_ before fit", UNFITTED, lambda m: m.device_, NotFittedError, *NOT_TRAINED),
    Bad("skmeta.adapt before fit", UNFITTED, lambda m: skmeta.adapt(m, X, Y), NotFittedError, *NOT_TRAINED),
    Bad("evaluate before fit", UNFITTED[:2], lambda m: evaluate(m, TASKS), NotFittedError, *NOT_TRAINED),
    Bad("scorer before fit", UNFITTED, lambda m: few_shot_scorer()(m, TASKS), NotFittedError,
        "{cls}", "not fitted yet"),
    Bad("predict before adapt", FITTED, lambda m: m.predict(X), NotFittedError, *NOT_ADAPTED),
    Bad("predict_proba before adapt", FITTED[:2], lambda m: m.predict_proba(X), NotFittedError, *NOT_ADAPTED),
    Bad("predict_log_proba before adapt", FITTED[:2], lambda m: m.predict_log_proba(X), NotFittedError,
        *NOT_ADAPTED),
    Bad("decision_function before adapt", FITTED[:2], lambda m: m.decision_function(X), NotFittedError,
        *NOT_ADAPTED),
    Bad("score before adapt", FITTED, lambda m: m.score(X, Y), NotFittedError, *NOT_ADAPTED),
    Bad("updates_ before fit", UNFITTED[1::2], lambda m: m.updates_, NotFittedError, *NOT_TRAINED),
    Bad("updates_ before adapt", FITTED[1::2], lambda m: m.updates_, NotFittedError, *NOT_ADAPTED),
    # ---- fit: what is passed together
    Bad("fit: list and y", WARM, lambda m: m.fit(TASKS, np.zeros(40)), ValueError,
        "X is a list of tasks, each with its own labels, so y must be None", "got an array of shape (40,)."),
    Bad("fit: list and groups", WARM, lambda m: m.fit(TASKS, groups=np.zeros(8)), ValueError,
        "so groups must be None", "got an array of shape (8,)."),
    Bad("fit: no tasks", WARM, lambda m: m.fit([]), ValueError,
        "X is an empty list of tasks", "at least 1 is needed."),
    Bad("fit: five in a tuple", WARM, lambda m: m.fit([(X, Y, X, Y, Y)] * 3), ValueError,
        TUPLES, "got tuples of length [5]."),
    Bad("fit: weights of some tasks", WARM, lambda m: m.fit([*TASKS, (X, Y, ONES)]), ValueError,
        TUPLES, "got tuples of length [2, 3]."),
    Bad("fit: few weights of a task", BOTH, lambda m: m.fit([(X, Y, ONES), (X, Y, ONES[1:])]), ValueError,
        "task 1: sample_weight must have the shape (24,), a number for each row", "shape (23,)"),
    Bad("fit: few weights", BOTH, lambda m: m.fit(X, Y, sample_weight=ONES[1:]), ValueError,
        "sample_weight must have the shape (24,)", "shape (23,)"),
    Bad("fit: a negative weight", ALL, lambda m: m.fit([(X, Y, -ONES)] * 3), ValueError,
        "task 0: sample_weight must be 0 or more for each row", "got -1.0"),
    Bad("fit: NaN in weights", ALL, lambda m: m.fit([(X, Y, ONES * np.nan)] * 3), ValueError,
        "task 0: ", "sample_weight contains NaN"),
    Bad("fit: words for weights", ALL, lambda m: m.fit(X, Y, sample_weight=["heavy"] * 24), ValueError,
        "sample_weight", "'heavy'"),
    Bad("fit: weights of zero", ALL, lambda m: m.fit(X, Y, sample_weight=0 * ONES), ValueError,
        "sample_weight must be above 0 for a row", "got zero for all"),
    Bad("fit: list and weights", ALL, lambda m: m.fit(TASKS, sample_weight=ONES), ValueError,
        "each with its own weights as a third part, so sample_weight must be None", "shape (24,)"),
    Bad("adapt: few weights", ALL, lambda m: m.adapt(X, Y, ONES[1:]), ValueError,
        "sample_weight must have the shape (24,)", "shape (23,)"),
    Bad("adapt: a negative weight", ALL, lambda m: m.adapt(X, Y, -ONES), ValueError,
        "sample_weight must be 0 or more", "got -1.0"),
    Bad("class_weight: a word", CLS, lambda m: m.fit(TASKS), ValueError,
        "The 'class_weight' parameter of", "Got 'fair' instead", {"class_weight": "fair"}),
    Bad("class_weight: below 0", CLS, lambda m: m.fit(TASKS), ValueError,
        "The 'class_weight' parameter of", "[0, inf)", {"class_weight": {0: -1}}),
    Bad("class_weight: a class that there is not", CLS, lambda m: m.fit(TASKS), ValueError,
        "class_weight={7: 2, 8: 1}", "The classes, [0, 1], are not in class_weight",
        {"class_weight": {7: 2, 8: 1}}),
    Bad("class_weight: a dict of own classes", CLS, lambda m: m.fit(TASKS), ValueError,
        "class_weight must be None or 'balanced' where the last layer is made of the classes",
        "{0: 1, 1: 2}",
        {"class_weight": {0: 1, 1: 2}, "label_space": "per_task"}),
    Bad("fit: one in a tuple", REG, lambda m: m.fit([(X,)]), ValueError, TUPLES, "got tuples of length [1]."),
    Bad("fit: pairs and given episodes", WARM, lambda m: m.fit([*TASKS, *GIVEN]), ValueError,
        TUPLES, "got tuples of length [2, 4]."),
    Bad("fit: lists for tuples", WARM, lambda m: m.fit([[X, Y], [X, Y]]), ValueError,
        "requires y to be passed",
        "Without y, X must be a list of tasks, each a tuple (X, y)."),
    Bad("fit: no y", BOTH, lambda m: m.fit(X), ValueError, "y", NEEDS_Y),
    Bad("fit: a task without y", ALL, fit_with((X, None)), ValueError, "task 3: ", NEEDS_Y),
    Bad("fit: length of groups", BOTH, lambda m: m.fit(X, Y, groups=[0, 1]), ValueError,
        "groups must have the shape (24,)", "got an array of shape (2,)."),
    Bad("fit: groups with two axes", WARM, lambda m: m.fit(X, Y, groups=np.zeros((24, 2))), ValueError,
        "groups must have the shape (24,)", "(24, 2)"),
    Bad("fit: groups is a number", ONE, lambda m: m.fit(X, Y, groups=3), ValueError, "groups", "got 3."),
    Bad("fit: None in groups", BOTH, lambda m: m.fit(X, Y, groups=["u"] * 12 + [None] * 12), ValueError,
        "groups must have an id for each row", "got None for 12 rows."),
    Bad("fit: NaN in groups", ONE, lambda m: m.fit(X, Y, groups=[0.0] * 20 + [np.nan] * 4), ValueError,
        "groups must have an id for each row", "got nan for 4 rows."),
    Bad("fit: groups of two types", ONE, lambda m: m.fit(X, Y, groups=MIXED), ValueError,
        "groups must have ids of one type", "got ['int', 'str']."),
    # ---- fit: tasks of which none gives an episode
    Bad("fit: one class", WARM, lambda m: m.fit([(X, Y * 0)] * 2), ValueError,
        "the tasks have only 1 class, 0", "a classifier needs 2 or more."),
    Bad("fit: one class in each task", CLS,
        lambda m: m.fit([without("b", LETTERS[0]), without("a", LETTERS[1])]), ValueError,
        "task 0 has only the class 'a', task 1 has only the class 'b'",
        "an episode needs 2 classes or more."),
    Bad("fit: one class in each named group", CLS, lambda m: m.fit(X, Y, groups=np.array(["u", "v"])[Y]),
        ValueError, "task 'u' has only the class 0, task 'v' has only the class 1",
        "an episode needs 2 classes or more.", {"label_space": "per_task"}),
    Bad("fit: one class in flat data", WARM, lambda m: m.fit(X, np.zeros(24, int)), ValueError,
        "y has only 1 class, 0", "a classifier needs 2 or more."),
    *(Bad(f"fit: one row for each of {n} classes of flat data", who,
          lambda m, n=n: m.fit(X[:n], np.arange(n)), ValueError, "(X, y) has 1 row of each class",
          "an episode needs 2 rows of a class, one for each of its sets, unless sampling='natural'.", params)
      # Shared labels, of which rows are drawn as they come, and per-task ones.
      for n, who, params in ((4, CLS, {"sampling": "stratified"}), (8, WARM, {}))),
    Bad("fit: one row for each class", CLS, lambda m: m.fit([(X[:2], SQUARE[:2])] * 2), ValueError,
        "task 0 has 1 row of each class, task 1 has", "an episode needs 2 rows of a class",
        {"sampling": "stratified"}),
    Bad("fit: no episode for several reasons", CLS,
        lambda m: m.fit([(X[:2], SQUARE[:2]), (X, Y * 0)]), ValueError,
        "task 0 has 1 row of each class, task 1 has only the class 0",
        "unless sampling='natural' and 2 classes or more.", {"label_space": "per_task"}),
    Bad("fit: one row", REG, lambda m: m.fit([(X[:1], Z[:1])] * 2), ValueError,
        "task 0 has 1 row, task 1 has 1 row",
        "an episode needs a row for the support set and one for the query set."),
    Bad("fit: one row of flat data", REG, lambda m: m.fit(X[:1], Z[:1]), ValueError,
        "(X, y) has n_samples=1", "an episode needs a row for the support set and one for the query set."),
    Bad("fit: no rows", BOTH, lambda model: model.fit([(X[:0], Y[:0])] * 3), ValueError,
        "X is a list of tasks without rows", "an episode needs a row for each of its sets."),
    Bad("fit: class of the query set", CLS, fit_with((X, Y, X[:4], np.array([0, 1, 2, 1])), tasks=GIVEN),
        ValueError,
        "task 3, class 2", "is in the query set but not in the support set.", {"label_space": "per_task"}),
    Bad("fit: one class in each given support set", CLS,
        lambda m: m.fit([(X[Y == 0], Y[Y == 0], X, Y)] * 2), ValueError,
        "task 0 has only the class 0 in its support set", "an episode needs 2 classes or more.",
        {"label_space": "per_task"}),
    Bad("fit: no support rows for per-task labels", CLS, lambda m: m.fit(PER_TASK), ValueError,
        "The 'n_shot' parameter of {cls} must be 1 or more", "by head='posterior'. Got 0 instead.",
        {"n_shot": 0}),
    # ---- fit: rows
    Bad("fit: widths", BOTH, fit_with((WIDE, SQUARE)), ValueError,
        "task 3 has 5 features", "the tasks before it 3."),
    Bad("fit: widths that fit had not", ALL, lambda m: m.fit([(WIDE, SQUARE), TASKS[0]]), ValueError,
        "task 1 has 3 features", "the tasks before it 5."),
    Bad("fit: width of a given query set", BOTH, fit_with((*GIVEN[3][:2], WIDE, SQUARE), tasks=GIVEN),
        ValueError, "task 3 has 5 features", "the tasks before it 3."),
    Bad("fit: image sizes", CLS,
        lambda m: m.fit([(np.zeros((4, 1, 8, 8)), SQUARE), (np.zeros((4, 1, 9, 8)), SQUARE)]), ValueError,
        "task 1 has rows of shape (1, 9, 8)", "the tasks before it (1, 8, 8)."),
    Bad("fit: more axes without a module", CLS, lambda m: m.fit(np.zeros((6, 4, 5)), [0, 1] * 3), ValueError,
        "Without a module, X must have 2 axes", "rows of shape (4, 5). Flatten them"),
    Bad("fit: more axes for a warm start", ("warm",), lambda m: m.fit(IMAGES), ValueError,
        "task 0: X", "expecting 3 features"),
    Bad("fit: a row for rows", ALL, fit_with((X[0], Y[:3])), ValueError, "task 3", "got 1D array"),
    Bad("fit: NaN", ALL, fit_with((with_value(np.nan), Y)), ValueError, "task 3: ", "X contains NaN",
        {"module": nn.Linear(3, 4)}),
    Bad("fit: infinity", BOTH, fit_with((with_value(np.inf), Y)), ValueError,
        "task 3: ", "X contains infinity"),
    Bad("fit: NaN in sparse rows", WARM, fit_with((sparse.csr_array(with_value(np.nan)), Y)), ValueError,
        "task 3: ", "contains NaN"),
    Bad("fit: strings in X", BOTH, fit_with((np.full((4, 3), "x"), SQUARE)), ValueError,
        "task 3: could not convert string to float", "x"),
    Bad("fit: lengths in a task", BOTH, fit_with((X, Y[:-1])), ValueError,
        "task 3: ", "inconsistent numbers of samples: [24, 23]"),
    Bad("fit: names of another order", CLS,
        lambda m: m.fit([(pd.DataFrame(X, columns=list(names)), Y) for names in ("abc", "acb")]), ValueError,
        "task 1: The feature names should match", "same order"),
    # ---- fit: labels and targets
    Bad("fit: NaN in y", BOTH, fit_with((X, np.where(Y, 1.0, np.nan))), ValueError,
        "task 3: ", "y contains NaN"),
    Bad("fit: continuous labels", WARM, fit_with((X, Y + 0.5)), ValueError,
        "task 3: y", "Unknown label type: continuous"),
    Bad("fit: missing labels", WARM, fit_with((X, MISSING)), ValueError, "task 3: y", "has missing labels."),
    Bad("fit: labels of two types in a task", WARM, fit_with((X, MIXED)), ValueError,
        "task 3: y must have labels of one type", "got ['int', 'str']."),
    Bad("fit: strings and numbers as labels", WARM, fit_with((X, Y.astype(str))), ValueError,
        "Mix of label input types (string and number)", "['0' '1']"),
    Bad("fit: y with two axes", CLS, fit_with((X, np.c_[Y, Y])), ValueError,
        "task 3: y should be a 1d array", "(24, 2)"),
    Bad("fit: sparse y", CLS, fit_with((X, SPARSE_Y)), TypeError, "task 3: ", "Sparse data was passed for y"),
    Bad("fit: sparse targets", REG, fit_with((X, SPARSE_Y), tasks=VALUES), ValueError,
        "task 3: y", "csr_array of shape (24, 1)"),
    Bad("fit: strings for targets", REG, fit_with((X, np.full(24, "x")), tasks=VALUES), ValueError,
        "task 3: y must be an array of numbers", "shape (24,) and dtype <U1."),
    Bad("fit: None for targets", REG, fit_with((X, np.full(24, None)), tasks=VALUES), ValueError,
        "task 3: y", "NaN"),
    Bad("fit: targets with three axes", REG, fit_with((X, np.zeros((24, 1, 1)))), ValueError,
        "task 3: y", "(24, 1, 1)"),
    Bad("fit: numbers of outputs", REG, fit_with((X, np.c_[Z, Z]), tasks=VALUES), ValueError,
        "task 3 has y of shape (24, 2)", "the tasks before it ('n_rows',)."),
    Bad("fit: numbers of outputs in a task", REG, lambda m: m.fit([(X, Z, X, np.c_[Z])]), ValueError,
        "task 0 has y of the shapes (24,)", "(24, 1)"),
    # ---- adapt
    Bad("adapt: unknown label", WARM, adapt_with(X, Y + 1), ValueError,
        "y has labels that no task of fit had: [2].", "fit with label_space='per_task' for new ones."),
    Bad("adapt: labels of another type", WARM, adapt_with(X, np.array(["a", "b"] * 12, dtype=object)),
        ValueError, "y has labels that no task of fit had", "['a', 'b']"),
    Bad("adapt: a string for y", ALL, adapt_with(X, "no_validation"), ValueError,
        "y must have an entry for each row", "'no_validation'"),
    Bad("adapt: bytes", CLS, adapt_with(X, np.array([b"a", b"b"] * 12)), TypeError, "labels", "bytes"),
    Bad("adapt: no y", ALL, adapt_with(X, None), ValueError, "y", NEEDS_Y),
    Bad("adapt: lengths", ALL, adapt_with(X, Y[:3]), ValueError, "samples", "[24, 3]"),
    Bad("adapt: no rows", ("labels of a task",), adapt_with(X[:0], Y[:0]), ValueError,
        "y has no rows; a task needs 2 classes or more", "Fit with label_space='shared'"),
    Bad("adapt: width", ALL, adapt_with(WIDE, SQUARE), ValueError, *EXPECTING_3),
    Bad("adapt: NaN", ALL, adapt_with(with_value(np.nan), Y), ValueError, "X", "contains NaN",
        {"module": nn.Linear(3, 4)}),
    Bad("adapt: more axes", ALL, adapt_with(X[:, :, None], Y), ValueError,
        "X has rows of shape (3, 1)", "(3,)"),
    Bad("adapt: a list of tasks", ALL, adapt_with(TASKS, None), ValueError,
        "X must be the rows of one task", "got a list of 8 tasks."),
    Bad("adapt: continuous labels", CLS, adapt_with(X, Y + 0.5), ValueError,
        "y", "Unknown label type: continuous"),
    Bad("adapt: missing labels", CLS, adapt_with(X, MISSING), ValueError, "y", "has missing labels"),
    Bad("adapt: y with two axes", CLS, adapt_with(X, np.c_[Y, Y]), ValueError,
        "y should be a 1d array", "(24, 2)"),
    Bad("adapt: sparse y", CLS, adapt_with(X, SPARSE_Y), TypeError, "y", "Sparse data"),
    Bad("adapt: one class", ("labels of a task",), adapt_with(X, ["x"] * 24), ValueError,
        "y has only the class 'x'; a task needs 2 classes or more",
        "Fit with label_space='shared' if labels mean the same in every task."),
    Bad("adapt: too many outputs", REG, adapt_with(X, np.c_[Z, Z]), ValueError,
        "y has the shape (24, 2)", "fit had y of the shape ('n_rows',)."),
    Bad("adapt: too few outputs", ("two outputs",), adapt_with(X, Z), ValueError,
        "y has the shape (24,)", "fit had y of the shape ('n_rows', 2)."),
    Bad("adapt: strings for targets", REG, adapt_with(X, ["x"] * 24), ValueError,
        "y must be an array of numbers", "<U1"),
    Bad("adapt: None for targets", REG, adapt_with(X, np.full(24, None)), ValueError, "y", "contains NaN"),
    Bad("adapt: sparse targets", REG, adapt_with(X, SPARSE_Y), ValueError, "y", "csr_array of shape (24, 1)"),
    Bad("adapt: infinite targets", REG, adapt_with(X, np.full(24, np.inf)), ValueError,
        "y", "contains infinity"),
    # ---- predict and predict_tasks
    Bad("predict: width", ALL, lambda m: m.predict(WIDE), ValueError, *EXPECTING_3),
    Bad("predict: one row as a vector", ALL, lambda m: m.predict(X[0]), ValueError,
        "Expected 2D array", "got 1D array"),
    Bad("predict: NaN", CLS, lambda m: m.predict_proba(with_value(np.nan)), ValueError, "X", "contains NaN",
        {"module": nn.Linear(3, 4)}),
    Bad("predict: NaN, regressors", REG, lambda m: m.predict(with_value(np.nan)), ValueError,
        "X", "contains NaN", {"module": nn.Linear(3, 4)}),
    Bad("predict: more axes", ALL, lambda m: m.predict(X[:, :, None]), ValueError,
        "X has rows of shape (3, 1)", "(3,)"),
    Bad("predict: a list of tasks", ALL, lambda m: m.predict(TASKS), ValueError,
        "X must be the rows of one task", "got a list of 8 tasks."),
    Bad("predict_tasks: numbers of tasks", ALL, lambda m: m.predict_tasks([(X, Y)] * 3, [X] * 2), ValueError,
        "supports and X_queries must have one entry for each task", "got 3 and 2."),
    Bad("predict_tasks: width of a support", ALL, lambda m: m.predict_tasks([(X, Y), (WIDE, SQUARE)], [X, X]),
        ValueError, "task 1: " + EXPECTING_3[0], EXPECTING_3[1]),
    Bad("predict_tasks: width of a query", ALL, lambda m: m.predict_tasks([(X, Y)] * 2, [X, WIDE]),
        ValueError, "task 1: " + EXPECTING_3[0], EXPECTING_3[1]),
    Bad("predict_tasks: unknown label", CLS, lambda m: m.predict_tasks([(X, Y), (X, Y + 1)], [X, X]),
        ValueError,
        "task 1: y has labels that no task of fit had", "[2]"),
    Bad("predict_tasks: missing labels", CLS, lambda m: m.predict_tasks([(X, Y), (X, MISSING)], [X, X]),
        ValueError,
        "task 1: y", "has missing labels"),
    Bad("predict_tasks: continuous labels", CLS, lambda m: m.predict_tasks([(X, Y), (X, Y + 0.5)], [X, X]),
        ValueError,
        "task 1: y", "Unknown label type: continuous"),
    Bad("predict_tasks: one class", ("labels of a task",),
        lambda m: m.predict_tasks([(X, Y), (X, ["x"] * 24)], [X, X]), ValueError,
        "task 1: y has only the class 'x'; a task needs 2 classes or more",
        "Fit with label_space='shared' if labels mean the same in every task."),
    Bad("predict_tasks: no rows", ("labels of a task",),
        lambda m: m.predict_tasks([PER_TASK[0], (X[:0], Y[:0])], [X, X]), ValueError,
        "task 1: y has no rows", "a task needs 2 classes or more"),
    Bad("predict_tasks: ragged rows", ALL,
        lambda m: m.predict_tasks([(X, Y), ([[1.0, 2.0], [1.0]], Y[:2])], [X, X]), ValueError,
        "task 1: setting an array element", "inhomogeneous"),
    Bad("predict_tasks: outputs", REG, lambda m: m.predict_tasks([(X, Z), (X, np.c_[Z, Z])], [X, X]),
        ValueError,
        "task 1: y has the shape", "(24, 2)"),
    Bad("predict_tasks: supports without labels", ALL, lambda m: m.predict_tasks([X, X], [X, X]), ValueError,
        "supports must be a list of tuples", "got ndarray for task 0."),
    Bad("predict_tasks: four in a tuple", ALL, lambda m: m.predict_tasks([(X, Y), (X, Y, X, Y)], [X, X]),
        ValueError,
        "supports must be a list of tuples", "got 4 parts for task 1."),
    Bad("predict_tasks: rows for weights", ALL, lambda m: m.predict_tasks([(X, Y), (X, Y, X)], [X, X]),
        ValueError,
        "task 1: sample_weight must have the shape (24,)", "shape (24, 3)"),
    Bad("predict_tasks: no list", ONE, lambda m: m.predict_tasks(3, [X]), ValueError,
        "supports must be a list", "Got 3 instead."),
    Bad("predict_tasks: no queries", ONE, lambda m: m.predict_tasks([(X, Y)], None), ValueError,
        "X_queries must be a list", "Got None instead."),
    # ---- score
    Bad("score: no label is known", CLS, lambda m: m.score(X, Y + 100), ValueError,
        "None of the labels in y is among the classes_ of the adapted task, [0, 1]. To score tasks, pass "
        "groups, the task of each row",
        "call sklearn.set_config(enable_metadata_routing=True) so that groups reach score."),
    Bad("score: no y", ALL, lambda m: m.score(X), ValueError, "y", "is None"),
    Bad("score: lengths", ALL, lambda m: m.score(X, Y[:3]), ValueError, "samples", "[3, 24]"),
    Bad("score: y with two axes", CLS, lambda m: m.score(X, np.c_[Y, Y]), ValueError,
        "y should be a 1d array", "(24, 2)"),
    Bad("score: outputs", REG, lambda m: m.score(X, np.c_[Z, Z]), ValueError,
        "y_true", "number of output (2!=1)"),
    Bad("score: no tasks", ALL, lambda m: m.score([]), ValueError, "X", "empty list of tasks"),
    Bad("score: weights of tasks", ALL, lambda m: m.score(TASKS, sample_weight=np.ones(8)), ValueError,
        "each with its own weights as a third part, so sample_weight must be None", "shape (8,)."),
    Bad("score: few weights of groups", ALL, lambda m: m.score(X, Y, ONES[1:], groups=np.arange(24) % 2),
        ValueError, "sample_weight must have the shape (24,)", "shape (23,)"),
    Bad("class_weight: zeros", CLS, lambda m: m.fit(TASKS), ValueError,
        "class_weight must be above 0 for a class", "{0: 0, 1: 0}", {"class_weight": {0: 0, 1: 0}}),
    Bad("evaluate: a metric without weights", CLS,
        lambda m: evaluate(m, [(X, Y, ONES)] * 3, metric=lambda y, p: 0.0), ValueError,
        "metric=", "takes no weights, which the tasks have; pass one that does, or tasks (X, y)"),
    Bad("score: weights of rows", ALL, lambda m: m.score(X, Y, sample_weight=np.ones(3)), ValueError,
        "samples", "[24, 24, 3]"),
    Bad("score: list and y", ALL, lambda m: m.score(TASKS, Y), ValueError,
        "so y must be None", "got an array of shape (24,)."),
    Bad("score: width", ALL, lambda m: m.score([(WIDE, SQUARE)]), ValueError,
        "task 0: " + EXPECTING_3[0], EXPECTING_3[1]),
    Bad("score: nothing left to predict", CLS, lambda m: m.score([(X[:2], np.array([0, 1]))] * 2),
        ValueError,
        "task 0 has 1 row of each class, task 1 has", "an episode needs 2 rows of a class"),
    Bad("score: one class in each task", ("labels of a task",), lambda m: m.score([(X, ["x"] * 24)] * 2),
        ValueError,
        "task 0 has only the class 'x', task 1 has", "an episode needs 2 classes or more."),
    Bad("score: one row left to predict", REG, lambda m: m.score([VALUES[0], (X[:2], Z[:2])]), ValueError,
        "task 1 has 1 rows left to score beside its support set", "2 or more are needed."),
    Bad("score: None in groups", ALL, lambda m: m.score(X, Y, groups=[None] * 24), ValueError,
        "groups", "None"),
    # ---- a warm start with something else
    Bad("warm start: inner_lr", ("warm",), fit, ValueError,
        "inner_lr must stay as it was, 0.05", "got 0.25.", {"inner_lr": 0.25}),
    Bad("warm start: inner_steps", ("warm",), fit, ValueError,
        "inner_steps must stay as it was, 2", "got 1.", {"inner_steps": 1}),
    Bad("warm start: early_stopping", ("warm",), fit, ValueError,
        "early_stopping must stay as it was, 'auto'", "got True.", {"early_stopping": True}),
    Bad("warm start: average", ("warm",), fit, ValueError,
        "average must stay as it was, 'auto'", "got 0.9.", {"average": 0.9}),
    Bad("warm start: augment", ("warm",), fit, ValueError,
        "augment must stay as it was, None", "got Rotations().", {"augment": Rotations()}),
    *(Bad(f"warm start: classes, {i}", ("warm, letters",), lambda m, tasks=tasks: m.fit(tasks), ValueError,
          "the tasks must have the classes of the last fit, ['a' 'b' 'c']", got)
      for i, (tasks, got) in enumerate(
          ((LETTERS, "got ['a' 'b']"), (TASKS, "got [0 1]"), (PER_TASK, "got None")))),
    Bad("warm start: outputs", ("warm regressor",), lambda m: m.fit(TWO_OUTPUTS), ValueError,
        "y must have the shape of the last fit, ('n_rows',)", "got (192, 2)."),
    # ---- names of parameters
    *(Bad(f"constructor: {name}", ALL, lambda m, name=name: type(m)(**{name: 1}), TypeError,
          f"{{cls}} has no parameter '{name}', set to 1.", hint)
      for name, hint in (("inner_lrr", "Did you mean 'inner_lr'?"), ("module_size", "Did you mean 'module'?"),
                         ("innersteps", "'inner_steps'?"), ("zzz", "Beside its own, it takes ('module__'"))),
    Bad("constructor: n_ways", CLS, lambda m: type(m)(n_ways=1), TypeError,
        "'n_ways', set to 1.", "'n_way'?"),
    Bad("constructor: n_way", REG, lambda m: type(m)(n_way=5), TypeError,
        "{cls} has no parameter 'n_way'", "set to 5."),
    Bad("constructor: meta_model_lr", (ALL[0], ALL[2]), lambda m: type(m)(meta_model_lr=0.1), TypeError,
        "{cls} has no parameter 'meta_model_lr'", "set to 0.1."),
    Bad("constructor: iterator_valid__", ONE, lambda m: type(m)(iterator_valid__x=1), TypeError,
        "'iterator_valid__x'", "1"),
    Bad("set_params: unknown names", ALL, lambda m: m.set_params(inner_lr=9, module__bias=False, inner_lrr=1),
        ValueError,
        "{cls} has no parameter 'inner_lrr', set to 1.", "Did you mean 'inner_lr'?"),
    Bad("set_params: a part of a number", ALL, lambda m: m.set_params(tol=9, inner_lr__x=1), ValueError,
        "'inner_lr__x'", "1"),
    Bad("set_params: of a prior", ("FewShotClassifier",), lambda m: m.set_params(prior__inner_lrr=1),
        ValueError,
        "TMAMLClassifier has no parameter 'inner_lrr'", "set to 1."),
    Bad("set_params: PerTask", ("PerTask",), lambda m: m.set_params(nope=1), ValueError, "'nope'", "PerTask"),
    Bad("iterator_train__: unknown", ALL, fit, ValueError,
        "{cls} has no parameter 'iterator_train__shuffle', set to True",
        "it takes iterator_train__batch_size and iterator_train__steps_per_epoch.",
        {"iterator_train__shuffle": True}),
    Bad("iterator_train__: number", ALL, fit, ValueError,
        "The 'iterator_train__batch_size' parameter of {cls} must be an int",
        "Got 0 instead.", {"iterator_train__batch_size": 0}),
    Bad("iterator_train__: type", ALL, fit, ValueError,
        "The 'iterator_train__steps_per_epoch' parameter of {cls}",
        "Got '5' instead.", {"iterator_train__steps_per_epoch": "5"}),
    # ---- parameters that do not go with the rest
    Bad("augment: another shape", ALL, fit, ValueError,
        "augment must return a tensor of the shape, dtype and device", "got ((1,",
        {"augment": lambda X, generator: X[:1]}),
    Bad("augment: rows that are no images", ALL, fit, ValueError,
        "Rotations needs square images", "got rows of shape (3,).", {"augment": Rotations()}),
    Bad("adapt_steps, negative, at adapt", ALL, adapt_with(X, Y), ValueError,
        "The 'adapt_steps' parameter of {cls} must be an int in [0, inf)", "Got -3", {"adapt_steps": -3}),
    Bad("adapt_steps, no int, at predict_tasks", ALL, lambda m: m.predict_tasks([(X, Y)], [X]), ValueError,
        "The 'adapt_steps' parameter of {cls} must be an int in [0, inf)", "Got 1.5", {"adapt_steps": 1.5}),
    *(Bad(f"meta_gradient: {value}", (ALL[1], ALL[3]), fit, ValueError,
          "The 'meta_gradient' parameter of {cls} must be one of {'second_order', 'first_order'}.",
          f"Got '{value}' instead.", {"meta_gradient": value}) for value in ("reptile", "joint")),
    Bad("task_regularizer: one task", ALL, fit, ValueError,
        "compares the losses of tasks in a meta-batch, so meta_batch_size must be 2 or more",
        "Got 1 instead", {"task_regularizer": "theil", "meta_batch_size": 1}),
    Bad("adapt_params: pattern", ALL, fit, ValueError,
        "adapt_params has 'body.*', which matches no parameter", "there are ['backbone.mlp.layers.0.weight'",
        {"adapt_params": ["head.*", "body.*"]}),
    Bad("adapt_params: reptile", (ALL[0], ALL[2]), fit, ValueError,
        "adapt_params must be 'all'", "Got 'head'",
        {"meta_gradient": "reptile", "adapt_params": "head"}),
    Bad("task_regularizer: tied head", CLS, fit, ValueError, "task_regularizer='theil'", "has no effect",
        {"head": "tied", "task_regularizer": "theil"}),
    Bad("task_regularizer: entropy of values", REG, fit_values, ValueError,
        "task_regularizer='entropy' is of class probabilities", "{cls} has not",
        {"task_regularizer": "entropy"}),
    Bad("head: linear for per-task labels", CLS, lambda m: m.fit(PER_TASK), ValueError,
        "head='linear' has one row for each class of a shared label space, but label_space is per_task here.",
        "Use head='tied', 'prototype' or 'cosine', or label_space='shared'.", {"head": "linear"}),
    Bad("head: tied and no inner step", ONE, lambda m: m.fit(PER_TASK), ValueError, "head='tied'",
        "meta_gradient='joint'", {"head": "tied", "meta_gradient": "joint"}),
    Bad("module: batch normalisation", ALL, fit, ValueError,
        BATCH_NORM, "GroupNorm or LayerNorm", {"module": BatchNormed}),
    Bad("module: untrained batch normalisation", ALL, fit, ValueError,
        BATCH_NORM, "GroupNorm", {"module": BatchNormed(3)}),
    Bad("module: arguments for an instance", ALL, fit, ValueError,
        "module is an instance, so it takes no arguments",
        "got ['bias'].", {"module": nn.Linear(3, 4), "module__bias": False}),
    Bad("module: factory of something else", ALL, fit, ValueError,
        "module must return an nn.Module", "got int.",
        {"module": lambda: 3}),
    Bad("module: a builtin type", ALL, fit, ValueError, "module=<class 'int'>", "int", {"module": int}),
    Bad("module: argument that is missing", ALL, fit, TypeError,
        "module=<class 'torch.nn.modules.linear.Linear'>",
        "'out_features'", {"module": nn.Linear}),
    Bad("module: argument that it lacks", ALL, lambda m: m.fit([(rows, Y[:12]) for rows, _ in IMAGES]),
        TypeError, "module=<class 'skmeta.core.backbones.Conv4'> could not be called with", "'width'",
        {"module": Conv4, "module__width": 3}),
    Bad("module: for other rows", ALL, fit, ValueError, "module failed on rows of shape (3,)",
        "mat1 and mat2 shapes cannot be multiplied", {"module": nn.Linear(7, 2)}),
    Bad("module: images too small", CLS, lambda m: m.fit([(np.zeros((4, 1, 8, 8)), SQUARE)] * 2), ValueError,
        "module failed on rows", "of shape (1, 8, 8)", {"module": Conv4}),
    Bad("module: outputs no tensor", ALL, fit, ValueError,
        "module failed", "'tuple'", {"module": nn.LSTM(3, 2)}),
    Bad("module: looks at other rows", ALL, fit, ValueError,
        "module must map each row alone", "rows beside it",
        {"module": Centred}),
    Bad("meta_model: takes no Step", (ALL[1], ALL[3]), fit, TypeError, "meta_model=Linear(", "not Step",
        {"meta_model": nn.Linear(3, 2)}),
    Bad("meta_model: returns no dict", (ALL[1], ALL[3]), fit, TypeError,
        "meta_model must return a dict", "got Step.",
        {"meta_model": nn.Identity()}),
    Bad("device: no name", ALL, fit, ValueError, "device must be 'auto' or a torch device of this machine.",
        "Got 'gpu' instead", {"device": "gpu"}),
    Bad("device: not there", ALL, fit, ValueError, "device", "'cuda:99'", {"device": "cuda:99"}),
    Bad("callbacks: alone", ALL, fit, ValueError,
        "The 'callbacks' parameter of {cls}", "Got <", {"callbacks": Callback()}),
    Bad("callbacks__: unknown", ALL, fit, ValueError,
        "callbacks__nope__x: there is no callback 'nope'", "skip_non_finite",
        {"callbacks__nope__x": 3}),
    Bad("optimizer__: unknown", ALL, fit, TypeError, "argument", "'speed'", {"optimizer__speed": 3}),
    Bad("optimizer__: number", ALL, fit, ValueError, "weight_decay", "-1", {"optimizer__weight_decay": -1}),
    Bad("early_stopping: no task to train on", ALL, fit, ValueError, "validation_fraction=0.99",
        "leaves 0 of 8 tasks to train on, too few.", {"early_stopping": True, "validation_fraction": 0.99}),
    Bad("early_stopping: one given episode", ALL, lambda m: m.fit(GIVEN[:1]), ValueError, "early_stopping",
        "leaves 0 of 1 tasks", {"early_stopping": True}),
    *(Bad(f"early_stopping: {rows} rows", CLS, lambda m, rows=rows: m.fit(X[:rows], np.arange(rows) % 2),
        ValueError,
          "early_stopping", text, {"early_stopping": True})
      for rows, text in ((4, "4 rows or more"), (6, "4 rows or more"))),
    Bad("early_stopping: one class to train on", CLS, lambda m: m.fit(*TWELVE), ValueError,
        "validation_fraction=0.9",
        "leaves 1 of 12 classes", {"early_stopping": True, "validation_fraction": 0.9}),
    # ---- skmeta.adapt
    *(Bad(f"skmeta.adapt: {name}", (name,), lambda m: skmeta.adapt(m, X, Y), TypeError,
        ENDS_IN, "Got LogisticRegression")
      for name in ("LogisticRegression", "fitted LogisticRegression", "pipeline of another",
                   "search over another")),
    Bad("skmeta.adapt: a class", ALL, lambda m: skmeta.adapt(type(m), X, Y), TypeError,
        ENDS_IN, "Got type instead."),
    Bad("skmeta.adapt: None", ALL, lambda m: skmeta.adapt(None, X, Y), TypeError,
        ENDS_IN, "Got NoneType instead."),
    Bad("skmeta.adapt: search", ("search", "search without refit"), lambda m: skmeta.adapt(m, X, Y),
        NotFittedError,
        "This GridSearchCV has no best_estimator_ yet.", "Call fit, with refit, first."),
    Bad("skmeta.adapt: pipeline", ("pipeline",), lambda m: skmeta.adapt(m, X, Y), NotFittedError,
        "Pipeline", "not fitted yet"),
    Bad("skmeta.adapt: pipeline of one step", ("pipeline of one step",), lambda m: skmeta.adapt(m, X, Y),
        NotFittedError, "TMAMLClassifier", "is not meta-trained yet"),
    Bad("skmeta.adapt: width", ALL, lambda m: skmeta.adapt(m, WIDE, SQUARE), ValueError, *EXPECTING_3),
    Bad("skmeta.adapt: outputs", REG, lambda m: skmeta.adapt(m, X, np.c_[Z, Z]), ValueError, "y", "(24, 2)"),
    # ---- FewShotClassifier, FewShotRegressor
    Bad("prior: None", ONE, lambda m: FewShotClassifier().fit(X, Y), ValueError,
        "The 'prior' parameter of FewShotClassifier", "must not be None"),
    Bad("prior: not trained", UNFITTED[:1], lambda m: FewShotClassifier(m).fit(X, Y), NotFittedError,
        "The 'prior' parameter of FewShotClassifier", "is not meta-trained yet"),
    Bad("prior: a regressor", REG, lambda m: FewShotClassifier(m).fit(X, Y), TypeError,
        "The 'prior' parameter of FewShotClassifier", "ends in a {cls}"),
    Bad("prior: a classifier", CLS, lambda m: FewShotRegressor(m).fit(X, Z), TypeError,
        "The 'prior' parameter of FewShotRegressor", "ends in a {cls}"),
    Bad("prior: of scikit-learn", ("pipeline of another",), lambda m: FewShotClassifier(m).fit(X, Y),
        TypeError,
        "The 'prior' parameter of FewShotClassifier", "ends in a LogisticRegression"),
    Bad("prior: predict before fit", ("unfitted FewShotClassifier",), lambda m: m.predict(X), NotFittedError,
        "{cls}", "is not fitted yet"),
    Bad("prior: width", ("FewShotClassifier",), lambda m: m.predict(WIDE), ValueError,
        EXPECTING_3[0], "expecting 3"),
    Bad("prior: width in fit", ("FewShotRegressor",), lambda m: m.fit(WIDE, SQUARE), ValueError,
        EXPECTING_3[0], "expecting 3"),
    Bad("prior: unknown label", ("FewShotClassifier",), lambda m: m.fit(X, Y + 1), ValueError,
        "y has labels", "[2]"),
    Bad("prior: outputs", ("FewShotRegressor",), lambda m: m.fit(X, np.c_[Z, Z]), ValueError,
        "y has the shape", "(24, 2)"),
    Bad("prior: no y", ("FewShotClassifier",), lambda m: m.fit(X, None), ValueError, "requires y", "None"),
    Bad("prior: tasks", ("FewShotClassifier", "FewShotRegressor"), lambda m: m.fit(TASKS, Y), ValueError,
        "X must be the rows of one task", "got a list of 8 tasks."),
    # ---- PerTask
    Bad("PerTask: transformer", ("PerTask",), lambda m: m.fit(TASKS), ValueError,
        "The 'transformer' parameter of PerTask must be None or a transformer.", "Got 3 instead.",
        {"transformer": 3}),
    Bad("PerTask: a classifier", ("PerTask",), lambda m: m.fit(TASKS), ValueError,
        "The 'transformer' parameter of PerTask", "LogisticRegression()",
        {"transformer": LogisticRegression()}),
    Bad("PerTask: transform before fit", ("unfitted PerTask",), lambda m: m.transform(TASKS), NotFittedError,
        "PerTask", "not fitted"),
    Bad("PerTask: list and y", ("PerTask",), lambda m: m.fit(TASKS, Y), ValueError,
        "y must be None", "shape (24,)."),
    Bad("PerTask: no tasks", ("PerTask",), lambda m: m.fit([]), ValueError,
        "X is an empty list of tasks", "1"),
    Bad("PerTask: five in a tuple", ("PerTask",), lambda m: m.fit([(X, Y, X, Y, Y)]), ValueError,
        TUPLES, "[5]"),
    Bad("PerTask: widths", ("PerTask",), lambda m: m.fit(replaced((WIDE, SQUARE))), ValueError,
        "task 3 has 5 features", "the tasks before it 3."),
    Bad("PerTask: width", ("PerTask",), lambda m: m.transform(replaced((WIDE, SQUARE))), ValueError,
        "task 3: X has 5 features", "StandardScaler is expecting 3"),
    # ---- TaskList
    Bad("TaskList: load", ("TaskList",), lambda m: TaskList(3, [1]), TypeError,
        "load must be a callable", "Got 3 instead."),
    Bad("TaskList: ids", ("TaskList",), lambda m: TaskList(no_tuple, 3), TypeError,
        "ids must be a sequence", "Got 3 instead."),
    Bad("TaskList: index", ("TaskList",), lambda m: m["a"], IndexError, "integers", "slices"),
    Bad("TaskList: loads no tuple", ALL, lambda m: m.fit(TaskList(no_tuple, ["u"])), TypeError,
        "load must return a tuple (X, y)", "for 'u' it returned list."),
    Bad("TaskList: loads five", ALL, lambda m: m.fit(TaskList(five, ["u"])), ValueError, TUPLES, "[5]"),
    Bad("TaskList: loads NaN", ALL, lambda m: m.fit(TaskList(with_nan, ["u"])), ValueError,
        "task 'u': ", "X contains NaN", {"module": nn.Linear(3, 4)}),
    Bad("TaskList: no ids", ALL, lambda m: m.fit(TaskList(five, [])), ValueError,
        "X is an empty list of tasks", "1"),
    # ---- few_shot_scorer
    Bad("scorer: metric", ("scorer",), lambda s: few_shot_scorer("acc"), ValueError, "metric=", "'acc'"),
    Bad("scorer: metric is a number", ("scorer",), lambda s: few_shot_scorer(3), ValueError,
        "metric=3", "Got 3 instead."),
    Bad("scorer: n_shot", ("scorer",), lambda s: few_shot_scorer(n_shot=-1), ValueError,
        "The 'n_shot' parameter of few_shot_scorer must be an int in [0, inf)", "Got -1 instead."),
    Bad("scorer: random_state", ("scorer",), lambda s: few_shot_scorer(random_state=None), ValueError,
        "The 'random_state' parameter of few_shot_scorer", "Got None instead."),
    Bad("scorer: another estimator", ("LogisticRegression",), lambda m: few_shot_scorer()(m, TASKS),
        TypeError,
        "estimator must end in one of skmeta", "LogisticRegression"),
    Bad("scorer: rows without groups", ALL, lambda m: few_shot_scorer()(m, X, Y), ValueError,
        "X must be a list of tasks, or rows with groups", "enable_metadata_routing=True"),
    Bad("scorer: list and y", ALL, lambda m: few_shot_scorer()(m, TASKS, Y), ValueError,
        "y must be None", "shape (24,)."),
    Bad("scorer: list and groups", ALL, lambda m: few_shot_scorer()(m, TASKS, groups=Y), ValueError,
        "groups must be", "(24,)"),
    Bad("scorer: no tasks", ALL, lambda m: few_shot_scorer()(m, []), ValueError,
        "X is an empty list of tasks", "1"),
    Bad("scorer: five in a tuple", ALL, lambda m: few_shot_scorer()(m, [(X, Y, X, Y, Y)]), ValueError,
        TUPLES, "[5]"),
    Bad("scorer: no y", ALL, lambda m: few_shot_scorer()(m, X, None, groups=Y), ValueError, "y", "is None"),
    Bad("scorer: length of groups", ALL, lambda m: few_shot_scorer()(m, X, Y, groups=[0, 1]), ValueError,
        "groups", "(2,)"),
    Bad("scorer: None in groups", ALL, lambda m: few_shot_scorer()(m, X, Y, groups=[None] * 24), ValueError,
        "groups", "None"),
    Bad("scorer: lengths in a task", CLS, lambda m: few_shot_scorer()(m, replaced((X, Y[:3]))), ValueError,
        "task 3: ", "[24, 3]"),
    Bad("scorer: NaN", CLS, lambda m: few_shot_scorer()(m, replaced((with_value(np.nan), Y))), ValueError,
        "task 3: ", "NaN", {"module": nn.Linear(3, 4)}),
    Bad("scorer: width", CLS, lambda m: few_shot_scorer(n_shot=1)(m, replaced((WIDE, SQUARE))),
        ValueError, "task 3: " + EXPECTING_3[0], EXPECTING_3[1]),
    Bad("scorer: nothing left to score", ALL, lambda m: few_shot_scorer()(m, [(X[:1], Y[:1])]), ValueError,
        "task 0 has 1 row", "an episode needs a row for the support set and one for the query set."),
    Bad("scorer: one class", ("labels of a task",), lambda m: few_shot_scorer()(m, [(X, ["x"] * 24)]),
        ValueError, "task 0 has only the class 'x'", "an episode needs 2 classes or more."),
    # ---- evaluate
    *(Bad(f"evaluate: {name}={value!r}, {i}", CLS,
          lambda m, of=of, kwargs={name: value}: evaluate(of(m), TASKS, **kwargs), ValueError,
          f"The '{name}' parameter of evaluate must be an int", f"Got {value!r} instead.")
      for i, of in (("ours", lambda m: m), ("scikit-learn's", lambda m: DummyClassifier()))
      for name, value in (("n_episodes", 0), ("n_episodes", 1), ("n_episodes", 2.5), ("n_way", 1),
                          ("n_shot", -1), ("n_shot", 1.5), ("n_query", 0), ("n_query", "15"),
                          ("random_state", "x"))),
    *(Bad(f"evaluate: no support rows for {type(model).__name__}", ("TMAMLClassifier",),
          lambda m, model=model, tasks=tasks: evaluate(model, tasks, n_shot=0), ValueError,
          "task 0: ", "Pass n_shot=1 or more, or a FrozenEstimator of a fitted model.")
      for model, tasks in ((DummyClassifier(), TASKS), (LogisticRegression(), TASKS),
                           (LinearRegression(), VALUES))),
    Bad("evaluate: no support rows for per-task labels", ("labels of a task",),
        lambda m: evaluate(m, PER_TASK, n_shot=0), ValueError,
        "task 0: y has no rows", "a task needs 2 classes or more"),
    *(Bad(f"evaluate: model {value!r}", CLS, lambda m, value=value: evaluate(value, TASKS), TypeError,
          "The 'model' parameter of evaluate must be a classifier or a regressor.", f"Got {value!r} instead.")
      for value in (None, "model", TMAMLClassifier, StandardScaler(), KMeans())),
    Bad("evaluate: a regressor's n_way", REG, lambda m: evaluate(m, VALUES, n_way=5), ValueError,
        "The 'n_way' parameter of evaluate, for a regressor, must be None.", "Got 5 instead."),
    Bad("evaluate: a regressor's labels", REG, lambda m: evaluate(m, LETTERS), ValueError,
        "task 0: y must be an array of numbers", "dtype <U1"),
    Bad("evaluate: a regressor's one row", REG,
        lambda m: evaluate(m, [(X[:1], Z[:1])] * 2), ValueError,
        "task 0 has 1 row, task 1 has 1 row",
        "an episode needs a row for the support set and one for the query set."),
    Bad("evaluate: outputs", REG, lambda m: evaluate(m, TWO_OUTPUTS), ValueError, "task 0: y", "2)"),
    *(Bad(f"evaluate: metric {value!r}", CLS, lambda m, value=value: evaluate(m, TASKS, metric=value),
          ValueError, "metric", repr(value)) for value in ("acuracy", 3, ["accuracy"])),
    *(Bad(f"evaluate: {metric}", objects,
          lambda m, of=of, tasks=tasks, metric=metric: evaluate(of(m), tasks, metric=metric), ValueError,
          f"task 0: metric='{metric}': needs more than the model gives: {name} has none of", "predict_proba.")
      for metric, objects, of, tasks, name in (
          ("neg_log_loss", CLS, lambda m: LinearSVC(), TASKS, "LinearSVC"),
          ("roc_auc", REG, lambda m: LinearRegression(), VALUES, "LinearRegression"))),
    Bad("evaluate: a metric of values", CLS,
        lambda m: evaluate(DummyClassifier(), LETTERS, metric="r2"), ValueError,
        "task 0: ", "metric='r2': "),
    Bad("evaluate: a metric that is none", REG, lambda m: evaluate(m, VALUES, metric=lambda y, p: y - p),
        ValueError, "task 0: metric=", "only"),
    Bad("evaluate: rows", CLS, lambda m: evaluate(m, X), ValueError,
        "tasks must be a list of tasks", "Got ndarray"),
    Bad("evaluate: no tasks", CLS, lambda m: evaluate(m, []), ValueError, "tasks", "empty list of tasks"),
    *(Bad(f"evaluate: widths, {i}", CLS,
          lambda m, of=of: evaluate(of(m), replaced((WIDE, SQUARE)), n_shot=1), ValueError,
          "task 3: X has 5 features", f"{name} is expecting 3 features")
      for i, name, of in (("ours", "{cls}", lambda m: m), ("a pipeline", "{cls}", make_pipeline),
                          ("a prior", "{cls}", FewShotClassifier))),
    Bad("evaluate: widths, frozen", ("fitted LogisticRegression",),
        lambda m: evaluate(FrozenEstimator(m), replaced((WIDE, SQUARE)), n_shot=1), ValueError,
        "task 3: ", "X has 5 features, but {cls} is expecting 3 features"),
    Bad("evaluate: five in a tuple", CLS, lambda m: evaluate(m, [(X, Y, X, Y, Y)]), ValueError,
        TUPLES, "[5]"),
    Bad("evaluate: few weights", CLS, lambda m: evaluate(m, [(X, Y, ONES[1:])] * 2), ValueError,
        "task 0: sample_weight must have the shape (24,)", "shape (23,)"),
    Bad("evaluate: NaN", CLS, lambda m: evaluate(m, replaced((with_value(np.nan), Y))), ValueError,
        "task 3: ", "NaN", {"module": nn.Linear(3, 4)}),
    *(Bad(f"evaluate: one class, {i}", (name,),
          lambda m, of=of: evaluate(of(m), [(X, Y * 0)] * 2), ValueError,
          "task 0 has only the class 0, task 1 has", "an episode needs 2 classes or more.")
      for i, name, of in (("ours", "labels of a task", lambda m: m),
                          ("scikit-learn's", CLS[0], lambda m: LogisticRegression()))),
    Bad("evaluate: values", CLS, lambda m: evaluate(m, VALUES), ValueError,
        "task 0: y", "Unknown label type: continuous"),
    Bad("evaluate: one given episode", CLS, lambda m: evaluate(m, GIVEN[:1]), ValueError, "tasks", "got 1."),
    Bad("evaluate: unknown label", CLS, lambda m: evaluate(m, replaced((X, Y + 1))), ValueError,
        "task 3: y", "[2]"),
    Bad("evaluate: a pipeline's unknown label", CLS,
        lambda m: evaluate(make_pipeline(m), replaced((X, Y + 1))), ValueError, "task 3: y", "[2]"),
    Bad("evaluate: width", CLS, lambda m: evaluate(m, [(WIDE, SQUARE)], n_episodes=2, n_shot=1), ValueError,
        "task 0: " + EXPECTING_3[0], EXPECTING_3[1]),
    # ---- compare
    *(Bad(f"compare: {name}={value!r}", CLS,
          lambda m, kwargs={name: value}: compare(m, m, TASKS, **kwargs), ValueError,
          f"The '{name}' parameter of compare must be", f"Got {value!r}")
      for name, value in (("n_episodes", 1), ("n_way", 1), ("n_shot", -1), ("n_query", 0),
                          ("random_state", None))),
    *(Bad(f"compare: {name} is None", CLS,
          lambda m, models=models: compare(*(m if one else None for one in models), TASKS), TypeError,
          f"The '{name}' parameter of compare must be a classifier or a regressor.", "Got None instead.")
      for name, models in (("a", (0, 1)), ("b", (1, 0)))),
    Bad("compare: both kinds", CLS, lambda m: compare(m, LinearRegression(), TASKS), TypeError,
        "The models of compare", "b=LinearRegression()"),
    # ---- shots_curve
    *(Bad(f"shots_curve: n_shots={value!r}", CLS,
          lambda m, value=value: shots_curve(m, TASKS, n_shots=value), ValueError,
          "The 'n_shots' parameter of shots_curve must be a sequence of ints in [0, inf).",
          f"Got {value!r} instead.")
      for value in ((), 3, (1, -1), (1.0, 2), ("1",), None, np.array(3), np.ones((2, 2), int))),
    Bad("shots_curve: no model", CLS, lambda m: shots_curve({}, TASKS), ValueError,
        "The 'models' parameter of shots_curve", "Got {} instead."),
    Bad("shots_curve: a list", CLS, lambda m: shots_curve([m], TASKS), TypeError,
        "The 'models' parameter of shots_curve", "Got [{cls}"),
    Bad("shots_curve: None", CLS, lambda m: shots_curve({"x": m, "y": None}, TASKS), TypeError,
        "models['y']", "Got None instead."),
    Bad("shots_curve: both kinds", REG, lambda m: shots_curve({"x": m, "y": LogisticRegression()}, VALUES),
        TypeError, "The models of shots_curve", "models['y']=LogisticRegression()"),
    Bad("shots_curve: rows of a class", CLS,
        lambda m: shots_curve(m, replaced((X, 1 * (np.arange(24) < 9))), n_shots=(1, 9)), ValueError,
        "task 3, class 1 has 9 rows", "n_shots up to 9 need 10 or more"),
    Bad("shots_curve: rows of a task", REG, lambda m: shots_curve(m, VALUES, n_shots=[24]), ValueError,
        "task 0 has 24 rows", "n_shots up to 24 need 25 or more"),
    Bad("shots_curve: rows of a support set", CLS, lambda m: shots_curve(m, GIVEN, n_shots=[12]), ValueError,
        "task 0, class 0 has", "n_shots up to 12 need 12 or more in its support set."),
]  # fmt: skip

OUT_OF_RANGE = [
    ("n_way", "an int in [2, inf)", [1, 2.5, "5", None, True]),
    (
        "n_shot",
        "an int in [0, inf) or a pair (least, most) of ints, 0 <= least <= most or one of {'auto'}",
        [-1, 1.0, "5", None, True, (3, 2), (-1, 2), (0, 1.5), (1,), (1, 2, 3), (0, True), {0, 5}],
    ),
    ("sampling", "one of {'auto', 'natural', 'stratified'}", ["random", None, 1]),
    ("quantile", "a float in (0, 1)", [0, 1, 1.0, "a", None]),
    ("loss", "one of {'squared_error', 'huber',", ["l1", None, 1]),
    ("n_query", "an int in [1, inf)", [0, 1.0]),
    ("inner_lr", "a float in (0, inf)", [-1, 0, np.nan, np.inf, "0.1", None, True]),
    ("inner_steps", "an int in [1, inf)", [0, 1.5]),
    ("adapt_steps", "an int in [0, inf) or None", [-1, 0.5]),
    ("regularizer_weight", "a float in [0, inf)", [-0.1, np.inf]),
    ("outer_lr", "a float in (0, inf)", [0, -1e-3, np.nan]),
    ("average", "a float in [0, 1)", [-0.1, 1, 1.0, np.nan, None, "0.9"]),
    ("max_iter", "an int in [1, inf) or one of {'auto'}", [0, 1.5, "all", None]),
    ("meta_batch_size", "an int in [1, inf)", [0, 1.5]),
    ("validation_fraction", "a float in (0, 1) or one of {'auto'}", [0, 1, 1.0, -0.1]),
    ("n_iter_no_change", "an int in [1, inf)", [0]),
    ("tol", "a float in [0, inf)", [-1e-4, np.nan]),
    ("verbose", "an int in [0, inf) or a bool", [-1, 0.5]),
    ("hidden_layer_sizes", "a tuple of ints in [1, inf)", [(0,), 64, (8, 2.5), None]),
    ("meta_model_lr", "a float in (0, inf)", [0, -1]),
    ("head", "one of {'auto', 'linear', ", ["mean", None, 1]),
    ("label_space", "one of {'auto', 'shared', 'per_task'}", ["per-task", None]),
    ("learn_inner_lr", "a bool", [1, None]),
    ("adapt_params", "one of {'all', 'head'} or a list of parameter-name patterns", ["body", [], [1], None]),
    ("optimizer", "one of {'adam', 'adamw', 'sgd'} or a torch.optim.Optimizer class", ["lbfgs", int, None]),
    ("early_stopping", "a bool or one of {'auto'}", ["yes", 1]),
    ("warm_start", "a bool", [1]),
    ("module", "None or an nn.Module, its class or a factory", ["mlp"]),
    ("meta_model", "None or an nn.Module", ["basis", nn.Linear]),
    ("meta_gradient", "one of {", ["maml", None]),
    ("augment", "None or a callable of rows and a generator", [0.5, "noise", Rotations]),
    ("task_regularizer", "one of {None, 'entropy', 'theil',", ["variance", 1]),
    ("callbacks", "None or a list of skorch callbacks", [[3], ["print"], [("name", 3)], {"a": 1}, "print"]),
    ("device", "a str or torch.device", [3, None]),
    ("random_state", "None or an int in [0, 4294967296) or a RandomState", ["seed", -1, 0.5, True]),
]
BAD += [
    Bad(
        f"{name}={value!r}",
        tuple(c.__name__ for c in NAMES if name in c().get_params()),
        fit,
        ValueError,
        f"The {name!r} parameter of {{cls}} must be {rule}",
        f"Got {value!r} instead.",
        {name: value},
    )
    for name, rule, values in OUT_OF_RANGE
    for value in values
]


@pytest.mark.parametrize(
    ("bad", "name"),
    [pytest.param(bad, name, id=f"{bad.id}-{name}") for bad in BAD for name in bad.objects],
)
def test_bad_call(bad, name):
    check_bad_call(bad, name)


@pytest.mark.parametrize("name", OBJECTS)
def test_after_all_bad_calls_an_object_is_at_work(name):
    check_at_work([bad for bad in BAD if name in bad.objects], name)


def test_the_table_covers_every_parameter_that_is_a_number_and_every_object():
    for estimator in NAMES:
        parameters = inspect.signature(estimator).parameters
        numeric = {name for name, p in parameters.items() if type(p.default) in (int, float)}
        numeric |= {"adapt_steps", "inner_steps", "max_iter"}
        assert numeric <= {name for name, _, _ in OUT_OF_RANGE}
        assert len(numeric) >= 10
    assert set(OBJECTS) == {name for bad in BAD for name in bad.objects}
    assert len({bad.id for bad in BAD}) == len(BAD) >= 70


def test_inner_lr_word_for_word():
    text = "The 'inner_lr' parameter of TMAMLClassifier must be a float in (0, inf). Got -1 instead."
    with pytest.raises(ValueError) as raised:
        TMAMLClassifier(inner_lr=-1).fit(TASKS)
    assert str(raised.value) == text


# ---- the check itself


def change(part, model):
    if part == "attribute":
        model.n_iter_ = 7
    elif part == "parameter":
        model.inner_lr = 7.0
    elif part == "mode":
        model.net_.module_.train()
    elif part == "meta_params_":
        model.net_.module_.log_inner_lr.data[0] += 1
    elif part == "adapted_params_":
        model.adapted_params_["head.bias"][0] += 1
    elif part == "classes_":
        model.classes_[:] = model.classes_[::-1].copy()
    elif part == "history_":
        model.history_.new_epoch()
    elif part == "optimizer":
        next(iter(model.net_.optimizer_.state.values()))["step"] += 1


@pytest.mark.parametrize(
    "part",
    [
        "attribute",
        "parameter",
        "mode",
        "meta_params_",
        "adapted_params_",
        "classes_",
        "history_",
        "optimizer",
    ],
)
@pytest.mark.parametrize("estimator", [TMAMLClassifier, TAMLClassifier])
def test_the_check_sees_a_change(estimator, part):
    def call(model):
        change(part, model)
        raise ValueError("The 'x' parameter is 3.")

    with pytest.raises(AssertionError):
        check_refused(adapted(estimator), call, ValueError, "'x'", "3")


def raises(error):
    def call(model):
        raise error

    return call


@pytest.mark.parametrize("text", ["The 'y' parameter is 3.", "The 'x' parameter is 4."])
def test_the_check_sees_a_name_or_a_value_that_is_missing(text):
    check = Bad("", (), raises(ValueError(text)), ValueError, "'x'", "3")
    with pytest.raises(AssertionError):
        check_bad_call(check, "TMAMLClassifier")
    check_bad_call(check._replace(call=raises(ValueError("The 'x' parameter is 3."))), "TMAMLClassifier")


def warns(model):
    warnings.warn("'x' 3", stacklevel=2)
    raise ValueError("'x' 3")


def test_the_check_sees_another_error_a_warning_and_none():
    check = Bad("", (), raises(KeyError("'x' 3")), ValueError, "'x'", "3")
    with pytest.raises(KeyError):
        check_bad_call(check, "TMAMLClassifier")
    with pytest.raises(UserWarning):
        check_bad_call(check._replace(call=warns), "TMAMLClassifier")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        check_bad_call(check._replace(call=lambda m: None), "TMAMLClassifier")


def test_the_check_sees_an_object_that_answers_otherwise(monkeypatch):
    check = Bad("", (), raises(ValueError("'x' 3")), ValueError, "'x'", "3")
    check_at_work([check], "TMAMLRegressor")
    plain = TMAMLRegressor.predict
    monkeypatch.setattr(TMAMLRegressor, "predict", lambda self, X: plain(self, X) + 1)
    with pytest.raises(AssertionError):
        check_at_work([check], "TMAMLRegressor")


def test_made_objects_do_not_share_what_they_hold():
    a, b = made("TMAMLClassifier"), made("TMAMLClassifier")
    a.adapted_params_["head.bias"][0] += 1
    assert not torch.equal(a.adapted_params_["head.bias"], b.adapted_params_["head.bias"])
