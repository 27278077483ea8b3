"""Few-shot evaluation: the same episodes for estimators of skmeta and of scikit-learn."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import accuracy_score
from sklearn.utils import Bunch

from skmeta.estimators._adapted import adapt, last_of
from skmeta.estimators._base import MetaEstimator
from skmeta.estimators._episodes import check_classes, draw_episodes
from skmeta.estimators._params import COUNT, NONE, Number, check_value
from skmeta.estimators._tasks import is_task_list, read_tasks


def evaluate(model, tasks, *, n_episodes=600, n_way=None, n_shot=5, n_query=15, random_state=0):
    """Accuracy of a model on episodes of tasks that it has not seen.

    Parameters
    ----------
    model : estimator
        One of skmeta, meta-trained, or a fitted pipeline or search that ends in one, which is adapted
        to each support set; or one of scikit-learn, a clone of which is fitted on it.
        ``FrozenEstimator(model)`` is not refitted: the pooled baseline.
    tasks : list of tuples
        As in ``fit``. Tasks that come with a query set are one episode each, whatever ``n_episodes``.
    n_episodes : int, default=600
        Episodes, 2 or more, spread evenly over the tasks.
    n_way : int or None, default=None
        Classes in an episode; None takes all of the task.
    n_shot, n_query : int, default=5, 15
        Support and query rows of each class.
    random_state : int, default=0
        The same number draws the same episodes, whatever the model, so that two models can be paired.

    Returns
    -------
    Bunch
        scores : ndarray of shape (n_episodes,)
        mean : float
        interval : float
            Half the width of the 95 % interval of the mean, ``1.96 * std / sqrt(n_episodes)``.

    Raises
    ------
    ValueError
        If a number is out of range, or a task cannot give an episode; it is named.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmeta import evaluate
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=1, n_test=2, random_state=0)
    >>> evaluate(LogisticRegression(), scanners.test, n_episodes=2, n_shot=2).scores.shape
    (2,)
    """
    for name, value, allowed in (
        ("n_episodes", n_episodes, [Number(Integral, 2)]),
        ("n_way", n_way, [Number(Integral, 2), NONE]),
        ("n_shot", n_shot, [COUNT]),
        ("n_query", n_query, [COUNT]),
        ("random_state", random_state, [Number(Integral, 0)]),
    ):
        check_value("evaluate", name, value, allowed)
    if not is_task_list(tasks):
        raise ValueError(
            f"tasks must be a list of tasks, each a tuple as in fit. Got {type(tasks).__name__} instead."
        )
    checked = read_tasks(BaseEstimator(), tasks, None, None, reset=True)
    classes, codes = np.unique(checked.y, return_inverse=True)
    check_classes(checked, classes, codes)
    ids = np.arange(checked.n_tasks if checked.given is not None else n_episodes) % checked.n_tasks
    shape = {"n_way": n_way, "n_shot": n_shot, "n_query": n_query}
    episodes = draw_episodes(checked, codes, ids, seed=random_state, **shape)
    truth = [checked.y[query] for _, query in episodes]
    supports, queries = zip(*_rows_of(tasks, checked, ids, episodes), strict=True)
    predicted = _predict_episodes(model, list(supports), list(queries))
    scores = np.array([accuracy_score(y, p) for y, p in zip(truth, predicted, strict=True)])
    return Bunch(scores=scores, mean=scores.mean(), interval=1.96 * scores.std(ddof=1) / np.sqrt(len(scores)))


def _predict_episodes(model, supports, queries):
    if isinstance(model, MetaEstimator):
        return model.predict_tasks(supports, queries)
    if isinstance(last_of(model), MetaEstimator):
        return [adapt(model, *s).predict(q) for s, q in zip(supports, queries, strict=True)]
    return [clone(model).fit(*s).predict(q) for s, q in zip(supports, queries, strict=True)]


def _rows_of(tasks, checked, ids, episodes):
    """``((X_support, y_support), X_query)`` of each episode, of the type that the user gave."""
    if checked.given is not None:
        for i in ids:
            X_support, y_support, X_query, _ = tasks[i]
            yield (X_support, y_support), X_query
        return
    first = checked.bounds()
    for i, (support, query) in zip(ids, episodes, strict=True):
        X = tasks[i][0]
        X = X.iloc if hasattr(X, "iloc") else X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)
        yield (X[support - first[i]], checked.y[support]), X[query - first[i]]
