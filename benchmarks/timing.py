"""Clocks: contestants in turn, medians."""

import time
from contextlib import contextmanager
from functools import partial

import torch
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits


@contextmanager
def threads(n):
    """``n`` threads inside, for torch and for the linear algebra below numpy."""
    before = torch.get_num_threads()
    with threadpool_limits(n):
        torch.set_num_threads(n)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def alternate(blocks, seconds):
    """Run each of ``blocks``, functions that return a measurement, in turn for about ``seconds``.

    Returns a dict with a list of measurements of each: at least three, or one if ``seconds`` is 0.
    """
    at_least = 3 if seconds else 1
    measured = {name: [] for name in blocks}
    n_rounds, start = 0, time.perf_counter()
    while n_rounds < at_least or time.perf_counter() - start < seconds:
        for name, block in blocks.items():
            measured[name].append(block())
        n_rounds += 1
    return measured


def with_threads(n, block):
    """``block`` with ``n`` threads."""

    def run():
        with threads(n):
            return block()

    return run


def mean_block(step, seconds=0.1):
    """A function that measures the mean seconds of ``step`` after one that warms the caches."""

    def block():
        first = _seconds_of(step)
        if first >= seconds:  # so long a step has warmed them itself
            return first
        n = max(1, round(seconds / first))
        start = time.perf_counter()
        for _ in range(n):
            step()
        return (time.perf_counter() - start) / n

    return block


def timed(step):
    """A function that measures the seconds of one ``step``."""
    return partial(_seconds_of, step)


def _seconds_of(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def wait(device):
    """Until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


class StepClock(Callback):
    """Seconds of an outer step in each epoch of ``fit``, all that an epoch does included."""

    def on_train_begin(self, net, **kwargs):
        self.seconds_ = []

    def on_epoch_begin(self, net, **kwargs):
        wait(net.device)
        self.start_ = time.perf_counter()

    def on_epoch_end(self, net, **kwargs):
        wait(net.device)
        spent = time.perf_counter() - self.start_
        self.seconds_.append(spent / net.history[-1, "train_batch_count"])
