"""What the estimators' parameters may be: one table, one check."""

import difflib
from numbers import Integral, Real

import numpy as np
import torch

from skmeta.core.heads import HEADS
from skmeta.core.inequality import INEQUALITIES
from skmeta.engine import OPTIMIZERS
from skmeta.parameter_rules import COUNT, NONE, POSITIVE, Kind, Number, Options, check_value, plain

# skorch's spellings that the estimators pass on, as constructor arguments and grid keys.
SKORCH_PREFIXES = ("module__", "optimizer__", "callbacks__", "iterator_train__")


def _is_sizes(value):
    return isinstance(value, (tuple, list)) and all(map(COUNT.allows, value))


def _is_patterns(value):
    return isinstance(value, (tuple, list)) and value and all(isinstance(v, str) for v in value)


def _is_callbacks(value):
    if not isinstance(value, (tuple, list)):
        return False
    named = [item if isinstance(item, tuple) else ("", item) for item in value]
    return all(len(pair) == 2 and hasattr(pair[1], "on_train_begin") for pair in named)


BOOLEAN = Kind(lambda v: isinstance(v, bool), "a bool")

CONSTRAINTS = {
    "module": [NONE, Kind(callable, "an nn.Module, its class or a factory")],
    "hidden_layer_sizes": [Kind(_is_sizes, "a tuple of ints in [1, inf)")],
    "head": [Options(("auto", *HEADS))],
    "label_space": [Options(("auto", "shared", "per_task"))],
    "n_way": [Number(Integral, 2)],
    "n_shot": [COUNT],
    "n_query": [COUNT],
    "inner_lr": [POSITIVE],
    "inner_steps": [COUNT],
    "adapt_steps": [Number(Integral, 0), NONE],
    "learn_inner_lr": [BOOLEAN],
    "adapt_params": [
        Options(("all", "head")),
        Kind(_is_patterns, "a list of parameter-name patterns"),
    ],
    "meta_gradient": [Options(("second_order", "first_order", "reptile", "joint"))],
    "task_regularizer": [Options((None, "entropy", *INEQUALITIES))],
    "regularizer_weight": [Number(Real, 0)],
    "augment": [
        NONE,
        Kind(lambda v: callable(v) and not isinstance(v, type), "a callable of rows and a generator"),
    ],
    "pretrain_iter": [Number(Integral, 0)],
    "optimizer": [
        Options(tuple(OPTIMIZERS)),
        Kind(
            lambda v: isinstance(v, type) and issubclass(v, torch.optim.Optimizer),
            "a torch.optim.Optimizer class",
        ),
    ],
    "outer_lr": [POSITIVE],
    "average": [Number(Real, 0, 1)],
    "max_iter": [COUNT, Options(("auto",))],
    "meta_batch_size": [COUNT],
    "early_stopping": [BOOLEAN],
    "validation_fraction": [Number(Real, 0, 1, closed=False)],
    "n_iter_no_change": [COUNT],
    "tol": [Number(Real, 0)],
    "callbacks": [NONE, Kind(_is_callbacks, "a list of skorch callbacks")],
    "strategy": [Options(("auto", "batched", "vmap", "loop"))],
    "device": [Kind(lambda v: isinstance(v, str | torch.device), "a str or torch.device")],
    "warm_start": [BOOLEAN],
    "verbose": [Number(Integral, 0), BOOLEAN],
    "random_state": [
        NONE,
        Number(Integral, 0, 2**32),
        Kind(lambda v: isinstance(v, np.random.RandomState), "a RandomState"),
    ],
    "meta_model": [NONE, Kind(lambda v: isinstance(v, torch.nn.Module), "an nn.Module")],
    "meta_model_lr": [POSITIVE],
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
        if name == "meta_gradient" and hasattr(estimator, "meta_model"):
            allowed = [Options(("second_order", "first_order"))]  # the others would not train it
        checked[name] = check_value(owner, name, value, allowed) if allowed else plain(value)
    return checked


def check_names(estimator, params, known, error):
    """Raise ``error`` for a parameter that is neither known nor one of skorch's spellings."""
    for name, value in params.items():
        if name not in known and not name.startswith(SKORCH_PREFIXES):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Beside its own, it takes {SKORCH_PREFIXES}."
            raise error(f"{type(estimator).__name__} has no parameter {name!r}, set to {value!r}.{hint}")
