"""Scores against the number of support rows."""

from dataclasses import dataclass, replace

import numpy as np

from skmeta.model_selection.evaluate import prepare, score_episodes, summarize
from skmeta.parameter_rules import SIZE, Kind, check_value, plain


def _are_counts(value):
    is_list = isinstance(value, (list, tuple, range, np.ndarray)) and np.ndim(value) == 1
    return is_list and len(value) > 0 and all(map(SIZE.allows, map(plain, value)))


SHOTS = Kind(_are_counts, "a sequence of ints in [0, inf)")
NOT_EMPTY = Kind(len, "a model, or a dict that holds one or more by name")


def shots_curve(
    models,
    tasks,
    *,
    n_shots=(1, 2, 5, 10),
    n_episodes=600,
    n_way=None,
    n_query=15,
    sampling="auto",
    metric=None,
    random_state=0,
):
    """Scores of models against the number of support rows.

    Episodes are drawn once, with the most support rows, and the same for all models; a smaller support set
    holds the first of these rows, and the query set stays as it is. So the points differ by what is
    learned from the rows alone.

    Parameters
    ----------
    models : classifier, regressor or dict of str to these
        Each as ``model`` in ``evaluate``; a dict gives them the names that the plot shows.
    tasks : list of tuples
        As in ``evaluate``. From tasks that come with a query set, the first support rows are taken.
    n_shots : sequence of int, default=(1, 2, 5, 10)
        Support rows, of each class in a stratified draw, in all in a natural one and in a regression.
    n_episodes, n_way, n_query, sampling, metric, random_state
        As in ``evaluate``.

    Returns
    -------
    ShotsCurveDisplay
        Its ``plot`` draws the curves.

    Raises
    ------
    TypeError
        If the models are not all classifiers or all regressors.
    ValueError
        As in ``evaluate``, and if a class of a task, or a task of a regression, has too few rows for the
        largest of ``n_shots``.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skmeta import shots_curve
    >>> from skmeta.datasets import make_scanners
    >>> tasks = make_scanners(n_train=1, n_test=2, random_state=0).test
    >>> models = {"linear": LogisticRegression(), "neighbour": KNeighborsClassifier(1)}
    >>> curve = shots_curve(models, tasks, n_shots=(1, 5), n_episodes=4)
    >>> curve.results["linear"].mean.shape
    (2,)
    """
    check_value("shots_curve", "n_shots", n_shots, [SHOTS])
    if isinstance(models, dict):
        check_value("shots_curve", "models", models, [NOT_EMPTY])
        arguments = {f"models[{name!r}]": model for name, model in models.items()}
    else:
        arguments, models = {"models": models}, {type(models).__name__: models}
    n_shots = np.unique([plain(n) for n in n_shots])
    episodes, metric = prepare(
        "shots_curve",
        arguments,
        tasks,
        metric,
        n_episodes=n_episodes,
        n_way=n_way,
        n_shot=int(n_shots[-1]),
        n_query=n_query,
        sampling=sampling,
        random_state=random_state,
        told=False,
    )
    _check_shots(episodes, n_shots[-1])
    parts = [with_shots(episodes, n) for n in n_shots]
    results = {
        name: summarize(np.stack([score_episodes(model, part, metric) for part in parts]), episodes.task)
        for name, model in models.items()
    }
    return ShotsCurveDisplay(n_shots, results, str(metric))


@dataclass(eq=False, repr=False)
class ShotsCurveDisplay:
    """Scores against the number of support rows, from ``shots_curve``.

    Parameters
    ----------
    n_shots : int ndarray of shape (n_points,)
        In order.
    results : dict of str to Bunch
        Of each model, what ``evaluate`` returns, with an axis for ``n_shots`` before the others:
        ``scores`` of shape (n_points, n_episodes), ``mean``, ``interval`` and ``task_interval`` of shape
        (n_points,).
    metric : str
        Name of the scores.

    Attributes
    ----------
    ax_ : matplotlib Axes
        After ``plot``.
    figure_ : matplotlib Figure
        After ``plot``.
    """

    n_shots: np.ndarray
    results: dict
    metric: str

    def plot(self, ax=None):
        """Draw the means with their intervals over tasks, or, of a single task, over episodes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        self
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots()
        for name, result in self.results.items():
            half = np.where(np.isnan(result.task_interval), result.interval, result.task_interval)
            ax.errorbar(self.n_shots, result.mean, half, label=name, marker="o", capsize=2)
        ax.set(xscale="log", xlabel="n_shot", ylabel=self.metric)
        ax.set_xticks(self.n_shots, self.n_shots)
        ax.minorticks_off()
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _check_shots(episodes, n_shot):
    """Raise ValueError for a class, or a task of a regression, with too few rows for a support set."""
    given = episodes.tasks.given is not None
    needed, why = (
        (n_shot, " in its support set") if given else (n_shot + 1, ", one of them for the query set")
    )
    for name, label, n_rows in episodes.short_of(needed):
        label = "" if label is None else f", class {label!r}"
        raise ValueError(
            f"{name}{label} has {n_rows} rows; n_shots up to {n_shot} need {needed} or more{why}."
        )


def with_shots(episodes, n_shot):
    """The episodes with the first ``n_shot`` support rows of each class only."""
    rows = [(support[_first(episodes.labels[support], n_shot)], query) for support, query in episodes.rows]
    return replace(episodes, rows=rows)


def _first(codes, n):
    """Positions of the first ``n`` of each code, in order."""
    first = [np.flatnonzero(codes == code)[:n] for code in np.unique(codes)]
    return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *first]))
