"""A model on episodes: adapted to each support set, or fitted on it, and scored on the query set."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import Bunch

from skmeta.estimators.answers import answers, has_own_classes
from skmeta.model_selection.intervals import episode_interval, task_interval
from skmeta.model_selection.metrics import Metric
from skmeta.parameter_rules import COUNT, NONE, SAMPLING, SEED, SIZE, Number, check_value
from skmeta.tasks.rows import is_task_list
from skmeta.tasks.scored import chunks, draw_scored

# What the arguments that say which episodes to draw may be.
RULES = {
    "n_episodes": [Number(Integral, 2)],
    "n_way": [Number(Integral, 2), NONE],
    "n_shot": [SIZE],
    "n_query": [COUNT],
    "sampling": [SAMPLING],
    "random_state": [SEED],
}


def evaluate(
    model,
    tasks,
    *,
    n_episodes=600,
    n_way=None,
    n_shot=5,
    n_query=15,
    sampling="auto",
    metric=None,
    random_state=0,
):
    """Scores of a model on episodes of tasks that it has not seen.

    Parameters
    ----------
    model : classifier or regressor
        One of skmeta, meta-trained, or a fitted pipeline or search that ends in one, which is adapted
        to each support set; or one of scikit-learn, a clone of which is fitted on it.
        ``FrozenEstimator(model)`` is not refitted: the pooled baseline.
    tasks : list of tuples
        As in ``fit``. Tasks that come with a query set are one episode each, whatever ``n_episodes``. The
        rows of a ``TaskList`` are loaded as they are used, one task after another.
        Weights, as a third part, count in the metric, and where a model is adapted or fitted, if its ``fit``
        takes them.
    n_episodes : int, default=600
        Episodes, 2 or more, spread evenly over the tasks; fewer than there are tasks are of the first.
    n_way : int or None, default=None
        Classes in an episode of a stratified draw; None takes all of the task. A regression has none.
    n_shot, n_query : int, default=5, 15
        Support and query rows, of each class in a stratified draw, in all in a natural one and in a
        regression. Where there are fewer than ``n_shot + 1``, half are support, which a warning tells.
    sampling : {"auto", "natural", "stratified"}, default="auto"
        Whether rows are drawn of each class, or of the task at random, whatever their class. ``"auto"`` is
        stratified for classifiers. A regression has no classes.
    metric : str, callable or None, default=None
        What scores the answers for a query set, more being better: a name that
        ``sklearn.metrics.get_scorer`` knows, a scorer ``(estimator, X, y) -> float``, such as
        ``make_scorer`` makes, or a function ``metric(y_true, y_pred) -> float``. Probabilities are of all
        classes that a model knows for a task, those that its query set lacks too; areas under curves are
        of the classes that it has. None is ``"accuracy"`` for
        classifiers and ``"neg_mean_absolute_error"``, in the units of ``y``, for regressors: R² is not
        defined for one query row and wild for a few, and a mean of squares is decided by the few worst
        episodes.
    random_state : int, default=0
        The same number draws the same episodes, whatever the model, as long as it takes tasks of one class.

    Returns
    -------
    Bunch
        scores : ndarray of shape (n_episodes,)
        task : int ndarray of shape (n_episodes,)
            Number of each episode's task, in order.
        mean : float
        interval : float
            Half the width of the 95 % interval of the mean as it is published, ``1.96 * std /
            sqrt(n_episodes)``. It speaks of other episodes of *these* tasks: draw more of them, and it gets
            as narrow as you like.
        task_interval : float
            The same for the mean over *new* tasks: tasks, not episodes, are taken for independent, by
            the cluster-robust standard error and Student's t of ``n_tasks - 1`` degrees of freedom. NaN
            for a single task.

    Raises
    ------
    TypeError
        If ``model`` is neither a classifier nor a regressor.
    ValueError
        If an argument is not allowed, no task can give an episode, or the metric is not defined for one.
        Tasks that cannot give one are left out, as in ``fit``, which a warning tells.
    FloatingPointError
        If an answer is not finite.

    References
    ----------
    Lafargue et al., "Oops, I Sampled it Again: Reinterpreting Confidence Intervals in Few-Shot Learning",
    2024, arXiv 2409.02850: intervals over episodes that are drawn again from the same rows are too narrow.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmeta import evaluate
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=1, n_test=2, random_state=0)
    >>> evaluate(LogisticRegression(), scanners.test, n_episodes=2, n_shot=2).scores.shape
    (2,)
    """
    episodes, metric = prepare(
        "evaluate",
        {"model": model},
        tasks,
        metric,
        n_episodes=n_episodes,
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
        sampling=sampling,
        random_state=random_state,
    )
    return summarize(score_episodes(model, episodes, metric), episodes.task)


def prepare(owner, models, tasks, metric, *, told=True, **draw):
    """``ScoredEpisodes`` and ``Metric`` for a dict of models, or the error of a bad call of ``owner``.

    With ``told``, a warning tells of tasks with fewer support rows than asked for.
    """
    regression = are_regressors(owner, models)
    draw = {name: check_value(owner, name, value, RULES[name]) for name, value in draw.items()}
    if regression:
        check_value(f"{owner}, for a regressor,", "n_way", draw["n_way"], [NONE])
    metric = Metric(metric, regression)
    if not is_task_list(tasks):
        raise ValueError(
            f"tasks must be a list of tasks, each a tuple as in fit. Got {type(tasks).__name__} instead."
        )
    episodes = draw_scored(
        tasks,
        regression=regression,
        natural=draw.pop("sampling") == "natural",
        own_classes=not regression and has_own_classes(models.values()),
        seed=draw.pop("random_state"),
        **draw,
    )
    if len(episodes.rows) < 2:
        raise ValueError("tasks that come with a query set must be 2 or more; got 1.")
    if told:
        tell_of_few_shots(owner, episodes, draw["n_shot"])
    return episodes, metric


def tell_of_few_shots(owner, episodes, n_shot):
    """Warn if some tasks have too few rows for ``n_shot`` of them to be support rows."""
    few = (
        {} if episodes.tasks.given is not None else {name: n for name, _, n in episodes.short_of(n_shot + 1)}
    )
    if few:
        name, n_rows = next(iter(few.items()))
        warnings.warn(
            f"n_shot={n_shot} of {owner} is more than some tasks can give, {len(few)} of "
            f"{episodes.tasks.n_tasks}, such as {name} with {n_rows} rows (of a class, in a stratified "
            "draw): half of these are its support set.",
            stacklevel=4,
        )


def score_episodes(model, episodes, metric):
    """Scores of the query sets, an array of shape (n_episodes,)."""
    return np.array(
        [
            metric.score(answer, episode)
            for chunk in chunks(episodes)
            for episode, answer in zip(chunk, answers(model, chunk), strict=True)
        ]
    )


def summarize(scores, task):
    """Bunch of the ``scores``, shape (..., n_episodes), their mean and its intervals."""
    return Bunch(
        scores=scores,
        task=task,
        mean=scores.mean(axis=-1),
        interval=episode_interval(scores),
        task_interval=task_interval(scores, task),
    )


def are_regressors(owner, models):
    """Whether a dict of models are regressors; TypeError if not all are, or not all are classifiers."""
    for name, model in models.items():
        # Of a class, or of what has no tags, scikit-learn's own error would not name the argument.
        has_tags = hasattr(model, "__sklearn_tags__") and not isinstance(model, type)
        if not has_tags or not (is_classifier(model) or is_regressor(model)):
            raise TypeError(
                f"The {name!r} parameter of {owner} must be a classifier or a regressor. "
                f"Got {model!r} instead."
            )
    kinds = [is_regressor(model) for model in models.values()]
    if len(set(kinds)) > 1:
        got = ", ".join(f"{name}={model!r}" for name, model in models.items())
        raise TypeError(
            f"The models of {owner} must all be classifiers or all be regressors. Got {got} instead."
        )
    return kinds[0]
