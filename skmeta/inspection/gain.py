"""Who gains: what adaptation and the other tasks are worth to each task."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skmeta.estimators.adapted import last_of
from skmeta.estimators.answers import has_own_classes
from skmeta.estimators.few_shot import FewShotEstimator
from skmeta.estimators.meta_trained import MetaTrained
from skmeta.model_selection.evaluate import prepare, score_episodes
from skmeta.model_selection.intervals import task_interval
from skmeta.model_selection.shots_curve import with_shots
from skmeta.tasks.rows import pairs_of

GREY = "0.35"
OTHERS = {"prior": "the prior", "local": "a local model", "pooled": "the pooled model"}


def transfer_gain(
    model,
    tasks,
    *,
    local=None,
    pooled=None,
    n_episodes=600,
    n_way=None,
    n_shot=5,
    n_query=15,
    sampling="auto",
    metric=None,
    random_state=0,
):
    """What a model that is adapted to each task gains over others that a user would try.

    Scores of the same episodes are compared task by task: over the *prior*, the model adapted to no row,
    which tells what the support rows are worth; over a *local* model of these rows alone, which tells what
    the other tasks are worth; and over a *pooled* one, if it is passed. A task with a gain below zero is
    better served by the other model.

    Parameters
    ----------
    model : classifier or regressor of skmeta, or a fitted pipeline or search that ends in one
        Meta-trained.
    tasks : list of tuples
        As in ``evaluate``. Of tasks that training saw, gains are flattered.
    local : classifier or regressor, default=None
        A clone is fitted to each support set. None is scikit-learn's ``LogisticRegression`` or ``Ridge`` of
        standardised rows, whose missing values are means and whose categories are one-hot.
    pooled : fitted classifier or regressor, default=None
        Answers as it is. None compares with none.
    n_episodes : int, default=600
        As in ``evaluate``; ten or more of each task tell its gain.
    n_way, n_shot, n_query, sampling, metric, random_state
        As in ``evaluate``.

    Returns
    -------
    TransferGainDisplay
        Its ``plot`` draws the tasks in the order of their gains.

    Raises
    ------
    TypeError
        If ``model`` does not end in an estimator of skmeta.
    ValueError, FloatingPointError
        As ``evaluate``; of the local and the pooled model with their names.

    References
    ----------
    Standley et al., "Which Tasks Should Be Learned Together in Multi-task Learning?", ICML 2020: that some
    tasks are better off alone.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta import TMAMLRegressor
    >>> from skmeta.inspection import transfer_gain
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(12, 30, 3))
    >>> y = X[..., 0] + 3 * rng.normal(size=(12, 1)) + rng.normal(size=(12, 30))  # levels of their own
    >>> tasks = list(zip(X, y))
    >>> model = TMAMLRegressor(max_iter=10, random_state=0).fit(tasks[:9])
    >>> gain = transfer_gain(model, tasks[9:], n_episodes=30)
    >>> gain.gains["prior"].shape, bool((gain.gains["prior"] > 0).all())
    ((3,), True)
    """
    if isinstance(model, FrozenEstimator) or not isinstance(last_of(model), MetaTrained | FewShotEstimator):
        raise TypeError(
            "The 'model' parameter of transfer_gain must be a classifier or a regressor of skmeta, or a "
            f"fitted pipeline or search that ends in one. Got {model!r} instead."
        )
    if pooled is not None:
        check_is_fitted(pooled)
    others = {"local": _local(model, tasks) if local is None else local}
    others |= {} if pooled is None else {"pooled": FrozenEstimator(pooled)}
    episodes, metric = prepare(
        "transfer_gain",
        {"model": model, **others},
        tasks,
        metric,
        n_episodes=n_episodes,
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
        sampling=sampling,
        random_state=random_state,
    )
    adapted, scores = score_episodes(model, episodes, metric), {}
    if not has_own_classes([model]):
        scores["prior"] = score_episodes(model, with_shots(episodes, 0), metric)
    for name, other in others.items():
        try:
            scores[name] = score_episodes(other, episodes, metric)
        except ValueError as error:
            raise ValueError(f"The {name} model: {error} Pass another as {name!r}.") from error
    number = np.unique(episodes.task)
    gains, intervals = {}, {}
    for name, of_other in scores.items():
        of_tasks = [(adapted - of_other)[episodes.task == i] for i in number]
        gains[name] = np.array([gained.mean() for gained in of_tasks])
        # Of one task, its episodes are what is independent.
        intervals[name] = np.array([task_interval(gained, np.arange(len(gained))) for gained in of_tasks])
    return TransferGainDisplay(number, gains, intervals, str(metric))


def _local(model, tasks):
    """What users would fit to rows like these: a linear model of all that is in them, standardised."""
    X = pairs_of(tasks[0])[0][0]
    linear = LogisticRegression() if is_classifier(model) else Ridge()
    flat = FunctionTransformer(_flattened)
    known = SimpleImputer(keep_empty_features=True)
    numbers = make_pipeline(flat, known, StandardScaler(with_mean=not sparse.issparse(X)))
    if not hasattr(X, "dtypes"):
        return make_pipeline(numbers, linear)
    levels = OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")
    return make_pipeline(make_column_transformer(levels, remainder=numbers), linear)


def _flattened(rows):
    return rows.reshape(len(rows), -1) if np.ndim(rows) > 2 else rows


@dataclass(eq=False, repr=False)
class TransferGainDisplay:
    """Gains of each task, from ``transfer_gain``.

    Parameters
    ----------
    task : int ndarray of shape (n_tasks,)
        Numbers of the tasks that gave an episode.
    gains : dict of str to ndarray of shape (n_tasks,)
        Mean score of the adapted model less that of another: ``"prior"``, unless the model needs rows of two
        classes; ``"local"``; ``"pooled"``, if there is one.
    intervals : dict of str to ndarray of shape (n_tasks,)
        Half the width of the 95 % interval of each, over episodes of the task, which share its rows: it tells
        nothing of other tasks. NaN where a task gave one episode alone.
    metric : str
        Name of the scores.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes
        After ``plot``, one for each of ``gains``.
    figure_ : matplotlib Figure
        After ``plot``.
    """

    task: np.ndarray
    gains: dict
    intervals: dict
    metric: str

    def plot(self, axes=None, *, names=None):
        """Draw the gains over each other model, the tasks in their order, with intervals.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, default=None
            One for each of ``gains``; None makes a new figure.
        names : sequence of str, default=None
            What the tasks are called, by their numbers.

        Returns
        -------
        self
        """
        n_tasks = self.task.max() + 1
        if names is not None and len(names) < n_tasks:
            raise ValueError(f"names must have one for each of the {n_tasks} tasks. Got {len(names)}.")
        if axes is None:
            import matplotlib.pyplot as plt

            n = len(self.gains)
            _, axes = plt.subplots(1, n, figsize=(4.2 * n, 4), squeeze=False, layout="constrained")
        axes = np.ravel(axes)
        names = np.array([str(i) for i in range(n_tasks)]) if names is None else np.asarray(names)
        for ax, (name, gain) in zip(axes, self.gains.items(), strict=True):
            order = np.argsort(gain, kind="stable")
            place = np.arange(len(order))
            ax.bar(place, gain[order], color=np.where(gain[order] > 0, "tab:blue", "tab:red"))
            ax.errorbar(place, gain[order], self.intervals[name][order], fmt="none", color=GREY)
            ax.axhline(0, color="black", linewidth=0.8)
            labels = names[self.task[order]]
            turned = 90 if max(map(len, labels)) > 2 else 0
            ax.set_xticks(place, labels, rotation=turned, fontsize="small")
            won = (gain > 0).sum()
            title = f"Over {OTHERS[name]}: {won} of {len(gain)} tasks gain"
            ax.set(title=title, xlabel="task", ylabel=f"gain, {self.metric}")
        self.ax_, self.figure_ = axes, axes[0].figure
        return self
