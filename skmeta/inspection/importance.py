"""Which features matter, before and after a model is adapted to a task."""

from dataclasses import dataclass

import numpy as np
from sklearn.inspection import permutation_importance
from sklearn.utils import Bunch, check_random_state

from skmeta.estimators import adapt
from skmeta.estimators.adapted import last_of, prior_of
from skmeta.estimators.answers import has_own_classes
from skmeta.parameter_rules import COUNT, check_value


def feature_importance(
    model, X_support, y_support, X, y, *, scoring=None, n_repeats=5, n_jobs=None, random_state=None
):
    """Permutation importance of each feature to the prior, adapted to no row, and to the adapted model.

    Both are scikit-learn's ``permutation_importance``: how much the score of labelled rows falls if a column
    is shuffled. What a feature that matters only after adaptation means differs from task to task.

    Parameters
    ----------
    model : estimator of skmeta, or a fitted pipeline or search that ends in one
        Meta-trained: a regressor, or a classifier whose labels tasks share, since a prior has no answer to
        those of a task's own. It stays as it is.
    X_support : {array, DataFrame} of shape (n_support, n_features)
    y_support : array of shape (n_support,)
    X : {array, DataFrame} of shape (n_rows, n_features)
        Other rows of the task, by which importance is told.
    y : array of shape (n_rows,)
    scoring : str or callable, default=None
        One metric, as in ``permutation_importance``; None is the model's ``score``: accuracy or R². A search
        whose own scoring takes tasks needs one.
    n_repeats : int, default=5
        How often each column is shuffled.
    n_jobs : int, default=None
    random_state : int, RandomState or None, default=None

    Returns
    -------
    FeatureImportanceDisplay
        Its ``plot`` draws both.

    Raises
    ------
    TypeError
        If ``model`` does not end in an estimator of skmeta, or ``scoring`` has several metrics.
    NotFittedError
        If it is not meta-trained.
    ValueError
        If its labels are a task's own, and as ``permutation_importance``.

    References
    ----------
    Breiman, "Random Forests", Machine Learning 45, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta import TMAMLRegressor
    >>> from skmeta.inspection import feature_importance
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(9, 20, 2))
    >>> y = X[..., 0] + rng.normal(size=(9, 1)) * X[..., 1]  # the second slope is a task's own
    >>> model = TMAMLRegressor(max_iter=10, random_state=0).fit(list(zip(X[:8], y[:8])))
    >>> found = feature_importance(model, X[8, :10], y[8, :10], X[8, 10:], y[8, 10:], random_state=0)
    >>> bool(found.adapted.importances_mean[1] > found.prior.importances_mean[1] + 0.1)
    True
    """
    if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
        raise TypeError(
            "The 'scoring' parameter of feature_importance must be one metric, a str or a callable. "
            f"Got {scoring!r} instead."
        )
    seed = check_random_state(random_state).randint(2**31 - 1)  # both see the same shuffled columns
    adapted = adapt(model, X_support, y_support)
    if has_own_classes([adapted]):
        raise ValueError(
            f"This {type(last_of(adapted)).__name__} has no answer without a row, since labels are a task's "
            "own. Ask scikit-learn's permutation_importance of the adapted model."
        )
    asked = {"scoring": scoring, "n_repeats": n_repeats, "n_jobs": n_jobs, "random_state": seed}
    both = prior_of(model, X_support, y_support), adapted
    found = [permutation_importance(one, X, y, **asked) for one in both]
    names = getattr(X, "columns", [f"feature {i}" for i in range(np.shape(X)[1])])
    names = np.array([str(name) for name in names], dtype=object)
    return FeatureImportanceDisplay(*found, names)


@dataclass(eq=False, repr=False)
class FeatureImportanceDisplay:
    """Importance of each feature before and after adaptation, from ``feature_importance``.

    Parameters
    ----------
    prior, adapted : Bunch
        As ``permutation_importance`` returns them: ``importances_mean``, ``importances_std`` of shape
        (n_features,), ``importances`` of shape (n_features, n_repeats).
    names : ndarray of shape (n_features,)

    Attributes
    ----------
    ax_ : matplotlib Axes
        After ``plot``.
    figure_ : matplotlib Figure
        After ``plot``.
    """

    prior: Bunch
    adapted: Bunch
    names: np.ndarray

    def plot(self, ax=None, *, n_features=10):
        """Draw two bars for each feature, the most important to the adapted model first.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        n_features : int, default=10
            Of more features, those that matter most to one of the models are drawn.

        Returns
        -------
        self
        """
        check_value("plot", "n_features", n_features, [COUNT])
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(layout="constrained")
        prior, adapted = self.prior, self.adapted
        matters = np.maximum(prior.importances_mean, adapted.importances_mean)
        drawn = np.argsort(-matters, kind="stable")[:n_features]
        drawn = drawn[np.argsort(-adapted.importances_mean[drawn], kind="stable")]
        place = np.arange(len(drawn))
        kinds = ("before: the prior", prior, "lightgrey"), ("after adaptation", adapted, "tab:blue")
        for shift, (label, found, color) in zip((-0.2, 0.2), kinds, strict=True):
            spread = found.importances_std[drawn]
            ax.barh(place + shift, found.importances_mean[drawn], 0.4, xerr=spread, label=label, color=color)
        ax.set_yticks(place, self.names[drawn])
        ax.invert_yaxis()
        ax.set(xlabel="how much the score falls if the feature is shuffled")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
