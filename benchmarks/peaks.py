"""Peak memory of outer steps where tasks run one after another, each contestant in a process of its own."""

import json
import sys
from dataclasses import replace

import torch

from benchmarks.cases import STRIDED
from benchmarks.contestants import task_by_task, tutorial_loop
from benchmarks.memory import STATUS, megabytes
from benchmarks.outer_step import outer_step
from benchmarks.subprocesses import read

CASES = {
    "second order": STRIDED,
    "first order": replace(STRIDED, second_order=False),
}
PROGRAM = "from benchmarks.peaks import main; main()"
N_STEPS = 2


def measure(n_tasks=STRIDED.n_tasks):
    """Megabytes of each case and contestant, at the peak and before the first step; None off Linux."""
    if not STATUS.exists():
        return None
    return {name: {who: read(PROGRAM, name, who, n_tasks) for who in CONTESTANTS} for name in CASES}


def main():
    """In the process: take the steps that the arguments name, and print the memory."""
    torch.set_num_threads(1)
    case, who = replace(CASES[sys.argv[1]], n_tasks=int(sys.argv[3])), sys.argv[2]
    steps = CONTESTANTS[who](case)
    before = megabytes("VmHWM")
    steps()
    print(json.dumps({"before": before, "peak": megabytes("VmHWM")}))


def of_fit(case):
    """Steps inside ``fit``."""
    estimator, tasks = case.estimator(max_iter=N_STEPS), case.tasks(2 * case.n_tasks)
    return lambda: estimator.fit(tasks)


def of_loop(fill_gradient):
    """Steps of a contestant on episodes drawn beforehand."""

    def prepared(case):
        step = outer_step(fill_gradient, case)
        return lambda: [step() for _ in range(N_STEPS)]

    return prepared


CONTESTANTS = {"skmeta": of_fit, "loop": of_loop(tutorial_loop), "loop, task by task": of_loop(task_by_task)}
