"""The page, as Markdown."""

import numpy as np

from benchmarks.accuracy.results import best_of, half_width, is_met, results_of
from benchmarks.accuracy.store import VERSIONS, plain

INTRO = """\
# Accuracy on new tasks

`python -m benchmarks.accuracy` wrote this page. Every method is fitted on meta-train tasks; its parameters,
and skmeta's number of steps, are chosen on meta-validation tasks; what was chosen is scored on meta-test
tasks, once for each version of the code. All methods meet the same episodes and are inductive. Accuracies are
in %, errors are mean absolute ones in points of the scale. The baselines are told no less than skmeta: where
labels are shared, every method answers with a class of the support set.

Methods that are *tuned* choose from a grid, as the baselines do. The others of skmeta are its defaults and
a study's settings, with the one change that their name tells. Grids and settings were found by hand,
skmeta's by cross-validation over meta-train and meta-validation tasks or on meta-validation tasks. Meta-test
scores of earlier versions were known by then; each table tells the best of skmeta's.

- ±: half of the 95 % interval over meta-test tasks, after the mean over seeds (of class splits, where a split
  is one task; of episodes, for Omniglot, which is a single one). *Seeds*: standard deviation of their means.
- *Best of skmeta less this*: paired, on the same episodes, with its interval; positive where skmeta is
  better. The best of skmeta is the one that does best on meta-validation.
- *Minutes* of training, on whichever machine it was."""

NOT_FINAL = """\
**Figures are of meta-validation, by which the methods were also chosen. Meta-test stays closed.**"""

ANY_CODE = """\
**Among these are figures of earlier versions of the code: a page on the way.**"""

PUBLISHED = """\
Published, in %: {}. These papers train 60,000 steps or more on GPUs; MAML, FOMAML and, where not said
otherwise, Reptile are transductive, which is easier."""


def page(studies, store):
    """The goals, then a table for each study that has a result."""
    found = [(study, results_of(study, store)) for study in studies]
    parts = [INTRO, _versions(found), _goals(found)]
    if any(study.brief for study in studies):
        parts.insert(1, "**A quick run: few steps, methods and episodes. The goals are for the full one.**")
    if store.any_code:
        parts.insert(1, ANY_CODE)
    if not all(study.final for study in studies):
        parts.insert(1, NOT_FINAL)
    parts += [_section(*pair) for pair in found if any(result is not None for result in pair[1].values())]
    return "\n\n".join(parts) + "\n"


def _versions(found):
    results = [result for _, by_name in found for result in by_name.values() if result is not None]
    versions = set().union(*(result.versions for result in results)) or {VERSIONS}
    return f"Made with {'; or with '.join(sorted(versions))}."


def _goals(found):
    lines = []
    for study, results in found:
        ours, hardest = best_of(results)
        lines.append(
            (
                study.title,
                study.goal.words,
                "" if ours is None else ours.method.name,
                "" if ours is None else _figure(ours.summary(), study),
                "" if hardest is None else f"{hardest.method.name}, {_figure(hardest.summary(), study)}",
                _difference(ours, hardest, study),
                _mark(study, ours, hardest, results),
            )
        )
    header = "data", "goal", "best of skmeta", "figure", "best baseline", "difference", "met"
    return _table(header, lines)


def _mark(study, ours, hardest, results):
    if ours is None or (study.goal.beat_baselines and hardest is None):
        return "not finished"
    mark = "yes" if is_met(study.goal, ours, results) else "**no**"
    return f"{mark}, of what is finished" if None in results.values() else mark


def _section(study, results):
    ours, _ = best_of(results)
    finished = [result for result in results.values() if result is not None]
    finished.sort(key=lambda result: -result.scores.mean())
    lines = [_line(study, ours, result) for result in finished]
    header = (
        "method",
        "meta-test" if study.final else "figure",
        "seeds",
        "meta-validation",
        "best of skmeta less this",
        "minutes",
        "chosen",
    )
    parts = [f"## {study.title}", _protocol(study), _settings(study), _table(header, lines)]
    if study.seen and study.final:
        parts.insert(3, f"The best of skmeta on meta-test before, with other code or settings: {study.seen}.")
    if study.note:
        parts.insert(3, study.note)
    if len(finished) < len(results):
        missing = [name for name, result in results.items() if result is None]
        parts.append(f"Not finished: {'; '.join(missing)}.")
    if study.published:
        parts.append(PUBLISHED.format(", ".join(f"{name} {v:g}" for name, v in study.published.items())))
    return "\n\n".join(parts)


def _line(study, ours, result):
    name = f"**{result.method.name}**" if result.method.is_ours else result.method.name
    spread = _number(_scaled(result.by_seed.std(ddof=1), study), study) if len(result.by_seed) > 1 else ""
    difference = "" if result is ours else _difference(ours, result, study)
    validation = _number(_signed(result.validation, study), study)
    minutes = f"{result.minutes:.1f}" if result.minutes >= 0.05 else ""
    ours_fixed = study.settings | {"features": study.features}
    chosen = _chosen(result.params, ours_fixed if result.method.is_ours else {}, study)
    return name, _figure(result.summary(), study), spread, validation, difference, minutes, chosen


def _protocol(study):
    p, seeds = study.protocol, study.n_seeds
    rows = "of a task" if study.regression else "of a class"
    words = [
        f"{p.n_shot} support rows {rows}, up to {p.n_query} query rows",
        f"{p.n_episodes} meta-test episodes" if study.final else f"{p.n_looked_at} meta-validation episodes",
        f"{len(study.splits)} class splits" if len(study.splits) > 1 else "",
        f"{seeds} seeds" if seeds > 1 else "one seed",
    ]
    return ", ".join(filter(None, words)) + "."


def _settings(study):
    """What was set by hand for skmeta's methods."""
    shown = ", ".join(f"{name}={value}" for name, value in plain(study.settings).items())
    return f"Settings of skmeta in this study, by hand: features={study.features}, {shown}."


def _chosen(params, fixed, study):
    """The parameters of each split that were a choice, those of several splits once."""
    views = {study.features, *study.views, *study.sparse_views}
    fixed = plain(fixed)
    texts = []
    for p in params:
        shown = {n: v for n, v in p.items() if n not in fixed or fixed[n] != v}
        if len(views) == 1:
            shown.pop("features", None)
        texts.append(", ".join(f"{name}={value}" for name, value in shown.items()))
    return " / ".join(dict.fromkeys(filter(None, texts)))


def _difference(ours, other, study):
    if ours is None or other is None:
        return ""
    summary = ours.minus(other)
    mean, half = (_scaled(value, study) for value in (summary.mean, half_width(summary)))
    return f"{_number(mean, study, '+')} ± {_number(half, study)}"


def _figure(summary, study):
    mean, half = _signed(summary.mean, study), _scaled(half_width(summary), study)
    return f"{_number(mean, study)} ± {_number(half, study)}"


def _number(value, study, sign=""):
    # Errors of a tenth of a point are told apart.
    return f"{value:{sign}.{3 if study.regression else 2}f}"


def _signed(score, study):
    """A score as it is shown: an error without its minus."""
    return -score if study.regression else 100 * score


def _scaled(difference, study):
    return difference if study.regression else 100 * np.asarray(difference)


def _table(header, lines):
    lines = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
