"""How many threads torch uses in fit, as told by a clock that the tests set."""

import pytest
import torch
from made_learners import make_learner, make_test_net, meta_batch

from skmeta.engine import choose_threads, restored_threads, threads


@pytest.fixture(autouse=True)
def two_threads():
    with restored_threads():
        torch.set_num_threads(2)
        yield


@pytest.fixture
def clock(monkeypatch):
    """Seconds of a step with one thread and with two; also lets small meta-batches count as large ones."""
    seconds = {1: 1.0, 2: 1.0}
    monkeypatch.setattr(threads, "_seconds_of_step", lambda net, batch: seconds[torch.get_num_threads()])
    monkeypatch.setattr(threads, "DIVIDED", 1)
    return seconds


def chosen(**settings):
    choose_threads(make_test_net(make_learner(**settings)), meta_batch())
    return torch.get_num_threads()


@pytest.mark.parametrize(("faster", "expected"), [(2.0, 2), (1.3, 2), (1.1, 1), (0.5, 1)])
def test_more_threads_are_taken_where_they_are_clearly_faster(clock, faster, expected):
    clock[2] = 1 / faster
    assert chosen() == expected


def test_small_meta_batches_take_one_thread(clock, monkeypatch):
    clock[2] = 0.1
    monkeypatch.setattr(threads, "DIVIDED", 10_000)
    assert chosen() == 1


def test_what_rounds_differently_takes_one_thread_whatever_the_clock_says(clock):
    clock[2] = 0.1
    assert chosen(with_meta_model=True) == 1


@pytest.mark.parametrize(("strategy", "expected"), [("vmap", 1), ("loop", 2)])
def test_other_strategies_go_by_the_size_of_the_network(clock, strategy, expected):
    assert chosen(strategy=strategy) == expected


def test_a_step_is_timed_and_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(threads, "DIVIDED", 1)
    net = make_test_net(make_learner())
    choose_threads(net, meta_batch())
    assert all(p.grad is None for p in net.module_.parameters())


def test_threads_are_restored_after_an_error():
    with pytest.raises(KeyError), restored_threads():
        torch.set_num_threads(1)
        raise KeyError
    assert torch.get_num_threads() == 2
