"""Resident memory of long runs, each in a process of its own."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

from benchmarks.cases import TABULAR
from benchmarks.subprocesses import read
from skmeta import TaskList, TMAMLClassifier

STATUS = Path("/proc/self/status")
# How many of each; the first tenth of the samples is warm-up.
AMOUNTS = {"adapt calls": 200, "outer steps": 2000, "lazy tasks": 100_000}
N_SAMPLES = 100
PROGRAM = "from benchmarks.memory import main; main()"


def measure(share=1.0):
    """Resident megabytes as the work goes on: a list for each kind of work, None where it cannot be read."""
    if not STATUS.exists():
        return None
    return {
        name: {"amount": int(n * share), "megabytes": read(PROGRAM, name, int(n * share))}
        for name, n in AMOUNTS.items()
    }


def growth(megabytes):
    """Largest resident memory after the warm-up over that at its end."""
    warm = len(megabytes) // 10
    return max(megabytes[warm:]) / megabytes[warm]


def main():
    """In the process: do the work that the arguments name, and print the samples."""
    torch.set_num_threads(1)
    name, amount = sys.argv[1], int(sys.argv[2])
    print(json.dumps(WORK[name](amount)))


def megabytes(field):
    """Of this process, by Linux's record: "VmRSS", in memory now; "VmHWM", at most so far.

    getrusage would count the process that started this one too.
    """
    return int(STATUS.read_text().split(f"{field}:")[1].split()[0]) / 1024


class Sampler:
    """Notes the resident memory about ``N_SAMPLES`` times in the first ``amount`` calls."""

    def __init__(self, amount):
        self.amount, self.every = amount, max(1, amount // N_SAMPLES)
        self.n_calls, self.megabytes = 0, []

    def __call__(self):
        self.n_calls += 1
        if self.n_calls % self.every == 0 and self.n_calls <= self.amount:
            self.megabytes.append(megabytes("VmRSS"))


class AfterSteps(Callback):
    """Calls a function after each outer step."""

    def __init__(self, function):
        self.function = function

    def on_batch_end(self, net, **kwargs):
        self.function()


def of_adapt_calls(n):
    """Of one estimator that adapts to task after task and predicts."""
    clf = TABULAR.estimator(max_iter=5).fit(TABULAR.tasks(64))
    tasks, sample = TABULAR.tasks(64, seed=1), Sampler(n)
    for i in range(n):
        X, y = tasks[i % len(tasks)]
        clf.adapt(X[:25], y[:25]).predict(X[25:])
        sample()
    return sample.megabytes


def of_outer_steps(n):
    """Of one long ``fit``."""
    sample = Sampler(n)
    TABULAR.estimator(max_iter=n, meta_batch_size=8, callbacks=[AfterSteps(sample)]).fit(TABULAR.tasks(64))
    return sample.megabytes


def load(i):
    """A task of 8 kB, so that tasks which stay in memory would be seen."""
    rng = np.random.default_rng(i)
    y = np.arange(20) % 2
    return rng.standard_normal((20, 50)) + y[:, None], y


def of_lazy_tasks(n):
    """Of a ``fit`` that looks at every one of many tasks, to check it, before it loads those that it uses.

    Its tables of row numbers, which come later, take about 90 bytes a row.
    """
    sample = Sampler(n)

    def load_and_sample(i):
        sample()
        return load(i)

    clf = TMAMLClassifier(max_iter=50, random_state=0)
    clf.fit([load(i) for i in range(32)])  # what training itself needs is no matter of the tasks
    clf.fit(TaskList(load_and_sample, range(n)))
    return sample.megabytes


WORK = {"adapt calls": of_adapt_calls, "outer steps": of_outer_steps, "lazy tasks": of_lazy_tasks}
