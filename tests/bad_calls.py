"""What the table of bad calls needs: data, prepared objects, a look at their state, and the check."""

import copy
import pickle
import re
import warnings
from functools import cache, partial
from types import BuiltinFunctionType, FunctionType
from typing import NamedTuple

import numpy as np
import pytest
import torch
from made_tasks import QUICK, make_tasks, split
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import (
    FewShotClassifier,
    FewShotRegressor,
    PerTask,
    TAMLClassifier,
    TAMLRegressor,
    TaskList,
    TMAMLClassifier,
    TMAMLRegressor,
    few_shot_scorer,
)

TASKS = make_tasks(8)
X, Y = TASKS[0]
LETTERS = make_tasks(4, labels=("a", "b"))
# No task holds all of the classes, so labels are per task.
PER_TASK = [(X, np.where(y == "a", f"a{i}", f"b{i}")) for i, (X, y) in enumerate(LETTERS)]
GIVEN = [split(task) for task in TASKS]
VALUES = [(X, 2 * X[:, 0] + 1) for X, _ in TASKS]
Z = VALUES[0][1]
WIDE = np.zeros((4, 5), np.float32)
NAMES = TMAMLClassifier, TAMLClassifier, TMAMLRegressor, TAMLRegressor


def replaced(task, i=3, tasks=TASKS):
    """``tasks`` with another one at place ``i``."""
    return [*tasks[:i], task, *tasks[i + 1 :]]


def with_value(value, X=X):
    X = X.copy()
    X[2, 1] = value
    return X


def without(label, task):
    X, y = task
    return X[y != label], y[y != label]


# ---- objects to call: how each is made, and what it answers when it is well


def adapted(estimator, **params):
    """A new estimator that was fitted on tasks and adapted to the first of them."""
    return made(estimator.__name__).set_params(**params)


def _fit(estimator, tasks=TASKS, **params):
    return estimator(**QUICK, **params).fit(tasks)


def _fit_adapt(estimator, tasks=TASKS, **params):
    return _fit(estimator, tasks, **params).adapt(*tasks[0])


def _use(model, tasks=None):
    tasks = tasks or (VALUES if is_regressor(model) else TASKS)
    X, y = tasks[1]
    answers = [*model.predict_tasks(tasks[:2], [X, X]), model.score(tasks[:3])]
    if hasattr(model, "adapted_params_"):
        answers.append(model.predict(X))
    return [*answers, model.adapt(X, y).predict(X)]


def _use_fit(model, tasks=None):
    tasks = tasks or (VALUES if is_regressor(model) else TASKS)
    return _use(model.fit(tasks), tasks)


def _use_few_shot(model):
    X, y = (VALUES if is_regressor(model) else TASKS)[1]
    return [model.predict(X), model.fit(X, y).predict(X), model.score(X, y)]


def _use_per_task(model):
    return [rows for rows, _ in [*model.transform(TASKS), *model.fit(TASKS).transform(TASKS)]]


def _use_plain(model):
    return [model.fit(X, Y).predict(X)]


def _search(estimator=None, **kwargs):
    estimator = estimator or TMAMLClassifier(**QUICK)
    name = "inner_lr" if isinstance(estimator, TMAMLClassifier) else "C"
    return GridSearchCV(estimator, {name: [0.1, 0.2]}, cv=2, **kwargs)


LETTERS_3 = make_tasks(labels=("a", "b", "c"))
TWO_OUTPUTS = [(X, np.c_[y, -y]) for X, y in VALUES]
OBJECTS = {
    **{c.__name__: (partial(_fit_adapt, c), _use) for c in NAMES[:2]},
    **{c.__name__: (partial(_fit_adapt, c, VALUES), _use) for c in NAMES[2:]},
    **{f"unfitted {c.__name__}": (partial(c, **QUICK), _use_fit) for c in NAMES},
    **{f"fitted {c.__name__}": (partial(_fit, c), _use) for c in NAMES[:2]},
    **{f"fitted {c.__name__}": (partial(_fit, c, VALUES), _use) for c in NAMES[2:]},
    "warm": (partial(_fit_adapt, TMAMLClassifier, warm_start=True), _use_fit),
    "warm, letters": (
        partial(_fit_adapt, TMAMLClassifier, LETTERS_3, warm_start=True),
        partial(_use_fit, tasks=LETTERS_3),
    ),
    "warm regressor": (partial(_fit_adapt, TMAMLRegressor, VALUES, warm_start=True), _use_fit),
    "labels of a task": (partial(_fit_adapt, TMAMLClassifier, PER_TASK), partial(_use, tasks=PER_TASK)),
    "two outputs": (partial(_fit_adapt, TMAMLRegressor, TWO_OUTPUTS), partial(_use, tasks=TWO_OUTPUTS)),
    "FewShotClassifier": (lambda: FewShotClassifier(adapted(TMAMLClassifier)).fit(X, Y), _use_few_shot),
    "FewShotRegressor": (lambda: FewShotRegressor(adapted(TMAMLRegressor)).fit(X, Z), _use_few_shot),
    "unfitted FewShotClassifier": (lambda: FewShotClassifier(adapted(TMAMLClassifier)), _use_plain),
    "PerTask": (lambda: PerTask(StandardScaler()).fit(TASKS), _use_per_task),
    "unfitted PerTask": (PerTask, lambda model: _use_per_task(model.fit(TASKS))),
    "TaskList": (lambda: TaskList(TASKS.__getitem__, range(8)), lambda tasks: [a for t in tasks for a in t]),
    "scorer": (few_shot_scorer, lambda scorer: [scorer(adapted(TMAMLClassifier), TASKS)]),
    "LogisticRegression": (LogisticRegression, _use_plain),
    "fitted LogisticRegression": (lambda: LogisticRegression().fit(X, Y), _use_plain),
    "search": (_search, _use_plain),
    "search without refit": (lambda: _search(refit=False).fit(TASKS), lambda s: [s.fit(TASKS).n_splits_]),
    "search over another": (lambda: _search(LogisticRegression()).fit(X, Y), _use_plain),
    "pipeline": (lambda: make_pipeline(StandardScaler(), TMAMLClassifier(**QUICK)), _use_plain),
    "pipeline of one step": (lambda: make_pipeline(TMAMLClassifier(**QUICK)), _use_plain),
    "pipeline of another": (
        lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
        _use_plain,
    ),
}


@cache
def _pickled(name):
    model = OBJECTS[name][0]()
    warm_start = getattr(model, "warm_start", None)
    if warm_start is not None:
        model.set_params(warm_start=True)  # so that the pickle holds all that a call might change
    return pickle.dumps(model), warm_start


def made(name):
    """A new copy of the object of that name."""
    dumped, warm_start = _pickled(name)
    model = pickle.loads(dumped)
    return model if warm_start is None else model.set_params(warm_start=warm_start)


@cache
def _expected(name):
    return OBJECTS[name][1](made(name))


# ---- the check


class Bad(NamedTuple):
    """``call`` of each of the ``objects``, with ``params`` set, must fail and say what the argument
    ``name`` had for a ``value``. In both texts, ``{cls}`` is the class."""

    id: str
    objects: tuple
    call: object
    error: type
    name: str
    value: str
    params: dict = {}  # noqa: RUF012


@cache
def _shared(name):
    return made(name)


def check_bad_call(bad, name):
    """Assert that the call fails as told, and leaves the object of that ``name`` as it was.

    So the next call may have the same one, with parameters of its own.
    """
    model = _shared(name)
    if bad.params:
        model = copy.copy(model).set_params(**bad.params)
    check_refused(model, bad.call, bad.error, bad.name, bad.value)


def check_at_work(calls, name):
    """Assert that the object of that ``name`` answers as ever after a series of bad calls."""
    model = made(name)
    for bad in calls:
        if bad.params:
            model.set_params(**bad.params)
        with pytest.raises(bad.error):
            bad.call(model)
        if bad.params:
            vars(model).pop("_skorch_params", None)  # skorch's spellings have no default to go back to
            model.set_params(**made(name).get_params(deep=False))
    for answer, expected in zip(OBJECTS[name][1](model), _expected(name), strict=True):
        np.testing.assert_array_equal(answer, expected)


def check_refused(model, call, error, *texts, on_warning="error"):
    """Assert that ``call(model)`` fails with that type and these texts, and that it changes nothing."""
    before = state_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter(on_warning)
        with pytest.raises(error) as raised:
            call(model)
    for text in texts:
        text = text.replace("{cls}", type(model).__name__)
        # As a word: a y is in every "array", a 1 in every 10.
        ends = r"\b" * text[0].isalnum(), r"\b" * text[-1].isalnum()
        assert re.search(re.escape(text).join(ends), str(raised.value)), f"{text!r} in {raised.value}"
    assert state_of(model) == before


def state_of(value, seen=None):
    """A value with all that it holds, as something that compares; its parameters too, if it has some."""
    seen = {} if seen is None else seen
    if isinstance(value, torch.Tensor):
        grad = None if value.grad is None else state_of(value.grad)
        return str(value.dtype), value.shape, value.requires_grad, value.detach().numpy().tobytes(), grad
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return id(value)
    if id(value) in seen:
        return "seen", seen[id(value)][0]
    seen[id(value)] = len(seen), value
    state = [type(value)]
    if isinstance(value, dict):
        state.append([(state_of(k, seen), state_of(v, seen)) for k, v in value.items()])
    elif isinstance(value, (list, tuple, set, np.ndarray)):
        state.append([state_of(item, seen) for item in value])
    if hasattr(value, "__dict__"):
        state.append([(name, state_of(held, seen)) for name, held in vars(value).items()])
        if hasattr(value, "get_params") and hasattr(value, "fit"):
            state.append([(k, state_of(v, seen)) for k, v in sorted(value.get_params().items())])
    return state if len(state) > 1 else [*state, repr(value)]
