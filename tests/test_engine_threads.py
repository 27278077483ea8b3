"""How many threads torch uses in fit, and that fits which overlap leave its numbers as they were."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event
from typing import ClassVar

import pytest
import torch
from made_learners import N_HIDDEN, make_learner
from made_tasks import make_tasks
from torch import nn

from skmeta import TMAMLClassifier
from skmeta.engine import forced_strategy
from skmeta.engine.threads import FOR_A_THREAD, threads_of_answer, threads_of_fit


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
    with forced_strategy(strategy), threads_of_fit(learner, int(share * FOR_A_THREAD / N_HIDDEN)):
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


def test_an_answer_takes_no_more_threads_than_its_work_and_goes_back_to_those_of_its_thread():
    learner = make_learner()
    with threads_of_answer(learner, 10):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == number_of_a_new_thread() == 2
    with lent(100), threads_of_answer(learner, 10):
        assert torch.get_num_threads() == 2  # as the fit around it chose
    torch.set_num_threads(1)
    with threads_of_answer(learner, FOR_A_THREAD):
        assert torch.get_num_threads() == 1


def test_fits_and_answers_that_overlap_leave_the_numbers_alone():
    learner, together = make_learner(), Barrier(8)

    def run(i):
        together.wait(60)
        for k in range(200):
            with lent(0.01) if (i + k) % 50 == 0 else threads_of_answer(learner, 10):
                assert torch.get_num_threads() == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert torch.get_num_threads() == number_of_a_new_thread() == 2


class Noting(nn.Module):
    """Notes the numbers of threads that it runs with."""

    seen: ClassVar = set()

    def __init__(self, in_features):
        super().__init__()
        self.layer = nn.Linear(in_features, 4)

    def forward(self, x):
        self.seen.add(torch.get_num_threads())
        return self.layer(x)


@pytest.mark.parametrize("head", ["linear", "posterior"])
def test_all_that_an_estimator_does_takes_so_many(head):
    tasks, Noting.seen = make_tasks(6), set()
    clf = TMAMLClassifier(Noting, head=head, max_iter=2, random_state=0).fit(tasks)
    found = [set(Noting.seen)]
    for answer in (
        lambda: clf.adapt(*tasks[0]),
        lambda: clf.predict(tasks[0][0]),
        lambda: clf.predict_tasks(tasks, [X for X, _ in tasks]),
    ):
        Noting.seen.clear()
        answer()
        found.append(set(Noting.seen))
    assert found[1:] == [{1}] * 3
    assert 1 in found[0] and torch.get_num_threads() == number_of_a_new_thread() == 2
