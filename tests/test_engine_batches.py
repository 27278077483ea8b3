"""Meta-batches: whose rows and labels they hold, and what decides them."""

import pytest
import torch
from made_learners import assert_same, ragged_source


@pytest.mark.parametrize("targets", ["per task", "shared", "values"])
def test_a_meta_batch_holds_the_rows_and_labels_of_its_draw(targets):
    inputs, target = ragged_source(targets).meta_batch(3, 4)
    x = torch.cat([inputs["support_x"], inputs["query_x"]], 1)
    y = torch.cat([inputs["support_y"], target["query_y"]], 1)
    task, label = x[..., 0], x[..., 1]
    assert (task == task[:, :1]).all()
    assert ("class_mask" in inputs) == (targets == "per task")
    if targets == "per task":
        names = [set(zip(*pair, strict=True)) for pair in zip(y.tolist(), label.tolist(), strict=True)]
        assert [sorted(way for way, _ in pairs) for pairs in names] == [list(range(len(p))) for p in names]
        assert inputs["class_mask"].sum(1).tolist() == [len({c for _, c in pairs}) for pairs in names]
    else:
        expected = label if targets == "shared" else (task + label).double().sin()[..., None]
        assert_same(y.double(), expected.double())


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
    assert not torch.equal(x, source.meta_batch(6, 4)[0]["query_x"])
    assert not torch.equal(x, other.meta_batch(5, 4)[0]["query_x"])
    assert torch.equal(torch.get_rng_state(), before)
