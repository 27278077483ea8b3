"""How many threads torch should use: small tensors lose by more than one, on a busy machine tenfold.

The number follows from settings alone. To try which is faster would make results depend on the clock, since
sums that are divided among threads differ in their last bits; and a run that is resumed must go on alike.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

# Numbers in the widest layer, of all rows of a meta-batch, that are work for a thread. A fifth of that gains
# as much by a second thread, a factor of 1.4, where no other program runs, but where one does it loses a
# factor of 2 to 8; so it takes work for which waiting is worth the risk.
FOR_A_THREAD = 524_288


class _Lent:
    """torch's number of threads before the first of the choices that hold now, and their count."""

    lock, n_choices, number = threading.Lock(), 0, None


# What is chosen around this, in the same thread.
_around = threading.local()


@contextmanager
def threads_of_fit(learner, n_rows):
    """torch's number of threads as a fit on meta-batches of ``n_rows`` needs it, and afterwards as before.

    torch keeps a number for each thread, and the last one that was set is that of threads to come. So where
    fits overlap, all of them choose from the number before the first, and go back to it: that of threads to
    come, since this one may have begun during a fit that has ended, with what that fit had chosen.
    """
    with _chosen(learner, n_rows, _number_of_threads_to_come):
        yield


@contextmanager
def threads_of_answer(learner, n_rows):
    """The same to adapt to ``n_rows`` or to answer them.

    An answer takes less time than to begin a thread, which alone could tell the number of threads to come. So
    that number becomes the one of this thread, and a thread that begins meanwhile has what is chosen here.
    """
    if torch.get_num_threads() == 1 or getattr(_around, "number", None):
        yield
    else:
        with _chosen(learner, n_rows, torch.get_num_threads):
            yield


@contextmanager
def _chosen(learner, n_rows, number_before):
    with _Lent.lock:
        if not _Lent.n_choices:
            _Lent.number = number_before()
        _Lent.n_choices += 1
    outer = getattr(_around, "number", None)
    try:
        _around.number = threads_for(learner, n_rows, _Lent.number)
        torch.set_num_threads(_around.number)
        yield
    finally:
        with _Lent.lock:
            _Lent.n_choices -= 1
            torch.set_num_threads(outer or _Lent.number)
        _around.number = outer


def _number_of_threads_to_come():
    """Not the calling thread's own, which may be what a fit had chosen as the thread began."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def threads_for(learner, n_rows, most):
    """How many threads, of no more than ``most``, so many rows of tasks are work for.

    On a CPU, and where all tasks are computed together; in a loop, the threads share each task.
    """
    if learner.log_inner_lr.device.type != "cpu" or learner.chosen_strategy() == "loop":
        return most
    width = max((p.shape[0] for p in learner.backbone.parameters() if p.ndim), default=1)
    if learner.head.is_posterior:
        width = max(width, learner.head.n_features)
    return max(1, min(most, round(n_rows * width / FOR_A_THREAD)))
