"""Few-shot evaluation: the same episodes for estimators of skmeta and of scikit-learn."""

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import accuracy_score
from sklearn.utils import Bunch

from skmeta.estimators._base import MetaEstimator
from skmeta.estimators._episodes import draw_episodes
from skmeta.estimators._tasks import read_tasks


def evaluate(model, tasks, *, n_episodes=600, n_way=None, n_shot=5, n_query=15, random_state=0):
    """Accuracy of a model on episodes of tasks that it has not seen.

    Parameters
    ----------
    model : estimator
        One of skmeta, meta-trained, which is adapted to each support set; or one of scikit-learn, a
        clone of which is fitted on it. ``FrozenEstimator(model)`` is not refitted: the pooled baseline.
    tasks : list of tuples
        As in ``fit``. Tasks that come with a query set are used as they are.
    n_episodes : int, default=600
        Episodes, spread evenly over the tasks.
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

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmeta import evaluate
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=1, n_test=2, random_state=0)
    >>> evaluate(LogisticRegression(), scanners.test, n_episodes=2, n_shot=2).scores.shape
    (2,)
    """
    tasks = read_tasks(BaseEstimator(), tasks, None, None, reset=True)
    codes = np.unique(tasks.y, return_inverse=True)[1]
    ids = np.arange(n_episodes) % tasks.n_tasks
    shape = {"n_way": n_way, "n_shot": n_shot, "n_query": n_query}
    episodes = draw_episodes(tasks, codes, ids, seed=random_state, **shape)
    supports = [(tasks.X[support], tasks.y[support]) for support, _ in episodes]
    queries = [tasks.X[query] for _, query in episodes]
    if isinstance(model, MetaEstimator):
        predicted = model.predict_tasks(supports, queries)
    else:
        predicted = [clone(model).fit(*s).predict(q) for s, q in zip(supports, queries, strict=True)]
    pairs = zip(episodes, predicted, strict=True)
    scores = np.array([accuracy_score(tasks.y[query], p) for (_, query), p in pairs])
    return Bunch(scores=scores, mean=scores.mean(), interval=1.96 * scores.std(ddof=1) / np.sqrt(len(scores)))
