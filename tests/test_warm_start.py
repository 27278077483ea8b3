"""What counts as unchanged between two fits of a warm start."""

import pickle
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from made_tasks import LEARNING, make_tasks
from torch import nn

from skmeta import GaussianNoise, TMAMLClassifier
from skmeta.estimators.params import is_same

TASKS = make_tasks(4)


@dataclass
class Shifted:
    """An augmentation that holds an array, with which ``==`` is ambiguous."""

    by: object

    def __call__(self, X, generator):
        return X + torch.as_tensor(self.by, dtype=X.dtype)


class Incomparable:
    def __eq__(self, other):
        raise RuntimeError("not comparable")

    __hash__ = None


LAYER = nn.Linear(3, 3)
EQUAL = [
    (lambda: 0.5, lambda: np.float32(0.5)),
    (lambda: (8, 8), lambda: (8, np.int64(8))),
    (lambda: np.arange(3), lambda: np.arange(3)),
    (lambda: torch.arange(3.0), lambda: torch.arange(3.0)),
    (lambda: LAYER.weight, lambda: nn.Parameter(LAYER.weight.detach().clone())),
    (lambda: GaussianNoise(0.5), lambda: GaussianNoise(np.float64(0.5))),
    (lambda: Shifted(np.ones(3)), lambda: Shifted(np.ones(3))),
    (lambda: {"a": [np.ones(2)]}, lambda: {"a": [np.ones(2)]}),
    (lambda: partial(nn.Linear, 3, bias=False), lambda: partial(nn.Linear, 3, bias=False)),
    (lambda: LAYER, lambda: LAYER),
    (lambda: [("head.*", {"lr": 0.1})], lambda: [("head.*", {"lr": 0.1})]),
]
UNEQUAL = [
    (0.5, 0.25),
    ((8, 8), (8,)),
    ([8], (8,)),
    (np.arange(3), np.arange(4)),
    (np.ones(2), 1),
    (np.ones(2), None),
    (torch.ones(2), torch.ones(2).double()),
    (GaussianNoise(0.5), GaussianNoise(0.25)),
    (Shifted(np.ones(3)), Shifted(np.zeros(3))),
    ({"a": 1}, {"b": 1}),
    (partial(nn.Linear, 3), partial(nn.Linear, 4)),
    (LAYER, nn.Linear(3, 3)),
    (Incomparable(), Incomparable()),
]


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal_by_value(a, b):
    assert is_same(a(), b()) and is_same(b(), a())


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_unequal(a, b):
    assert not is_same(a, b) and not is_same(b, a)
    assert is_same(a, a)


@pytest.mark.parametrize("augment", [partial(GaussianNoise, 0.5), partial(Shifted, np.ones(3))])
def test_a_warm_start_goes_on_with_an_equal_parameter_and_not_with_another(augment):
    clf = TMAMLClassifier(**LEARNING, warm_start=True, augment=augment()).fit(TASKS)
    clf = pickle.loads(pickle.dumps(clf)).set_params(augment=augment()).fit(TASKS)
    assert clf.n_iter_ == 6
    other = Shifted(np.zeros(3))
    with pytest.raises(ValueError, match="With warm_start, augment must stay as it was"):
        clf.set_params(augment=other).fit(TASKS)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_early_stopping_keeps_the_best_state_of_all_fits(average):
    """Steps that move nothing: what is found at the start of each fit is all that there is to choose from."""
    still = {"optimizer": "sgd", "outer_lr": 1e-30, "average": average}
    settings = LEARNING | {"early_stopping": True, "validation_fraction": 0.3, "warm_start": True} | still
    clf = TMAMLClassifier(**settings).fit(make_tasks(10))
    kept = clf.meta_params_
    with torch.no_grad():  # zero everywhere, it cannot tell one class from another
        for name, p in clf.net_.module_.named_parameters():
            p.zero_() if "log_" not in name else p.fill_(-20.0)
    clf = pickle.loads(pickle.dumps(clf)).fit(make_tasks(10))
    good, bad = clf.validation_scores_
    assert good > bad
    assert all(torch.equal(p, kept[name]) for name, p in clf.meta_params_.items())
