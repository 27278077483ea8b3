"""A model on episodes: adapted to each support set, or fitted on it, and scored on the query set."""

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

from skmeta.estimators.adapted import adapt, last_of
from skmeta.estimators.base import MetaEstimator
from skmeta.model_selection.episodes import check_draw, draw_tasks
from skmeta.model_selection.intervals import episode_interval, task_interval
from skmeta.model_selection.metrics import Metric


def evaluate(model, tasks, *, n_episodes=600, n_way=None, n_shot=5, n_query=15, metric=None, random_state=0):
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
    n_episodes : int, default=600
        Episodes, 2 or more, spread evenly over the tasks; fewer than there are tasks are of the first.
    n_way : int or None, default=None
        Classes in an episode; None takes all of the task. A regression has none.
    n_shot, n_query : int, default=5, 15
        Support and query rows of each class, in a regression of each task.
    metric : str, callable or None, default=None
        What scores the predictions of a query set: a callable ``metric(y_true, y_pred) -> float``, or a
        name that ``sklearn.metrics.get_scorer`` knows, of which greater is always better; not one that
        needs probabilities. None is ``"accuracy"`` for classifiers and ``"neg_mean_absolute_error"``, in
        the units of ``y``, for regressors: R² is not defined for one query row and wild for a few, and a
        mean of squares is decided by the few worst episodes.
    random_state : int, default=0
        The same number draws the same episodes, whatever the model.

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
        If an argument is not allowed, a task cannot give an episode, or the metric is not defined for it.

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
        random_state=random_state,
    )
    return summarize(score_episodes(model, episodes, metric), episodes.task)


def prepare(owner, models, tasks, metric, **draw_params):
    """``Episodes`` and ``Metric`` for the models, a dict by name, or the error of a bad call of ``owner``."""
    regression = _are_regressors(owner, models)
    check_draw(owner, regression, draw_params)
    metric = Metric(metric, regression)
    return draw_tasks(tasks, regression, **draw_params), metric


def score_episodes(model, episodes, metric):
    """Scores of the query sets, an array of shape (n_episodes,)."""
    return np.array(
        [
            metric.score(episode, y_pred)
            for chunk in episodes.chunks()
            for episode, y_pred in zip(chunk, _predict(model, chunk), strict=True)
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


def _predict(model, episodes):
    """Predictions for the query set of each of the episodes, a list."""
    if not isinstance(model, MetaEstimator):
        return [_predict_one(model, episode) for episode in episodes]
    supports = [(episode.X_support, episode.y_support) for episode in episodes]
    names = [episode.name for episode in episodes]
    return model._predict_named(names, supports, [episode.X_query for episode in episodes])


def _predict_one(model, episode):
    try:
        return _for_task(model, episode.X_support, episode.y_support).predict(episode.X_query)
    except NotFittedError:
        raise
    except ValueError as error:
        raise ValueError(f"{episode.name}: {error}") from error


def _for_task(model, X, y):
    """A copy of the model, adapted to a support set or fitted on it."""
    if isinstance(last_of(model), MetaEstimator) and not isinstance(model, FrozenEstimator):
        return adapt(model, X, y)
    return clone(model).fit(X, y)


def _are_regressors(owner, models):
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
