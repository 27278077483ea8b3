"""The page, as Markdown, of what the records hold."""

from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.data import SHOTS
from benchmarks.accuracy.run import SIGNS
from skmeta.model_selection.intervals import task_interval

N_BOOTSTRAPS = 2000
DIGITS = {"accuracy": 3, "log loss": 3, "error": 3, "coverage": 2, "width": 2}
OURS = "TMAML", "TAML"

INTRO = """\
# Accuracy on new tasks

`python -m benchmarks.accuracy` wrote this page; README.md has its short form. A user calls `fit` without a
parameter: that is TMAML and TAML here, with no more than a `random_state`. Rows that are *told* also get the
number of support rows and what labels mean. A rival is tuned, for each number of support rows, by
cross-validation over the same development tasks, on every view of the data that it suits. All methods answer
the same episodes, each from the support set and the training tasks alone.

- *ratio*: mean error (or log loss; of accuracies, the share of wrong answers) relative to that of the best
  rival; below 1, skmeta is better.
- ±: half of the 95 % interval over new tasks; where labels are a task's own, by a bootstrap over classes.
  *difference*: paired, to the best rival.
- *coverage*, *width*: of 90 % intervals, where a method gives them."""
DEVELOPMENT = """\
**These are development tasks, by cross-validation: what a method was chosen by, and what one may look at
while developing. The best rival is the one that scores best on them, so it is a little flattered.**"""
FINAL = """\
**These are final tasks.** The best rival is the one that development tasks choose; in brackets, the one that
final tasks would have chosen. What opened them, and when, stands in `benchmarks/record/LEDGER.md`."""


@dataclass
class Line:
    """A method in a cell of a study, the mean over its seeds."""

    name: str
    ours: bool
    scores: dict
    chosen: str
    seconds: float
    commits: set
    seeds: int

    def mean(self, measure):
        """Mean score."""
        return self.scores[measure].mean()


def lines_of(study, cell, record, methods, part):
    """A ``Line`` for each method that the record has, the best first."""
    lines = []
    for method in filter(lambda method: method.suits(study), methods):
        found = [record.get(part, method.name, str(cell), seed) for seed in range(3)]
        found = [entry for entry in found if entry is not None]
        if not found:
            continue
        scores = {n: np.mean([e["scores"][n] for e in found], axis=0) for n in found[0]["scores"]}
        chosen = record.get("development", method.name, str(cell), 0)["chosen"]
        seconds = float(np.mean([entry["seconds"] for entry in found]))
        commits = {entry["commit"] for entry in found}
        lines.append(Line(method.name, method.ours, scores, chosen, seconds, commits, len(found)))
    return sorted(lines, key=lambda line: -SIGNS[study.measure] * line.mean(study.measure))


def wrong(study, line):
    """What ratios are of: mean error, log loss, or share of wrong answers."""
    mean = line.mean(study.measure)
    return 1 - mean if study.measure == "accuracy" else mean


def half_width(study, scores, other=None):
    """Of the 95 % interval of a mean score, or of its paired difference to another's."""
    if study.kind == "per_task":
        values = scores["accuracy of class"] - (0 if other is None else other["accuracy of class"])
        rng = np.random.default_rng(0)
        drawn = values[rng.integers(len(values), size=(N_BOOTSTRAPS, len(values)))].mean(axis=1)
        return np.diff(np.quantile(drawn, [0.025, 0.975]))[0] / 2
    values = scores[study.measure] - (0 if other is None else other[study.measure])
    return float(task_interval(values, scores["task"]))


def page(studies, records, methods):
    """All tables."""
    parts = ["final" if any(key[0] == "final" for key in r.entries) else "development" for r in records]
    found = [
        (study, cell, part, lines_of(study, cell, record, methods, part), record)
        for study, record, part in zip(studies, records, parts, strict=True)
        for cell in study.cells
    ]
    found = [row for row in found if row[3]]
    told = FINAL if any(row[2] == "final" for row in found) else DEVELOPMENT
    sections = [section(*row[:4]) for row in found]
    return "\n\n".join([INTRO, told, summary(found, methods), *sections]) + "\n"


def rival_of(study, cell, record, lines, methods, part):
    """The rival that development tasks choose, and the best of these lines."""
    rivals = [line for line in lines if not line.ours]
    if part == "development" or not rivals:
        return (rivals[0], rivals[0]) if rivals else (None, None)
    ranked = [line.name for line in lines_of(study, cell, record, methods, "development") if not line.ours]
    by_name = {line.name: line for line in rivals}
    return next((by_name[name] for name in ranked if name in by_name), rivals[0]), rivals[0]


def summary(found, methods):
    """For each cell the errors of skmeta relative to the rival's; their geometric means and the worst."""
    rows, ratios = [], {}
    for study, cell, part, lines, record in found:
        chosen, best = rival_of(study, cell, record, lines, methods, part)
        if chosen is None:
            continue
        row = [f"{study.title}, {cell}", study.measure, f"{chosen.name} {number(study.measure, chosen)}"]
        for name in OURS:
            line = next((line for line in lines if line.name == name), None)
            if line is None:
                row.append("")
                continue
            to_chosen, to_best = (wrong(study, line) / wrong(study, rival) for rival in (chosen, best))
            ratios.setdefault(name, []).append((study.data in SHOTS, to_chosen, to_best))
            row.append(f"{to_chosen:.2f}" + (f" ({to_best:.2f})" if part == "final" else ""))
        rows.append(row)
    for words, which in (("**grouped tables**", lambda grouped: grouped), ("**all**", lambda grouped: True)):
        kept = {name: [r[1:] for r in values if which(r[0])] for name, values in ratios.items()}
        for statistic, of in (("geometric mean", geometric_mean), ("worst", lambda values: max(values))):
            cells = [
                " / ".join(f"{of(column):.2f}" for column in dict.fromkeys(zip(*kept[n], strict=True)))
                for n in OURS
                if kept.get(n)
            ]
            rows.append([words, statistic, "", *cells])
    header = ["data, support rows", "measure", "best rival", *(f"{name}, ratio" for name in OURS)]
    return "## In short\n\n" + table(header, rows)


def geometric_mean(values):
    """Of positive numbers."""
    return float(np.exp(np.mean(np.log(values))))


def section(study, cell, part, lines):
    """The table of a cell."""
    best = next((line for line in lines if not line.ours), None)
    others = [name for name in DIGITS if name != study.measure and any(name in line.scores for line in lines)]
    rows = []
    for line in lines:
        ratio = "" if best is None else f"{wrong(study, line) / wrong(study, best):.2f}"
        difference = ""
        if best is not None and line is not best:
            mean = line.mean(study.measure) - best.mean(study.measure)
            difference = f"{mean:+.3f} ± {half_width(study, line.scores, best.scores):.3f}"
        rows.append(
            [
                f"**{line.name}**" if line.ours else line.name,
                f"{number(study.measure, line)} ± {half_width(study, line.scores):.3f}",
                ratio,
                difference,
                *(number(name, line) if name in line.scores else "" for name in others),
                line.chosen,
                f"{line.seconds:.0f}",
                " ".join(sorted(line.commits)),
            ]
        )
    header = ["method", study.measure, "ratio", "difference", *others, "chosen", "seconds", "commit"]
    n_episodes = len(lines[0].scores["task"])
    about = f"{n_episodes} episodes of {part} tasks."
    return f"## {study.title}, {cell}\n\n{about}\n\n{table(header, rows)}"


def number(measure, line):
    """A mean score in figures."""
    return f"{line.mean(measure):.{DIGITS[measure]}f}"


def table(header, rows):
    """Rows of a Markdown table."""
    rows = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
