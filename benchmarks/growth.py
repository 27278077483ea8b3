"""How the time of an outer step inside ``fit`` grows with tasks, rows and inner steps."""

from dataclasses import replace
from statistics import median

import numpy as np

from benchmarks.cases import TABULAR
from benchmarks.outer_step import fit_block
from benchmarks.timing import alternate, with_threads

# Sizes in units of the tabular case, or numbers of inner steps. Below the last LINEAR sizes, the cost of
# starting operations hides that of their work.
SIZES = {
    "tasks": [0.25, 0.5, 1, 2, 4, 8],
    "rows": [0.2, 1, 4, 8, 16, 32],
    "inner steps": [1, 2, 5, 10, 20, 40],
}
LINEAR = 3


def measure(seconds):
    """Seconds of a step on one thread, for each size of each kind of work."""
    return {kind: measure_kind(kind, sizes, seconds) for kind, sizes in SIZES.items()}


def measure_kind(kind, sizes, seconds):
    """Amounts of one kind of work, and the median seconds of a step."""
    cases = [grown(kind, size) for size in sizes]
    measured = alternate({i: with_threads(1, fit_block(case)) for i, case in enumerate(cases)}, seconds)
    return {
        "sizes": [amount(kind, case) for case in cases],
        "seconds": [median(times) for times in measured.values()],
    }


def grown(kind, size):
    """The tabular case, larger in one way."""
    case = replace(TABULAR, steps=2)
    if kind == "tasks":
        return replace(case, n_tasks=int(size * case.n_tasks))
    if kind == "rows":
        return replace(case, n_support=int(size * case.n_support), n_query=int(size * case.n_query))
    return replace(case, inner_steps=size)


def amount(kind, case):
    """The number that a grown case has more of."""
    return {
        "tasks": case.n_tasks,
        "rows": case.n_support + case.n_query,
        "inner steps": case.inner_steps,
    }[kind]


def slope(sizes, seconds):
    """Exponent of the growth over the last sizes: 1 is linear."""
    return float(np.polyfit(np.log(sizes[-LINEAR:]), np.log(seconds[-LINEAR:]), 1)[0])
