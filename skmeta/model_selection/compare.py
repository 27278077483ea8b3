"""Two models on the same episodes."""

from sklearn.utils import Bunch

from skmeta.model_selection.evaluate import prepare, score_episodes, summarize


def compare(
    a,
    b,
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
    """Difference of two models on the same episodes, with its interval.

    Episodes that are hard for one model are hard for the other, so the interval of the paired difference
    is narrower than those of the two means.

    Parameters
    ----------
    a, b : classifiers or regressors
        As ``model`` in ``evaluate``.
    tasks, n_episodes, n_way, n_shot, n_query, sampling, metric, random_state
        As in ``evaluate``.

    Returns
    -------
    Bunch
        a, b : Bunch
            What ``evaluate`` returns for each.
        differences : ndarray of shape (n_episodes,)
            ``a.scores - b.scores``.
        difference : float
            Their mean: positive where ``a`` is better.
        interval : float
            Half the width of the 95 % interval of the difference over episodes of *these* tasks.
        task_interval : float
            The same over *new* tasks, as in ``evaluate``. Report this one: ``a`` is better than ``b`` on
            tasks of this kind where ``difference > task_interval``. NaN for a single task.

    Raises
    ------
    TypeError
        If ``a`` and ``b`` are not both classifiers or both regressors.
    ValueError
        As in ``evaluate``.

    References
    ----------
    Lafargue et al., "Oops, I Sampled it Again: Reinterpreting Confidence Intervals in Few-Shot Learning",
    2024, arXiv 2409.02850.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skmeta import compare
    >>> from skmeta.datasets import make_scanners
    >>> tasks = make_scanners(n_train=1, n_test=10, random_state=0).test
    >>> result = compare(LogisticRegression(), KNeighborsClassifier(1), tasks, n_episodes=20)
    >>> bool(result.difference == result.differences.mean())
    True
    """
    episodes, metric = prepare(
        "compare",
        {"a": a, "b": b},
        tasks,
        metric,
        n_episodes=n_episodes,
        n_way=n_way,
        n_shot=n_shot,
        n_query=n_query,
        sampling=sampling,
        random_state=random_state,
    )
    of_a, of_b = (summarize(score_episodes(model, episodes, metric), episodes.task) for model in (a, b))
    paired = summarize(of_a.scores - of_b.scores, episodes.task)
    return Bunch(
        a=of_a,
        b=of_b,
        differences=paired.scores,
        difference=paired.mean,
        interval=paired.interval,
        task_interval=paired.task_interval,
    )
