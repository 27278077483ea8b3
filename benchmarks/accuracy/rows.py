"""Errors by the number of support rows, none included, of one fit: ``python -m benchmarks.accuracy.rows``.

It writes ``benchmarks/ROWS.md``, of development tasks.
"""

import argparse
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from benchmarks.accuracy.data import SHOTS, missing
from benchmarks.accuracy.episodes import Episode, folds, split
from benchmarks.accuracy.ours import OURS
from benchmarks.accuracy.record import Record, commit
from benchmarks.accuracy.report import markdown
from benchmarks.accuracy.rivals import RIVALS
from benchmarks.accuracy.run import LEAST, Part, all_tasks, candidates_of, fit, joined
from benchmarks.accuracy.studies import STUDIES, Cell
from skmeta.model_selection.intervals import task_interval

PAGE = Path(__file__).parents[1] / "ROWS.md"
N_ROWS = 0, 1, 3, 10, 30
N_DRAWS = 3  # of each task
NAMES = "TMAML", "TAML"
INTRO = """\
# Errors by the number of support rows

`python -m benchmarks.accuracy.rows` wrote this page, of code {commit}. One fit with default parameters, for
each fold of the development tasks, answers the same query rows, a quarter of each new task, from none of its
other rows and from the first 1, 3, 10 and 30 of them in a random order; {draws} orders of each task.

- *no row*: the mean error (or log loss) relative to that of the best pooled model, which learns from the
  training tasks' rows alone and has no support row either; for classes, in brackets, relative to that of the
  training rows' shares of the classes.
- *0 → 1*: the mean error from one row relative to that from none, of the tasks that have so many rows.
- ±: half of the 95 % interval over new tasks, of paired differences."""
SLOPES = """\
## Calibration of probabilities

The slope, the one factor of the logits at which the log loss would be least, pooled over {names}: 1 is
calibrated, below 1 is too sure."""


def main(arguments=None):
    """Run the grouped studies that the command line names, and write the page of these."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.rows", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="study", help=f"of {', '.join(SHOTS)}; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="studies at once")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page (default: %(default)s)")
    args = parser.parse_args(arguments)
    named = [study for study in STUDIES if study.data in (args.names or SHOTS) and not missing(study.data)]
    with parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(args.jobs, batch_size=1)(map(delayed(run), named))
    args.out.write_text(page(named, found), encoding="utf-8")


def run(study):
    """Of each method: scores by the number of rows, and log probabilities of query rows with their codes."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    tasks = all_tasks(study.data)
    parts = [Part(study, *pair) for pair in folds(tasks, split(tasks)[0])]
    for part in parts:
        part.episodes = {Cell(n, "natural"): list(nested(part.tasks, n)) for n in N_ROWS}
    scores, logits = {}, {}
    for method, (view, params), rows in methods_of(study, parts[0].views):
        for part in parts:
            said = Recorded(fit(method, part.train, view, 0, params)(study.cells[0]))
            for cell in [cell for cell in part.episodes if cell.n_shot in rows and part.episodes[cell]]:
                of_cell = part.score(cell, said, view)
                scores.setdefault(method.name, {}).setdefault(cell.n_shot, []).append(of_cell)
                logits.setdefault(method.name, []).extend(said.taken(part, cell))
        print(f"{study.data}: {method.name}", flush=True)
    return {name: {n: joined(s) for n, s in by_rows.items()} for name, by_rows in scores.items()}, logits


def methods_of(study, views):
    """Ours, and what needs no support row, as development tasks chose it; with the numbers of rows."""
    record = Record(study.data)
    for method in [*OURS, *RIVALS]:
        if method.name in NAMES and method.suits(study):
            yield method, (views[0], {}), N_ROWS
        elif (method.name == "constant" or is_pooled(method.name)) and method.suits(study):
            chosen = record.get("development", method.name, str(study.cells[0]), 0)["chosen"]
            yield method, candidates_of(method, views)[chosen], (0,)


def is_pooled(name):
    """Whether a method learns from the training tasks alone."""
    return name.startswith("pooled ") and "local" not in name


def nested(tasks, n_rows):
    """Episodes whose query rows are the same for each number of support rows, which are nested."""
    rng, first = np.random.default_rng(0), 0
    for i, task in enumerate(tasks):
        for _ in range(N_DRAWS):
            order = first + rng.permutation(len(task.y))
            query, others = np.split(order, [-(-len(order) // 4)])
            if n_rows <= len(others):
                yield Episode(i, others[:n_rows], query)
        first += len(task.y)


class Recorded:
    """A model whose answers are kept until they are taken."""

    def __init__(self, model):
        self.model, self.answers = model, []

    def __call__(self, *rows):
        """The model's answer."""
        self.answers.append(self.model(*rows))
        return self.answers[-1]

    def taken(self, part, cell):
        """For each episode of a cell, the logarithms of probabilities and the codes of the classes."""
        answers, self.answers = self.answers, []
        for answer, episode in zip(answers, part.episodes[cell], strict=True):
            if answer.probabilities is not None:
                y = part.y[episode.query]
                known = np.isin(y, answer.classes)
                codes = np.searchsorted(answer.classes, y[known])
                yield np.log(answer.probabilities[known].clip(LEAST)), codes


def page(studies, found):
    """All that there is to see."""
    rows = [row for study, (scores, _) in zip(studies, found, strict=True) for row in lines(study, scores)]
    steps = [f"{a} → {b}" for a, b in pairwise(N_ROWS)]
    parts = [INTRO.format(commit=commit(), draws=N_DRAWS)]
    parts.append(markdown(["data", "measure", "method", "best pooled model", "no row", *steps], rows))
    shared = {s.data: logits for s, (_, logits) in zip(studies, found, strict=True) if s.kind == "shared"}
    if shared:
        rows = [[name, f"{slope([p for of in shared.values() for p in of[name]]):.2f}"] for name in NAMES]
        parts += [SLOPES.format(names=", ".join(shared)), markdown(["method", "slope"], rows)]
    return "\n\n".join(parts) + "\n"


def lines(study, scores):
    """The rows of a study's table."""
    measure = study.measure
    error = {name: by_rows[0][measure].mean() for name, by_rows in scores.items()}
    pooled = min(filter(is_pooled, error), key=error.get)
    for name in NAMES:
        shown = ratio(scores[name][0], scores[pooled][0], measure)
        if "constant" in scores:
            shown += f" ({ratio(scores[name][0], scores['constant'][0], measure)})"
        row = [study.title, measure, name, f"{pooled} {error[pooled]:.3f}", shown]
        for few, more in pairwise(N_ROWS):
            both = scores[name].get(more)
            row.append("" if both is None else ratio(both, scores[name][few], measure))
        yield row


def ratio(one, other, measure):
    """Mean score relative to another's, of the tasks that have both, with half of its interval."""
    kept = np.isin(other["task"], one["task"])
    base = other[measure][kept]
    half = task_interval(one[measure] - base, one["task"]) / base.mean()
    return f"{one[measure].mean() / base.mean():.2f} ± {half:.2f}"


def slope(answers):
    """The factor of all logits at which the log loss is least."""

    def loss(log_factor):
        factor = np.exp(log_factor)
        total = sum(-log_softmax(factor * p, axis=1)[np.arange(len(y)), y].sum() for p, y in answers)
        return total / sum(len(y) for _, y in answers)

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


if __name__ == "__main__":
    main()
