"""The page, as Markdown, of what the records hold."""

from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.data import SHOTS
from benchmarks.accuracy.run import SIGNS
from benchmarks.accuracy.studies import BINARY, STUDIES, Cell, Study
from skmeta.model_selection.intervals import task_interval

N_BOOTSTRAPS = 2000
N_SEEDS = 3  # of a long run
DIGITS = {"accuracy": 3, "log loss": 3, "error": 3, "coverage": 2, "width": 2}
OURS = "TMAML", "TAML"
FAMILIES = {
    "grouped tables, regression": [name for name in SHOTS if name not in BINARY],
    "grouped tables, two classes": BINARY,
    "digits through scanners": ["scanners"],
    "WISDM, activities": ["wisdm"],
    "Parkinson's, curves": ["parkinsons-motor", "parkinsons-total"],
    "MovieLens, ratings": ["movielens"],
    "intents by embeddings": ["clinc", "banking"],
    "intents by hashed terms": ["clinc-terms", "banking-terms"],
    "Omniglot, MLP": ["omniglot"],
    "**all**": None,
}
BEGINS, ENDS = "<!-- accuracy -->", "<!-- end of accuracy -->"  # of the README's table

INTRO = """\
# Accuracy on new tasks

`python -m benchmarks.accuracy` wrote this page; README.md has its short form. A user calls `fit` without a
parameter: that is TMAML and TAML here, with no more than a `random_state`. Rows that are *told* also get the
number of support rows and what labels mean. A rival is tuned, for each number of support rows, by
cross-validation over the same development tasks, on every view of the data that it suits. All methods answer
the same episodes, each from the support set and the training tasks alone. To be quick, pooled rivals learn
from 500 tasks at most, and those that are fitted anew for each episode from 1,000 pooled rows.

- *ratio*: mean error (or log loss; of accuracies, the share of wrong answers) relative to that of the best
  rival; below 1, skmeta is better.
- ±: half of the 95 % interval over new tasks; where labels are a task's own, by a bootstrap over classes.
  *difference*: paired, to the best rival.
- *coverage*, *width*: of 90 % intervals, where a method gives them."""
DEVELOPMENT = """\
Tables of *development tasks* are by cross-validation: what a method was chosen by, and what one may look at
while developing. The best rival is the one that scores best on them, so it is a little flattered."""
FINAL = """\
In tables of *final tasks* the best rival is the one that development tasks choose; in brackets, ratios to
the one that final tasks would have chosen. What opened them stands in `benchmarks/record/LEDGER.md`. Of
fewer than 60 tasks all are final in turn, by cross-validation; settings were chosen by some of them."""


@dataclass
class Line:
    """A method in a cell of a study, the mean over its seeds."""

    name: str
    ours: bool
    scores: dict
    chosen: str
    seconds: float
    commits: set

    def mean(self, measure):
        """Mean score."""
        return self.scores[measure].mean()


@dataclass
class Table:
    """A cell of a study: its lines, the best first, of development or of final tasks.

    ``rival`` is the line of the rival that development tasks choose.
    """

    study: Study
    cell: Cell
    part: str
    lines: list
    rival: Line | None
    lacking: list  # names of the rivals that are not there yet

    @property
    def best(self):
        """The line of the best rival here, or None."""
        return next((line for line in self.lines if not line.ours), None)

    def line(self, name):
        """The line of a method, or None."""
        return next((line for line in self.lines if line.name == name), None)

    def ratio(self, line, other):
        """Mean error or log loss, or share of wrong answers, relative to another line's."""
        one, two = (line.mean(self.study.measure) for line in (line, other))
        return (1 - one) / (1 - two) if self.study.measure == "accuracy" else one / two


def tables_of(studies, records, methods):
    """A ``Table`` for each cell that the records know; of final tasks, where these have been opened.

    Of our own methods, only the two by default count; others are opened by will.
    """
    tables, counted = [], {method.name for method in methods if not method.ours or method.name in OURS}
    for study, record in zip(studies, records, strict=True):
        for cell in study.cells:
            developed = _lines(study, cell, record, methods, "development")
            tried = [key[1:] for key in record.entries if key[0] == "development" and key[2] == str(cell)]
            tried = [key for key in tried if key[0] in counted]
            opened = bool(tried) and all(("final", *key) in record.entries for key in tried)
            lines = _lines(study, cell, record, methods, "final") if opened else developed
            rivals = {line.name: line for line in lines if not line.ours}
            rival = next((rivals[line.name] for line in developed if line.name in rivals), None)
            lacking = [m.name for m in methods if m.suits(study) and not m.ours and m.name not in rivals]
            if lines:
                part = "final" if opened else "development"
                tables.append(Table(study, cell, part, lines, rival, lacking))
    return tables


def _lines(study, cell, record, methods, part):
    lines = []
    for method in filter(lambda method: method.suits(study), methods):
        found = [record.get(part, method.name, str(cell), seed) for seed in range(N_SEEDS)]
        found = [entry for entry in found if entry is not None]
        if found:
            scores = {n: np.mean([e["scores"][n] for e in found], axis=0) for n in found[0]["scores"]}
            seconds = float(np.mean([entry["seconds"] for entry in found]))
            commits = {entry["commit"] for entry in found}
            lines.append(Line(method.name, method.ours, scores, found[0]["chosen"], seconds, commits))
    return sorted(lines, key=lambda line: -SIGNS[study.measure] * line.mean(study.measure))


def half_width(study, line, other=None):
    """Of the 95 % interval of a mean score, or of its paired difference to another line's."""
    measure = "accuracy of class" if study.kind == "per_task" else study.measure
    values = line.scores[measure] - (0 if other is None else other.scores[measure])
    if study.kind != "per_task":
        return float(task_interval(values, line.scores["task"]))
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(N_BOOTSTRAPS, len(values)))].mean(axis=1)
    return np.diff(np.quantile(drawn, [0.025, 0.975]))[0] / 2


def page(tables):
    """All that there is to see."""
    parts = [
        INTRO,
        DEVELOPMENT,
        FINAL,
        "## In short",
        short(tables),
        "## Ratios of each table",
        ratios(tables),
    ]
    return "\n\n".join([*parts, *map(section, tables)]) + "\n"


def short(tables):
    """For each kind of data, the ratios' geometric mean and the worst; of final tasks where they are open."""
    tables, rows = [table for table in tables if not table.lacking and all(map(table.line, OURS))], []
    for words, names in FAMILIES.items():
        kept = [table for table in tables if table.rival and (names is None or table.study.data in names)]
        row = [words, len(kept)]
        for name in OURS:
            found = [table.ratio(table.line(name), table.rival) for table in kept if table.line(name)]
            row.append(f"{np.exp(np.mean(np.log(found))):.2f} (worst {max(found):.2f})" if found else "")
        if kept:
            rows.append(row)
    unopened = list(dict.fromkeys(table.study.data for table in tables if table.part == "development"))
    told = "Of development tasks."
    if any(table.part == "final" for table in tables):
        told = (
            "Of final tasks" + (f"; of development tasks of {', '.join(unopened)}" if unopened else "") + "."
        )
    if waiting := [
        study.data for study in STUDIES if study.data not in {table.study.data for table in tables}
    ]:
        told += f" Not finished: {', '.join(waiting)}."
    return markdown(["new tasks", "tables", *(f"{n}, ratio" for n in OURS)], rows) + f"\n\n{told}"


def ratios(tables):
    """The rival of each table, and skmeta's ratios to it."""
    rows = []
    for table in tables:
        if table.rival is None or table.lacking:
            continue
        measure = table.study.measure
        row = [
            f"{table.study.title}, {table.cell}",
            measure,
            f"{table.rival.name} {figure(measure, table.rival)}",
        ]
        for line in map(table.line, OURS):
            shown = "" if line is None else f"{table.ratio(line, table.rival):.2f}"
            if line is not None and table.part == "final":
                shown += f" ({table.ratio(line, table.best):.2f})"
            row.append(shown)
        rows.append(row)
    return markdown(["data, support rows", "measure", "best rival", *(f"{n}, ratio" for n in OURS)], rows)


def section(table):
    """The table of a cell."""
    study, measure, best = table.study, table.study.measure, table.rival
    others = [n for n in DIGITS if n != measure and any(n in line.scores for line in table.lines)]
    rows = []
    for line in table.lines:
        ratio = difference = ""
        if best is not None:
            ratio = f"{table.ratio(line, best):.2f}"
            mean = line.mean(measure) - best.mean(measure)
            difference = f"{mean:+.3f} ± {half_width(study, line, best):.3f}" if line is not best else ""
        rows.append(
            [
                f"**{line.name}**" if line.ours else line.name,
                f"{figure(measure, line)} ± {half_width(study, line):.3f}",
                ratio,
                difference,
                *(figure(name, line) if name in line.scores else "" for name in others),
                line.chosen,
                f"{line.seconds:.0f}",
                " ".join(sorted(line.commits)),
            ]
        )
    header = ["method", measure, "ratio", "difference", *others, "chosen", "seconds", "commit"]
    about = f"{len(table.lines[0].scores['task'])} episodes of {table.part} tasks."
    if table.lacking:
        about += f" **Not finished**: {', '.join(table.lacking)}."
    return f"## {study.title}, {table.cell}\n\n{about}\n\n{markdown(header, rows)}"


def figure(measure, line):
    """A mean score in figures."""
    return f"{line.mean(measure):.{DIGITS[measure]}f}"


def markdown(header, rows):
    """Rows of a table."""
    rows = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def put_short(readme, tables):
    """The text of the README, with the short table in its place."""
    before, rest = readme.split(BEGINS)
    return f"{before}{BEGINS}\n{short(tables)}\n{ENDS}{rest.split(ENDS)[1]}"
