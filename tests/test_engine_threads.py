"""How many threads torch uses in fit."""

import pytest
import torch
from made_learners import N_HIDDEN, make_learner

from skmeta.engine import choose_threads, forced_strategy, restored_threads
from skmeta.engine.threads import FOR_A_THREAD


@pytest.fixture(autouse=True)
def two_threads():
    with restored_threads():
        torch.set_num_threads(2)
        yield


def chosen(share, strategy="auto", **settings):
    """Threads for rows whose widest layer is ``share`` of the work for a thread."""
    with forced_strategy(strategy):
        choose_threads(make_learner(**settings), int(share * FOR_A_THREAD / N_HIDDEN))
    return torch.get_num_threads()


@pytest.mark.parametrize("with_meta_model", [False, True])
@pytest.mark.parametrize("strategy", ["batched", "vmap"])
@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (1.2, 1), (1.8, 2), (100, 2)])
def test_a_thread_is_taken_for_so_much_work(share, expected, strategy, with_meta_model):
    assert chosen(share, strategy=strategy, with_meta_model=with_meta_model) == expected


def test_no_more_threads_than_there_were():
    torch.set_num_threads(1)
    assert chosen(100) == 1


def test_a_loop_leaves_the_threads_to_each_task():
    assert chosen(0.01, strategy="loop") == 2


def test_threads_are_restored_after_an_error():
    with pytest.raises(KeyError), restored_threads():
        torch.set_num_threads(1)
        raise KeyError
    assert torch.get_num_threads() == 2
