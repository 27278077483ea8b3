"""The goals: each row says what was measured, what is wanted and whether it is met."""

from statistics import median
from typing import NamedTuple

from benchmarks.cases import STRIDED
from benchmarks.growth import slope
from benchmarks.memory import growth

# Case: how many times faster than the tutorial loop at least, and how many times the limit at most.
OUTER_STEP = {
    "sinusoid": (10, 1.3),
    "tabular": (4.5, 1.2),
    "tabular_first": (4.5, 1.2),
    "conv4": (1.5, None),
    "conv4_first": (1.15, None),
    "strided": (1, None),
    "strided_first": (1, None),
}
TWO_CORES = "tabular", "tabular_first", "conv4", "conv4_first"


class Row(NamedTuple):
    """A goal and the figures, with one thread and with two; ``met`` speaks of the first."""

    what: str
    goal: str
    figure: str
    two_threads: str
    met: bool | None


def at_least(goal, what, figures, unit=" times"):
    """Row of figures, of one thread and perhaps of two, that should be ``goal`` or more."""
    return Row(what, f"≥ {goal:g}", *_texts(figures, unit), figures[0] >= goal)


def at_most(goal, what, figures, unit=" times"):
    """Row of figures that should be ``goal`` or less."""
    return Row(what, f"≤ {goal:g}", *_texts(figures, unit), figures[0] <= goal)


def between(low, high, what, figure):
    """Row of a figure that should be from ``low`` to ``high``."""
    return Row(what, f"{low:g} to {high:g}", f"{figure:.2f}", "", low <= figure <= high)


def _texts(figures, unit):
    texts = [f"{figure:.2f}{unit}" for figure in figures]
    return [*texts, ""][:2]


def ratio(seconds, slow, fast):
    """How many times longer ``slow`` takes, by the medians: one figure for each number of threads."""
    both = [n for n in seconds[slow] if n in seconds[fast]]
    return [median(seconds[slow][n]) / median(seconds[fast][n]) for n in both]


def rows_of_outer_step(results):
    """Goals of a step inside ``fit``."""
    speedups = {name: ratio(case["seconds"], "loop", "skmeta") for name, case in results.items()}
    for name, (faster, of_limit) in OUTER_STEP.items():
        title, seconds = results[name]["title"], results[name]["seconds"]
        yield at_least(faster, f"outer step in `fit`, {title}: faster than the tutorial loop", speedups[name])
        if of_limit is not None:
            yield at_most(of_limit, f"the same, over the limit, {title}", ratio(seconds, "skmeta", "limit"))
    slowest = [min(figures) for figures in zip(*speedups.values(), strict=True)]
    yield at_least(1, "the same, the case with the least gain over the loop", slowest)
    for name in TWO_CORES:
        one, two = (median(results[name]["two_cores"][n]) for n in ("1", "2"))
        yield at_least(1.6, f"two cores over one, {results[name]['title']}", [one / two])
    seconds = results["tabular"]["seconds"]
    taml = ratio(seconds, "skmeta, TAML", "skmeta")
    yield at_most(1.6, f"TAML over TMAML, a step of {results['tabular']['title']}", taml)


def rows_of_gpu(results):
    """What is wanted to be known of a GPU; there is no goal."""
    for case in results.values():
        faster = ratio(case["seconds"], "loop", "skmeta")
        yield Row(f"GPU, {case['title']}: faster than the tutorial loop", "", *_texts(faster, " times"), None)
        vmap = ratio(case["seconds"], "skmeta, loop", "skmeta, vmap")
        yield Row(f"GPU, {case['title']}: vmap faster than loop", "", *_texts(vmap, " times"), None)
    steps = 1 / median(results["conv4"]["seconds"]["skmeta"]["1"])
    yield Row("GPU, Conv4-64, 5-way 1-shot, 32 tasks", "", f"{steps:.1f} outer steps/s", "", None)


def rows_of_serving(results):
    """Goals of answers for new tasks."""
    one, many, n = results["one"], results["many"], results["n_tasks"]
    logistic = ratio(one, "skmeta", "LogisticRegression")
    yield at_most(1, "`adapt` and `predict` over `LogisticRegression` on the same rows", logistic)
    yield at_least(
        15, f"`predict_tasks` of {n} tasks: faster than the tutorial loop", ratio(many, "loop", "skmeta")
    )
    regressions = ratio(many, "LogisticRegression", "skmeta")
    yield at_least(5, f"the same: faster than {n} `LogisticRegression`", regressions)


def rows_of_imports(results):
    """Goals of the imports."""
    times = {name: median(values) for name, values in results.items()}
    below = times["import sklearn, torch, skorch"]
    what = "`{}` over `import sklearn, torch, skorch`".format
    yield at_most(1.1, what("import skmeta"), [times["import skmeta"] / below])
    lazily = "from skmeta import TMAMLClassifier"
    yield Row(what(lazily), "", f"{times[lazily] / below:.2f} times", "", None)


def rows_of_memory(results):
    """Goals of resident memory."""
    for name, work in results.items():
        yield at_most(1.05, f"resident memory after {work['amount']} {name}", [growth(work["megabytes"])])


def rows_of_peaks(results):
    """Goals of the peak memory of outer steps."""
    for name, case in results.items():
        for loop in "loop", "loop, task by task":
            what = f"peak memory of `fit`, {STRIDED.title}, {name}, over that of the {loop}"
            yield at_most(1.2, what, [case["skmeta"]["peak"] / case[loop]["peak"]])


def rows_of_growth(results):
    """Goals of the cost as work grows."""
    for kind, measured in results.items():
        yield between(0.9, 1.1, f"time of a step as {kind} grow: exponent", slope(**measured))


ROWS = {
    "outer_step": rows_of_outer_step,
    "gpu": rows_of_gpu,
    "serving": rows_of_serving,
    "imports": rows_of_imports,
    "memory": rows_of_memory,
    "peaks": rows_of_peaks,
    "growth": rows_of_growth,
}


def rows(results):
    """All rows of the parts that were run."""
    return [row for part, of_part in ROWS.items() if results.get(part) for row in of_part(results[part])]
