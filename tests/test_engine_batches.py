"""Meta-batches: whose rows and labels they hold, and what decides them."""

import pytest
import torch
from made_learners import RAGGED, assert_same, ragged_source

from skmeta.tasks.batch import Values
from skmeta.tasks.targets import TargetScaler, moments


@pytest.mark.parametrize("targets", ["per task", "shared", "values"])
def test_a_meta_batch_holds_the_rows_and_labels_of_its_draw(targets):
    inputs, target = ragged_source(targets).meta_batch(3, 4)
    x = torch.cat([inputs["support_x"], inputs["query_x"]], 1)
    y = torch.cat([inputs["support_y"], target["query_y"]], 1)
    task, label = x[..., 0], x[..., 1]
    kept = torch.cat([inputs["support_weight"], target["query_weight"]], 1) > 0
    assert (task == task[:, :1]).all()
    assert ("class_mask" in inputs) == (targets == "per task")
    if targets == "per task":
        names = [
            set(zip(ways[k].tolist(), labels[k].tolist(), strict=True))
            for ways, labels, k in zip(y, label, kept, strict=True)
        ]
        assert [sorted(way for way, _ in pairs) for pairs in names] == [list(range(len(p))) for p in names]
        assert inputs["class_mask"].sum(1).tolist() == [len({c for _, c in pairs}) for pairs in names]
    else:
        expected = label if targets == "shared" else (task + label).double().sin()[..., None]
        torch.testing.assert_close(y.double(), expected.double(), rtol=1e-6, atol=1e-6)


def test_a_task_comes_again_only_after_all_the_others():
    source = ragged_source("shared")
    for step in range(10):
        tasks = source.meta_batch(step, 10)[0]["support_x"][:, 0, 0].tolist()
        for first in 0, 4:
            assert sorted(tasks[first : first + 4]) == [0, 1, 2, 3]
        assert len(set(tasks[8:])) == 2


def test_a_meta_batch_depends_on_its_number_and_the_seed_alone():
    before = torch.get_rng_state()
    source, same, other = (ragged_source("shared") for _ in range(3))
    other.seed = 1
    source.meta_batch(0, 4)
    x = source.meta_batch(5, 4)[0]["query_x"]
    assert torch.equal(x, same.meta_batch(5, 4)[0]["query_x"])
    far = source.meta_batch(1000, 4)[0]["query_x"]
    assert torch.equal(far, same.meta_batch(1000, 4)[0]["query_x"]) and not torch.equal(far, x)
    assert not torch.equal(x, source.meta_batch(6, 4)[0]["query_x"])
    assert not torch.equal(x, other.meta_batch(5, 4)[0]["query_x"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("targets", ["per task", "shared", "values"])
def test_augmentation_gets_all_rows_at_once_and_changes_nothing_else(targets):
    seen = []

    def negate(X, generator):
        seen.append(X.clone())
        return -X

    plain, source = ragged_source(targets), ragged_source(targets, negate)
    (inputs, target), (changed, same_target) = (s.meta_batch(3, 4) for s in (plain, source))
    assert torch.equal(seen[0], torch.cat([inputs["support_x"], inputs["query_x"]], 1))
    for name, t in inputs.items():
        assert torch.equal(changed[name], -t if name in ("support_x", "query_x") else t)
    assert all(torch.equal(same_target[name], t) for name, t in target.items())


def test_augmentation_of_a_meta_batch_depends_on_its_number_and_the_seed_alone():
    def random(X, generator):
        return torch.rand(X.shape, generator=generator, dtype=X.dtype)

    source, same, other = (ragged_source("shared", random) for _ in range(3))
    other.seed = 1
    first = source.meta_batch(0, 4)[0]["query_x"]
    x = source.meta_batch(5, 4)[0]["query_x"]
    assert torch.equal(x, same.meta_batch(5, 4)[0]["query_x"])
    assert torch.equal(x, source.meta_batch(5, 4)[0]["query_x"])
    assert not torch.equal(x, first) and not torch.equal(x, other.meta_batch(5, 4)[0]["query_x"])


def scaled_source():
    """Ragged tasks of two outputs, a million times apart, and ``Values`` of them."""
    source = ragged_source("values")
    task = torch.as_tensor(source.rows.X[:, 0]).long()
    noise = torch.as_tensor(source.rows.X[:, 2:]).double()
    source.targets = (noise + 3 * task[:, None]) * torch.tensor([1.0, 1e6, 1e-6, 0.1])[task, None].double()
    of_tasks = [moments(source.targets[task == i], torch.ones((task == i).sum())) for i in range(len(RAGGED))]
    stacked = [torch.stack(part) for part in zip(*of_tasks, strict=True)]
    scaler = TargetScaler(*stacked)
    return source, Values(scaler, scaler.from_moments(*stacked)[1][task])


def test_scaled_targets_are_those_of_the_task_in_units_of_its_scale():
    (plain, _), (source, labels) = scaled_source(), scaled_source()
    source.labels, plain.dtype = labels, torch.float64
    (raw, raw_target), (inputs, target) = (s.meta_batch(0, 4) for s in (plain, source))
    assert "output_scale" not in raw
    outputs = torch.randn(target["query_y"].shape, generator=torch.Generator().manual_seed(0)).double()
    for i in range(4):
        kept, y = raw["support_weight"][i] > 0, raw["support_y"][i]
        level, scale = labels.scaler(y[kept], torch.ones(kept.sum()))
        spread = labels.spread[(source.targets == y[0]).all(1)][0]
        assert_same(inputs["support_y"][i, kept].double(), ((y - level) / scale).float().double()[kept])
        assert inputs["support_y"][i, kept].abs().max() < 20
        # The error that is learned from is the error of what predict would return, over the task's spread.
        error = outputs[i] * inputs["output_scale"][i] - target["query_y"][i]
        expected = (level + scale * outputs[i] - raw_target["query_y"][i]) / spread
        torch.testing.assert_close(error.double(), expected, rtol=1e-5, atol=1e-5)
        assert inputs["output_scale"][i].min() > 0.2 and inputs["output_scale"][i].max() < 5
    for name in "support_x", "query_x", "support_weight":
        assert torch.equal(inputs[name], raw[name])
    assert inputs["support_y"].dtype == target["query_y"].dtype == torch.float32
