"""The parts of each inner step of TAML: their sizes against steps that are known, and when they are there."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import pairwise

import numpy as np
import pytest
import torch
from made_tasks import PLAIN, QUICK, make_lines, make_tasks
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skmeta import TAMLClassifier, TAMLRegressor, TMAMLClassifier, adapt
from skmeta.core.meta_models import BasisMetaModel
from skmeta.engine import forced_strategy

TASKS, LINES = make_tasks(), make_lines()
OWN_LABELS = [(X, np.where(y == 0, f"a{i}", f"b{i}")) for i, (X, y) in enumerate(TASKS)]
KINDS = {
    "class": (TAMLClassifier, TASKS, {}),
    "class of the task": (TAMLClassifier, OWN_LABELS, {"head": "prototype"}),
    "value": (TAMLRegressor, LINES, {}),
    "vmap": (TAMLClassifier, TASKS, {}),
    "head": (TAMLClassifier, TASKS, {"adapt_params": "head"}),
}
TENSORS = ["backbone.layers.0.weight", "backbone.layers.0.bias", "head.weight", "head.bias"]


class Along(nn.Module):
    """Three times the gradient, downwards: then the parts of a step add up in size."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, step):
        return {name: -3 * g + 0 * self.unused for name, g in step.grads.items()}


def along_by_basis():
    """The same, as the default would say it: a weight of three for its first direction, always."""
    g = BasisMetaModel()
    nn.init.zeros_(g.h[2].weight)
    nn.init.zeros_(g.h[2].bias)
    with torch.no_grad():
        g.out.bias[0] = g.bound * np.arctanh(3 / g.bound)
    return g


@pytest.fixture(params=KINDS)
def kind(request):
    with forced_strategy("vmap" if request.param == "vmap" else "auto"):
        yield KINDS[request.param]


def fitted(kind, **params):
    estimator, tasks, settings = kind
    return estimator(**PLAIN | {"adapt_steps": 4} | settings | params).fit(tasks).adapt(*tasks[0])


@pytest.mark.parametrize("meta_model", [Along, along_by_basis])
def test_sizes_are_those_of_the_steps_that_adapt_takes(kind, meta_model):
    _, tasks, _ = kind
    still = {"optimizer": "sgd", "outer_lr": 1e-30, "meta_model_lr": 0.02, "learn_inner_lr": False}
    model = fitted(kind, meta_model=meta_model(), **still)
    updates = model.updates_
    states = [model.set_params(adapt_steps=n).adapt(*tasks[0]).adapted_params_ for n in range(5)]
    assert updates["tensors"].tolist() == (TENSORS[2:] if "adapt_params" in kind[2] else TENSORS)
    for k, (before, after) in enumerate(pairwise(states)):
        for i, name in enumerate(updates["tensors"]):
            moved = (after[name] - before[name]).norm().item()
            gradient, predicted = updates["gradient"][k, i], updates["predicted"][k, i]
            assert gradient + predicted == pytest.approx(moved, rel=1e-3, abs=1e-6)
            assert predicted == pytest.approx(gradient * 3 * 0.02 / 0.05, rel=1e-4)
    assert updates["gradient"].shape == updates["predicted"].shape == (4, len(updates["tensors"]))


def test_weights_are_those_of_the_directions(kind):
    still = {"optimizer": "sgd", "outer_lr": 1e-30, "meta_model_lr": 0.02}
    updates = fitted(kind, meta_model=along_by_basis(), **still).updates_
    assert updates["directions"].tolist() == ["gradient", "sign", "decay", "momentum", "return"]
    weights = updates["weights"]
    assert weights.shape == (4, len(updates["tensors"]), 5)
    np.testing.assert_allclose(weights, np.broadcast_to([3, 0, 0, 0, 0], weights.shape), atol=1e-5)


def test_where_the_bound_cuts_an_update_off_they_tell_what_is_left(kind):
    still = {"optimizer": "sgd", "outer_lr": 1e-30, "meta_model_lr": 20.0}
    model = fitted(kind, meta_model=along_by_basis(), **still)
    start = model.set_params(adapt_steps=0).adapt(*kind[1][0]).adapted_params_
    updates = model.set_params(adapt_steps=4).adapt(*kind[1][0]).updates_
    largest = 0.2 * torch.cat([start[name].flatten() for name in updates["tensors"]]).norm().item()
    lengths = np.linalg.norm(updates["predicted"], axis=1)
    np.testing.assert_allclose(lengths, largest, rtol=1e-4)
    gradient = updates["gradient"] / 0.05  # which is the one direction of this g
    np.testing.assert_allclose(updates["predicted"], 20 * updates["weights"][..., 0] * gradient, rtol=1e-3)


def test_they_say_that_a_trained_meta_model_predicts(kind):
    updates = fitted(kind, max_iter=20).updates_
    assert (updates["predicted"] > 0).all() and (updates["gradient"] > 0).all()
    assert np.abs(updates["weights"]).max() > 0


def test_a_meta_model_of_the_users_own_has_the_two_sizes_alone(kind):
    assert set(fitted(kind, meta_model=Along()).updates_) == {"tensors", "gradient", "predicted"}


def test_no_steps_have_no_parts(kind):
    updates = fitted(kind, adapt_steps=0).updates_
    n_tensors = len(updates["tensors"])
    assert updates["gradient"].shape == updates["predicted"].shape == (0, n_tensors)
    assert updates["weights"].shape == (0, n_tensors, 5)


def test_asking_changes_nothing_and_answers_the_same(kind):
    model = fitted(kind)
    before, params = dict(vars(model)), {n: p.clone() for n, p in model.adapted_params_.items()}
    meta = model.meta_params_
    first, second = model.updates_, model.updates_
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    assert vars(model) == before and not model.net_.module_.meta_model._forward_hooks
    assert all(torch.equal(p, params[name]) for name, p in model.adapted_params_.items())
    assert all(torch.equal(p, meta[name]) for name, p in model.meta_params_.items())


def test_they_are_of_the_last_adapt_whatever_came_after(kind):
    _, tasks, _ = kind
    X, y = tasks[1]
    X = X.copy()
    model = fitted(kind).adapt(X, y)
    expected = model.updates_["gradient"]
    X[:] = 0
    model.set_params(adapt_steps=1)
    np.testing.assert_array_equal(model.updates_["gradient"], expected)
    with pytest.raises(ValueError):
        model.adapt(X[:, :2], y)
    np.testing.assert_array_equal(model.updates_["gradient"], expected)
    assert not np.array_equal(model.adapt(*tasks[2]).updates_["gradient"], expected[:1])


def test_a_large_support_set_is_taken_in_parts(kind, monkeypatch):
    model = fitted(kind)
    expected = model.updates_
    monkeypatch.setattr("skmeta.tasks.limits.ROWS_AT_ONCE", 7)
    for name in "gradient", "predicted", "weights":
        np.testing.assert_allclose(model.updates_[name], expected[name], rtol=1e-3, atol=1e-5)


def test_copies_have_their_own(kind):
    _, tasks, _ = kind
    model = fitted(kind)
    copies = [adapt(model, *task) for task in tasks]
    with ThreadPoolExecutor(4) as pool:
        # A thread has a context of its own, where no strategy is forced.
        jobs = [pool.submit(copy_context().run, getattr, c, "updates_") for c in copies * 2]
        sizes = [job.result()["gradient"] for job in jobs]
    for c, task, of_copy in zip(copies, tasks, sizes, strict=False):
        np.testing.assert_array_equal(of_copy, model.adapt(*task).updates_["gradient"])
        np.testing.assert_array_equal(c.updates_["gradient"], of_copy)


@pytest.mark.parametrize("pipe", [make_pipeline, lambda taml: make_pipeline(StandardScaler(), taml)])
def test_the_last_step_of_a_pipeline_has_them(pipe):
    X, y = TASKS[0]
    model = pipe(TAMLClassifier(**QUICK)).fit(X, y)
    adapted = adapt(model, X[:8], y[:8])
    rows = model[:-1].transform(X[:8]) if len(model) > 1 else X[:8]
    expected = adapt(model[-1], rows, y[:8]).updates_
    np.testing.assert_array_equal(adapted[-1].updates_["gradient"], expected["gradient"])


@pytest.mark.parametrize(
    "lose",
    [
        lambda model, X, y: pickle.loads(pickle.dumps(model)),
        lambda model, X, y: copy.deepcopy(model),
        lambda model, X, y: model.fit(X, y),
    ],
    ids=["pickle", "copy", "fit of flat rows"],
)
def test_without_the_support_set_they_ask_for_adapt(lose):
    X, y = TASKS[0]
    model = lose(TAMLClassifier(**PLAIN).fit(TASKS).adapt(X, y), X, y)
    assert model.predict(X).shape == y.shape
    with pytest.raises(NotFittedError, match=r"TAMLClassifier does not have the support set that updates_ "):
        _ = model.updates_
    assert model.adapt(X, y).updates_["gradient"].shape == (2, 4)


def test_before_adapt_and_without_a_meta_model_there_are_none():
    with pytest.raises(NotFittedError, match="is not meta-trained yet"):
        _ = TAMLClassifier().updates_
    with pytest.raises(NotFittedError, match=r"not adapted to one yet\. Call adapt"):
        _ = TAMLClassifier(**QUICK).fit(TASKS).updates_
    assert not hasattr(TMAMLClassifier(**QUICK).fit(TASKS).adapt(*TASKS[0]), "updates_")
