"""How many threads torch uses in fit, and that fits which overlap leave its numbers as they were."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event

import pytest
import torch
from made_learners import N_HIDDEN, make_learner

from skmeta.engine import chosen_threads, forced_strategy
from skmeta.engine.threads import FOR_A_THREAD


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@contextmanager
def lent(share, strategy="auto", **settings):
    """Threads for rows whose widest layer is ``share`` of the work for a thread, while inside."""
    learner = make_learner(**settings)
    with forced_strategy(strategy), chosen_threads(learner, int(share * FOR_A_THREAD / N_HIDDEN)):
        yield


def chosen(share, **settings):
    with lent(share, **settings):
        return torch.get_num_threads()


def number_of_a_new_thread():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


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
    with pytest.raises(KeyError), lent(0.01):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 2


def test_a_fit_inside_a_fit_gives_back_what_the_outer_one_chose():
    with lent(0.01):
        with lent(0.01, strategy="loop"):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == number_of_a_new_thread() == 2


def test_fits_that_overlap_choose_from_the_number_before_the_first():
    """The second begins in a new thread while the first has one thread, and ends after it."""
    inside, over = Event(), Event()

    def first():
        with lent(0.01):
            inside.set()
            assert over.wait(60)
        return torch.get_num_threads()

    def second():
        assert inside.wait(60)
        with lent(100):
            large = torch.get_num_threads()
        with lent(0.01):
            over.set()
            assert one.result(60) == 2
            small = torch.get_num_threads()
        return large, small, torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.submit(first), pool.submit(second)
        assert two.result(60) == (2, 1, 2)
    assert torch.get_num_threads() == number_of_a_new_thread() == 2


def test_a_thread_that_began_during_a_fit_does_not_keep_what_that_fit_chose():
    with ThreadPoolExecutor(1) as pool:
        with lent(0.01):
            assert pool.submit(torch.get_num_threads).result() == 1
        assert pool.submit(chosen, 100).result() == 2
        assert pool.submit(torch.get_num_threads).result() == 2
    assert torch.get_num_threads() == number_of_a_new_thread() == 2


def test_many_fits_at_once_leave_the_numbers_alone():
    n, together = 8, Barrier(8)

    def fit(i):
        together.wait(60)
        for share in (0.01, 100, 1.8)[i % 3 :]:
            with lent(share):
                assert torch.get_num_threads() == (1 if share < 1 else 2)
        return torch.get_num_threads()

    with ThreadPoolExecutor(n) as pool:
        assert list(pool.map(fit, range(n))) == [2] * n
    assert torch.get_num_threads() == number_of_a_new_thread() == 2
