"""Small learners and their meta-batches in float64, for the tests of the engine."""

import torch
from torch import nn
from torch.utils.data import Dataset

from skmeta.core.backbones import MLP
from skmeta.core.heads import CosineHead, LinearHead, PrototypeHead, TiedHead
from skmeta.core.losses import OuterObjective, cross_entropy
from skmeta.core.meta_models import BasisMetaModel
from skmeta.core.posterior import LeastSquaresHead
from skmeta.engine import EpisodeSource, MetaLearner, make_net
from skmeta.tasks.batch import OwnClasses, Rows, SharedClasses
from skmeta.tasks.episodes import EpisodeSampler
from skmeta.tasks.preparation import Preparation

N_TASKS, N_FEATURES, N_HIDDEN, N_WAY = 3, 4, 5, 3
HEADS = {
    "linear": lambda n: LinearHead(n, N_WAY),
    "tied": TiedHead,
    "prototype": PrototypeHead,
    "cosine": CosineHead,
    "posterior": lambda n: LeastSquaresHead(n, N_WAY),
    "own posterior": LeastSquaresHead,
}


def one_layer():
    return MLP(N_FEATURES, (N_HIDDEN,))


def make_learner(
    make_backbone=one_layer,
    head="linear",
    *,
    with_meta_model=False,
    n_hidden=N_HIDDEN,
    loss=cross_entropy,
    task_regularizer=None,
    **kwargs,
):
    """A learner in float64, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = make_backbone()
        head, g = HEADS[head](n_hidden), BasisMetaModel(hidden=8)
        nn.init.normal_(g.out.weight)
    names = [f"backbone.{name}" for name, p in backbone.named_parameters() if p.requires_grad]
    settings = {
        "objective": OuterObjective(loss, task_regularizer),
        "adapted": names if head.is_posterior else [*names, "head.weight", "head.bias"],
        "meta_model": g if with_meta_model else None,
        "meta_model_lr": 0.1,
        "inner_lr": 0.3,
        "inner_steps": 3,
        "adapt_steps": 3,
    }
    return MetaLearner(backbone, head, **settings | kwargs).double()


def meta_batch(seed=0, class_mask=False, n_tasks=N_TASKS):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_tasks, 10, N_FEATURES, generator=generator, dtype=torch.float64)
    y = torch.arange(10).remainder(N_WAY).expand(n_tasks, -1)
    weight = torch.ones(n_tasks, 10, dtype=torch.float64)
    inputs = {
        "support_x": x[:, :6],
        "support_y": y[:, :6],
        "support_weight": weight[:, :6],
        "query_x": x[:, 6:],
    }
    if class_mask:
        inputs["class_mask"] = torch.ones(n_tasks, N_WAY, dtype=torch.bool)
    return inputs, {"query_y": y[:, 6:], "query_weight": weight[:, 6:]}


def meta_gradient(learner, batch):
    """Objective, and its derivative by every parameter that has one."""
    inputs, target = batch
    learner.zero_grad()
    value = learner.objective(learner(**inputs), target)
    value.backward()
    return value.detach(), {
        name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None
    }


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


def task(inputs, i):
    return {name: t[i] for name, t in inputs.items()}


RAGGED = [{0: 9, 1: 9, 2: 9}, {0: 2, 2: 7}, {1: 3, 2: 1}, {0: 4, 1: 1, 2: 20}]


class AsTheyAre:
    """Reads targets as they are."""

    def read(self, episodes, targets, asked=True):
        return {
            "support_y": targets[episodes.support],
            "query_y": targets[episodes.query],
            "query_weight": episodes.query_weight,
        }


def ragged_source(targets, augment=None):
    cells = torch.tensor(
        [(t, c) for t, sizes in enumerate(RAGGED) for c, n in sizes.items() for _ in range(n)]
    )
    cells = cells[torch.randperm(len(cells), generator=torch.Generator().manual_seed(0))]
    labels, values = {
        "per task": (OwnClasses(), cells[:, 1]),
        "shared": (SharedClasses(), cells[:, 1]),
        "values": (AsTheyAre(), cells.sum(1, keepdim=True).double().sin()),
    }[targets]
    noise = torch.randn(len(cells), 2, generator=torch.Generator().manual_seed(1))
    X = torch.cat([cells, noise], 1).numpy()
    label = cells[:, 1] * (targets != "values")
    sampler = EpisodeSampler(cells[:, 0], label, torch.arange(len(cells)), n_way=None, n_shot=5, n_query=4)
    rows = Rows(X, torch.device("cpu"), Preparation(torch.float32), augment)
    augmented = augment is not None
    return EpisodeSource(sampler, rows, labels, values, steps=range(2), augmented=augmented)


def ragged_batch(targets):
    inputs, target = ragged_source(targets).meta_batch(0, len(RAGGED))
    assert not inputs["support_weight"].all() and not target["query_weight"].all()
    parts = inputs, target
    return tuple({n: t.double() if t.is_floating_point() else t for n, t in part.items()} for part in parts)


class StubSource(Dataset):
    """Meta-batches that note which steps were asked for; some of them broken."""

    def __init__(self, steps, broken=(), value=float("nan"), interrupt=None, class_mask=False):
        self.steps, self.broken, self.value, self.interrupt = steps, set(broken), value, interrupt
        self.class_mask = class_mask
        self.seen = []

    def __len__(self):
        return N_TASKS

    def meta_batch(self, step, size):
        if step == self.interrupt:
            raise KeyboardInterrupt
        self.seen.append(step)
        inputs, target = meta_batch(step, self.class_mask, n_tasks=size)
        if step in self.broken:
            inputs["query_x"] = torch.full_like(inputs["query_x"], self.value)
        return inputs, target


def make_test_net(learner=None, callbacks=(), optimizer="adam", **kwargs):
    learner = make_learner(inner_steps=1, adapt_steps=2) if learner is None else learner
    settings = {"outer_lr": 0.01, "device": "cpu", "meta_batch_size": N_TASKS, "verbose": 0}
    return make_net(learner, optimizer=optimizer, callbacks=list(callbacks), **settings | kwargs)


def params_of(net):
    return {name: p.detach().clone() for name, p in net.module_.named_parameters()}
