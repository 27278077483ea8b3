"""Scores of methods from their records: means, intervals, paired differences, goals."""

from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.run import methods_of, records
from skmeta.model_selection.evaluate import summarize

# Episodes of one class split are of one task; a split's number times this tells splits apart.
TASKS_IN_A_SPLIT = 10_000


@dataclass
class Result:
    """A method in a study, all of its splits and seeds.

    ``scores`` holds the mean over seeds of each episode, ``task`` its task; ``by_seed`` the mean of each
    seed, ``versions`` the packages that made it. Errors are negative scores.
    """

    method: object
    scores: np.ndarray
    task: np.ndarray
    by_seed: np.ndarray
    validation: float
    minutes: float
    params: list
    versions: set

    def summary(self):
        """``skmeta.evaluate``'s Bunch of the scores."""
        return summarize(self.scores, self.task)

    def minus(self, other):
        """``skmeta.compare``'s paired difference: the Bunch of scores less another result's."""
        return summarize(self.scores - other.scores, self.task)


def results_of(study, store):
    """``Result`` of each method of a study, None of those that are not finished, by name."""
    return {
        method.name: _result(study, method, records(study, method, store)) for method in methods_of(study)
    }


def _result(study, method, found):
    seeds = range(method.n_seeds(study))
    if len(found) < len(study.splits) * len(seeds):
        return None
    pairs = [[found[split, seed] for split in study.splits] for seed in seeds]
    scores = np.array([np.concatenate([scored["scores"] for _, scored in row]) for row in pairs])
    task = [np.array(scored["task"]) + TASKS_IN_A_SPLIT * i for i, (_, scored) in enumerate(pairs[0])]
    validations = [validation for row in pairs for validation, _ in row]
    return Result(
        method,
        scores.mean(axis=0),
        np.concatenate(task),
        scores.mean(axis=1),
        float(np.mean([record["score"] for record in validations])),
        float(np.mean([record["minutes"] for record in validations])),
        [validation["config"]["params"] for validation, _ in pairs[0]],
        {record["versions"] for row in pairs for pair in row for record in pair},
    )


def half_width(summary):
    """Of the 95 % interval over tasks; of a single task, over episodes."""
    return summary.interval if np.isnan(summary.task_interval) else summary.task_interval


def best_of(results):
    """The method of skmeta that does best on meta-validation, and the baseline that scores best, or None.

    The baselines' best is the hardest to beat.
    """
    finished = [result for result in results.values() if result is not None]
    ours = [result for result in finished if result.method.is_ours]
    theirs = [result for result in finished if not result.method.is_ours]
    return (
        max(ours, key=lambda result: result.validation, default=None),
        max(theirs, key=lambda result: result.scores.mean(), default=None),
    )


def is_met(goal, ours, results):
    """Whether a goal is met, by the results that are finished."""
    if goal.at_least is not None and ours.scores.mean() < goal.at_least:
        return False
    baselines = [result for result in results.values() if result is not None and not result.method.is_ours]
    return not goal.beat_baselines or all(_beats(ours, other, goal.surely) for other in baselines)


def _beats(ours, other, surely):
    difference = ours.minus(other)
    return difference.mean > (half_width(difference) if surely else 0)
