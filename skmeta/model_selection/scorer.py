"""A scorer of few-shot learning for searches over tasks."""

import numpy as np
from sklearn.base import is_regressor
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from skmeta.estimators.adapted import last_of
from skmeta.estimators.answers import has_own_classes
from skmeta.estimators.base import MetaEstimator
from skmeta.model_selection.evaluate import RULES, score_episodes, tell_of_few_shots
from skmeta.model_selection.metrics import Metric
from skmeta.parameter_rules import check_value
from skmeta.tasks.rows import is_task_list
from skmeta.tasks.scored import draw_scored


def few_shot_scorer(metric="accuracy", n_shot=5, random_state=0, *, sampling="auto"):
    """A ``scoring=`` for searches over tasks: the mean of a metric over tasks, after adapting to each.

    Of each task, ``n_shot`` rows are the support set, and the rest are scored; tasks that come with a query
    set are used as they are.

    Parameters
    ----------
    metric : str or callable, default="accuracy"
        As in ``evaluate``.
    n_shot : int, default=5
        Support rows, of each class in a stratified draw, in all in a natural one and in a regression. Where
        there are fewer than ``n_shot + 1``, half are support, which a warning tells.
    random_state : int, default=0
        Draws the support sets, the same for all candidates of a search.
    sampling : {"auto", "natural", "stratified"}, default="auto"
        As in ``evaluate``.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, groups=None)``, where ``estimator`` is one of skmeta or a pipeline
        or search that ends in one, and ``X`` is a list of tasks, or rows with ``groups``. It asks for
        ``groups`` where metadata routing is enabled.

    Raises
    ------
    ValueError
        If ``metric`` is not known or a number is out of range; when called, if no task can be
        split or the metric is not defined for one.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skmeta import TMAMLClassifier, few_shot_scorer
    >>> from skmeta.datasets import make_scanners
    >>> tasks = make_scanners(n_train=4, n_test=1, random_state=0).train
    >>> scoring = {"1shot": few_shot_scorer(n_shot=1), "5shot": few_shot_scorer("f1_macro", n_shot=5)}
    >>> clf = TMAMLClassifier(max_iter=2, random_state=0)
    >>> search = GridSearchCV(clf, {"inner_lr": [0.01, 0.1]}, scoring=scoring, refit="5shot", cv=2)
    >>> sorted(name for name in search.fit(tasks).cv_results_ if name.startswith("mean_test"))
    ['mean_test_1shot', 'mean_test_5shot']
    """
    draw = {"n_shot": n_shot, "random_state": random_state, "sampling": sampling}
    draw = {name: check_value("few_shot_scorer", name, value, RULES[name]) for name, value in draw.items()}
    return _FewShotScorer(Metric(metric), **draw)


class _FewShotScorer:
    def __init__(self, metric, n_shot, random_state, sampling):
        self.metric, self.n_shot, self.random_state, self.sampling = metric, n_shot, random_state, sampling

    def __repr__(self):
        return (
            f"few_shot_scorer({self.metric.metric!r}, n_shot={self.n_shot}, "
            f"random_state={self.random_state}, sampling={self.sampling!r})"
        )

    def get_metadata_routing(self):
        """Requests ``groups``, for scikit-learn's metadata routing."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="groups", alias=True)
        return request

    def __call__(self, estimator, X, y=None, groups=None):
        if not isinstance(last_of(estimator), MetaEstimator):
            raise TypeError(
                "estimator must end in one of skmeta, a classifier or regressor; it ends in a "
                f"{type(last_of(estimator)).__name__}."
            )
        check_is_fitted(estimator)
        if groups is None and not is_task_list(X):
            raise ValueError(
                "X must be a list of tasks, or rows with groups, the task of each. In a search, call "
                "sklearn.set_config(enable_metadata_routing=True) so that groups reach the scorer."
            )
        regression = is_regressor(estimator)
        episodes = draw_scored(
            X,
            y,
            groups,
            regression=regression,
            natural=self.sampling == "natural",
            own_classes=not regression and has_own_classes([estimator]),
            n_shot=self.n_shot,
            seed=self.random_state,
        )
        tell_of_few_shots("few_shot_scorer", episodes, self.n_shot)
        return float(np.mean(score_episodes(estimator, episodes, self.metric)))
