"""A scorer of few-shot learning for searches over tasks."""

from numbers import Integral

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer

# Private by name, but documented; nothing public takes rows of whatever container a search may hold.
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from skmeta.estimators.adapted import adapt, last_of
from skmeta.estimators.base import MetaEstimator
from skmeta.estimators.few_shot import FewShotClassifier, FewShotRegressor
from skmeta.model_selection.metrics import named_scorer
from skmeta.parameter_rules import COUNT, Number, check_value
from skmeta.tasks.checks_of_episodes import draw_episodes
from skmeta.tasks.rows import (
    Tasks,
    check_lengths,
    check_list,
    is_task_list,
    number_groups,
    task_names,
)


def few_shot_scorer(metric="accuracy", n_shot=5, random_state=0):
    """A ``scoring=`` for searches over tasks: the mean of a metric over tasks, after adapting to each.

    Of each task, ``n_shot`` rows of each class (of a task, in a regression) are the support set, and the
    rest are scored; a class with fewer than ``n_shot + 1`` rows gives half of them. A classifier's
    answers are among the classes of the support set.

    Parameters
    ----------
    metric : str or callable, default="accuracy"
        A name that ``sklearn.metrics.get_scorer`` knows, or a scorer ``(estimator, X, y) -> float``.
    n_shot : int, default=5
    random_state : int, default=0
        Draws the support sets, the same for all candidates of a search.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, groups=None)``, where ``estimator`` is one of skmeta or a pipeline
        or search that ends in one, and ``X`` is a list of tasks, or rows with ``groups``. It asks for
        ``groups`` where metadata routing is enabled.

    Raises
    ------
    ValueError
        If ``metric`` is not known or a number is out of range; when called, if a task cannot be split
        or the metric is not defined for it.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skmeta import TMAMLClassifier, few_shot_scorer
    >>> from skmeta.datasets import make_scanners
    >>> tasks = make_scanners(n_train=6, n_test=1, random_state=0).train
    >>> scoring = {"1shot": few_shot_scorer(n_shot=1), "5shot": few_shot_scorer("f1_macro", n_shot=5)}
    >>> clf = TMAMLClassifier(max_iter=2, random_state=0)
    >>> search = GridSearchCV(clf, {"inner_lr": [0.01, 0.1]}, scoring=scoring, refit="5shot", cv=2)
    >>> sorted(name for name in search.fit(tasks).cv_results_ if name.startswith("mean_test"))
    ['mean_test_1shot', 'mean_test_5shot']
    """
    for name, value, allowed in (
        ("n_shot", n_shot, [COUNT]),
        ("random_state", random_state, [Number(Integral, 0)]),
    ):
        check_value("few_shot_scorer", name, value, allowed)
    return _FewShotScorer(metric, n_shot, random_state)


class _FewShotScorer:
    def __init__(self, metric, n_shot, random_state):
        if not callable(metric):
            named_scorer(metric)
        self.metric, self.n_shot, self.random_state = metric, n_shot, random_state

    def __repr__(self):
        return f"few_shot_scorer({self.metric!r}, n_shot={self.n_shot}, random_state={self.random_state})"

    def get_metadata_routing(self):
        """Requests ``groups``, for scikit-learn's metadata routing."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="groups", alias=True)
        return request

    def __call__(self, estimator, X, y=None, groups=None):
        if not isinstance(last_of(estimator), MetaEstimator):
            raise TypeError(
                f"estimator must end in one of skmeta; it ends in a {type(last_of(estimator)).__name__}."
            )
        check_is_fitted(estimator)
        scorer = get_scorer(self.metric)
        scores = []
        for i, (name, task) in enumerate(_named_tasks(X, y, groups)):
            support, (X_query, y_query) = self._split(estimator, name, task, i)
            try:
                scores.append(scorer(_adapted_view(estimator, support, y_query), X_query, y_query))
            except (AttributeError, ValueError) as error:  # a regressor has no probabilities
                raise ValueError(f"{name}: {error}") from error
        return float(np.mean(scores))

    def _split(self, estimator, name, task, i):
        if len(task) == 4:
            return task[:2], task[2:]
        X, y = task
        try:
            check_consistent_length(X, y)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        codes = np.zeros(len(y), dtype=np.int64)
        if is_classifier(estimator):
            codes = np.unique(np.asarray(y), return_inverse=True)[1]
        rows = Tasks(None, codes, np.zeros(len(codes), dtype=np.int64), [name])
        shape = {"n_way": None, "n_shot": self.n_shot, "n_query": len(codes)}
        ((support, query),) = draw_episodes(rows, codes, [0], seed=self.random_state + i, **shape)
        if len(query) == 0:
            raise ValueError(f"{name} has no row left to score beside its support set.")
        return [tuple(_safe_indexing(part, index) for part in (X, y)) for index in (support, query)]


def _named_tasks(X, y, groups):
    if is_task_list(X):
        check_list(X, y, groups)
        return _named_list(X)
    if groups is None:
        raise ValueError(
            "X must be a list of tasks, or rows with groups, the task of each. In a search, call "
            "sklearn.set_config(enable_metadata_routing=True) so that groups reach the scorer."
        )
    if y is None:
        raise ValueError("y is None, but X has rows, whose y is needed to score them.")
    check_consistent_length(X, y)
    ids, task = number_groups(groups, len(y))
    rows = ((name, np.flatnonzero(task == i)) for i, name in enumerate(ids))
    return ((f"task {name!r}", (_safe_indexing(X, r), _safe_indexing(y, r))) for name, r in rows)


def _named_list(X):
    sizes = set()
    for name, task in zip(task_names(X), X, strict=True):
        sizes.add(len(task))
        check_lengths(sizes)
        yield name, task


def _adapted_view(estimator, support, y_query):
    """The estimator adapted to a task, with the classes of its support set where that is enough."""
    if not is_classifier(estimator):
        return FewShotRegressor(estimator).fit(*support)
    if np.isin(np.asarray(y_query), np.asarray(support[1])).all():
        return FewShotClassifier(estimator).fit(*support)
    return adapt(estimator, *support)
