"""The tables, as Markdown."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch

from benchmarks.contestants import PEERS
from benchmarks.goals import rows

PACKAGES = "numpy", "scikit-learn", "torch", "skorch", *PEERS


def machine():
    """What the figures depend on, in one dict of texts."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load before the run": f"{os.getloadavg()[0]:.1f}",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


def _processor():
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return names[0].split(":")[1].strip() if names else platform.processor() or platform.machine()


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def markdown(results):
    """The page: the goals, then what is behind them."""
    parts = ["# Speed and memory", _intro(results), _goals(results)]
    if "outer_step" in results:
        parts += ["## An outer step", OUTER_STEP_NOTE]
        parts += [_case_table(case) for case in results["outer_step"].values()]
    if results.get("gpu"):
        parts += ["## An outer step on the GPU"]
        parts += [_case_table(case) for case in results["gpu"].values()]
    if "serving" in results:
        parts += ["## Answers for new tasks", _serving_table(results["serving"])]
    if "imports" in results:
        parts += ["## Imports", _imports_table(results["imports"])]
    if results.get("memory"):
        parts += ["## Resident memory", _memory_table(results["memory"])]
    if results.get("peaks"):
        parts += ["## Peak memory of outer steps", _peaks_table(results["peaks"])]
    if "growth" in results:
        parts += ["## As work grows", *(_growth_table(*item) for item in results["growth"].items())]
    return "\n\n".join(parts) + "\n"


OUTER_STEP_NOTE = """\
`skmeta` is the estimator's `fit` with the case's settings, everything that an epoch does included; the
others run on episodes drawn beforehand. `loop` is plain PyTorch as tutorials write it. `limit` is, for an
MLP, matrix code by hand; for Conv4, its floating-point operations at the rate of one large product. The
error is of the meta-gradient, relative to that of skmeta's default way. A repeat is the mean over a
block of steps."""


def _intro(results):
    lines = ["`python -m benchmarks` wrote this page. Figures are medians, ratios are of medians.", ""]
    if results["quick"]:
        lines += ["**A quick run: few repeats, small tasks. The goals are for the full one.**", ""]
    return "\n".join(lines + [f"- {name}: {fact}" for name, fact in results["machine"].items()])


def _goals(results):
    marks = {True: "yes", False: "**no**", None: ""}
    lines = [(*row[:-1], marks[row.met]) for row in rows(results)]
    return _table(("measured", "goal", "figure", "with two threads", "met"), lines)


def _case_table(case):
    lines = []
    for name, seconds in case["seconds"].items():
        line = [name]
        for n in case["seconds"]["skmeta"]:
            loop, limit = (median(case["seconds"][other][n]) for other in ("loop", "limit"))
            line += _cells(median(seconds[n]), loop, limit) if n in seconds else ["", "", ""]
        error = case["gradient_errors"].get(name)
        repeats = "/".join(str(len(values)) for values in seconds.values())
        lines.append([*line, "" if error is None else f"{error:.0e}", repeats])
    columns = [
        f"{column}, {n} thread{'s' * (n != '1')}"
        for n in case["seconds"]["skmeta"]
        for column in ("ms", "loop / it", "it / limit")
    ]
    return f"### {case['title']}\n\n" + _table(("contestant", *columns, "error", "repeats"), lines)


def _cells(seconds, loop, limit):
    return [_ms(seconds), f"{loop / seconds:.2f}", f"{seconds / limit:.2f}"]


def _serving_table(results):
    n_threads = list(results["one"]["skmeta"])
    lines = []
    for name in results["one"]:
        times = [_ms(median(results[work][name][n])) for work in ("one", "many") for n in n_threads]
        lines.append([name, *times])
    kinds = "one task", f"{results['n_tasks']} tasks"
    columns = [f"{kind}, ms, threads: {n}" for kind in kinds for n in n_threads]
    note = f"skmeta and the plain loop predict the same class for {results['agreement']:.2%} of the rows."
    return _table(("contestant", *columns), lines) + f"\n\n{note}"


def _imports_table(results):
    return _table(("program", "ms"), [(f"`{name}`", _ms(median(times))) for name, times in results.items()])


def _memory_table(results):
    lines = [
        (
            f"{work['amount']} {name}",
            *(f"{work['megabytes'][i]:.0f}" for i in (0, len(work["megabytes"]) // 10, -1)),
        )
        for name, work in results.items()
    ]
    return _table(("work", "MB, first", "MB, after a tenth", "MB, last"), lines)


def _peaks_table(results):
    lines = [
        (name, who, *(f"{megabytes[when]:.0f}" for when in ("before", "peak")))
        for name, case in results.items()
        for who, megabytes in case.items()
    ]
    return _table(("case", "contestant", "MB, before", "MB, peak"), lines)


def _growth_table(kind, measured):
    lines = [(n, _ms(seconds)) for n, seconds in zip(measured["sizes"], measured["seconds"], strict=True)]
    return _table((kind, "ms a step"), lines)


def _ms(seconds):
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:.0f}"


def _table(header, lines):
    lines = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
