"""What the estimators' parameters may be: one table, one check."""

import dataclasses
import difflib
import functools
from numbers import Integral, Real

import numpy as np
import torch

from skmeta.core.heads import HEADS
from skmeta.core.inequality import INEQUALITIES
from skmeta.engine import OPTIMIZERS
from skmeta.parameter_rules import (
    COUNT,
    NONE,
    POSITIVE,
    SAMPLING,
    SEED,
    SIZE,
    Kind,
    Number,
    Options,
    check_value,
    plain,
)

# skorch's spellings that the estimators pass on, as constructor arguments and grid keys.
SKORCH_PREFIXES = ("module__", "optimizer__", "callbacks__", "iterator_train__")


def _is_sizes(value):
    return isinstance(value, (tuple, list)) and all(map(COUNT.allows, value))


def is_range(value):
    """Whether a value is a pair of ints in order, none below zero."""
    if not isinstance(value, (tuple, list)) or len(value) != 2 or not all(map(SIZE.allows, value)):
        return False
    return value[0] <= value[1]


def _is_patterns(value):
    return isinstance(value, (tuple, list)) and value and all(isinstance(v, str) for v in value)


def _is_callbacks(value):
    if not isinstance(value, (tuple, list)):
        return False
    named = [item if isinstance(item, tuple) else ("", item) for item in value]
    return all(len(pair) == 2 and hasattr(pair[1], "on_train_begin") for pair in named)


def _is_class_weight(value):
    return isinstance(value, dict) and all(map(Number(Real, 0).allows, value.values()))


AUTO = Options(("auto",))
BOOLEAN = Kind(lambda v: isinstance(v, bool | np.bool_), "a bool")

# Parameters that there were, and what to do instead.
GONE = {
    "strategy": "the engine chooses how the tasks of a meta-batch are computed",
    "pretrain_iter": "train a network as you like and pass the instance as module",
}

# The order is that of the parameters in signatures and docstrings.
CONSTRAINTS = {
    "module": [NONE, Kind(callable, "an nn.Module, its class or a factory")],
    "hidden_layer_sizes": [Kind(_is_sizes, "a tuple of ints in [1, inf)")],
    "head": [Options(("auto", *HEADS, "posterior"))],
    "loss": [Options(("squared_error", "huber", "absolute_error", "quantile", "poisson"))],
    "quantile": [Number(Real, 0, 1, closed=False)],
    "label_space": [Options(("auto", "shared", "per_task"))],
    "n_way": [Number(Integral, 2)],
    "sampling": [SAMPLING],
    "n_shot": [SIZE, Kind(is_range, "a pair (least, most) of ints, 0 <= least <= most"), AUTO],
    "n_query": [COUNT],
    "class_weight": [
        NONE,
        Options(("balanced",)),
        Kind(_is_class_weight, "a dict of label to a float in [0, inf)"),
    ],
    "inner_lr": [POSITIVE],
    "inner_steps": [COUNT, AUTO],
    "adapt_steps": [SIZE, NONE],
    "learn_inner_lr": [BOOLEAN],
    "adapt_params": [
        Options(("all", "head")),
        Kind(_is_patterns, "a list of parameter-name patterns"),
    ],
    "meta_model": [NONE, Kind(lambda v: isinstance(v, torch.nn.Module), "an nn.Module")],
    "meta_model_lr": [POSITIVE],
    "meta_gradient": [Options(("second_order", "first_order", "reptile", "joint"))],
    "task_regularizer": [Options((None, "entropy", *INEQUALITIES))],
    "regularizer_weight": [Number(Real, 0)],
    "augment": [
        NONE,
        Kind(lambda v: callable(v) and not isinstance(v, type), "a callable of rows and a generator"),
    ],
    "optimizer": [
        Options(tuple(OPTIMIZERS)),
        Kind(
            lambda v: isinstance(v, type) and issubclass(v, torch.optim.Optimizer),
            "a torch.optim.Optimizer class",
        ),
    ],
    "outer_lr": [POSITIVE, AUTO],
    "average": [Number(Real, 0, 1), AUTO],
    "max_iter": [COUNT, AUTO],
    "meta_batch_size": [COUNT],
    "early_stopping": [BOOLEAN, AUTO],
    "validation_fraction": [Number(Real, 0, 1, closed=False), AUTO],
    "n_iter_no_change": [COUNT],
    "tol": [Number(Real, 0)],
    "callbacks": [NONE, Kind(_is_callbacks, "a list of skorch callbacks")],
    "device": [Kind(lambda v: isinstance(v, str | torch.device), "a str or torch.device")],
    "warm_start": [BOOLEAN],
    "verbose": [SIZE, BOOLEAN],
    "random_state": [
        NONE,
        SEED,
        Kind(lambda v: isinstance(v, np.random.RandomState), "a RandomState"),
    ],
    "iterator_train__batch_size": [COUNT],
    "iterator_train__steps_per_epoch": [COUNT],
}


def check_params(estimator):
    """Parameters by name, with Python's own numbers, or ValueError for the first that is not allowed."""
    owner, checked = type(estimator).__name__, {}
    for name, value in estimator.get_params(deep=False).items():
        allowed = CONSTRAINTS.get(name, [])
        if name.startswith("iterator_train__") and not allowed:
            known = " and ".join(n for n in CONSTRAINTS if n.startswith("iterator_train__"))
            raise ValueError(f"{owner} has no parameter {name!r}, set to {value!r}; it takes {known}.")
        allowed = estimator._own_rules.get(name, allowed)
        if name == "meta_gradient" and hasattr(estimator, "meta_model"):
            allowed = [Options(("second_order", "first_order"))]  # the others would not train it
        if name == "head" and not hasattr(estimator, "label_space"):
            allowed = [Options(("auto", "linear", "posterior"))]  # the others are of classes
        checked[name] = check_value(owner, name, value, allowed) if allowed else plain(value)
    return checked


def check_names(estimator, params, known, error):
    """Raise ``error`` for a parameter that is neither known nor one of skorch's spellings."""
    for name, value in params.items():
        if name in known or name.startswith(SKORCH_PREFIXES):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        if name in GONE:
            hint = f"It is gone: {GONE[name]}."
        elif near:
            hint = f"Did you mean {near[0]!r}?"
        else:
            hint = f"Beside its own, it takes {SKORCH_PREFIXES}."
        raise error(f"{type(estimator).__name__} has no parameter {name!r}, set to {value!r}. {hint}")


def is_same(a, b):
    """Whether two values of a parameter are the same, or equal in all that they hold."""
    if a is b:
        return True
    if type(a) is type(b):
        if isinstance(a, (tuple, list)):
            return len(a) == len(b) and all(map(is_same, a, b))
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(is_same(value, b[key]) for key, value in a.items())
        if dataclasses.is_dataclass(a):
            return all(is_same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
        if isinstance(a, torch.Tensor):
            return a.dtype == b.dtype and torch.equal(a, b)
        if isinstance(a, functools.partial):
            return is_same((a.func, a.args, a.keywords), (b.func, b.args, b.keywords))
    try:
        if any(hasattr(value, "__array__") for value in (a, b)):
            return np.array_equal(a, b)
        return bool(a == b)
    except Exception:  # whatever a comparison of the user's own raises
        return False
