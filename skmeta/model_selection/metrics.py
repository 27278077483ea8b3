"""What an episode is scored by: a metric of the predictions, of which more is better."""

from sklearn.metrics import get_scorer
from sklearn.utils import Tags, TargetTags


class Metric:
    """``metric(y_true, y_pred) -> float``, a callable or by a name that scikit-learn knows.

    None is the default of evaluate. For regressors it is an error in the units of ``y``: R² is not defined
    for one query row and wild for a few, and a mean of squares is that of the few worst episodes.
    """

    def __init__(self, metric, regression):
        if metric is None:
            metric = "neg_mean_absolute_error" if regression else "accuracy"
        self.metric = metric
        self.scorer = None if callable(metric) else named_scorer(metric)

    def __str__(self):
        return getattr(self.metric, "__name__", str(self.metric))

    def score(self, episode, y_pred):
        """Score of an ``Episode``, a float; an error names its task."""
        try:
            value = float(self._of(episode.y_query, y_pred))
        except AttributeError as error:  # scikit-learn's, for a scorer that does not ask predict
            if self.scorer is None:
                raise
            raise ValueError(
                f"metric={self.metric!r} needs more than predictions. few_shot_scorer takes it."
            ) from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"{episode.name}: metric={self.metric!r}: {error}") from error
        if value != value:
            raise ValueError(
                f"{episode.name}: metric={self.metric!r} is not defined for {len(y_pred)} query rows."
            )
        return value

    def _of(self, y_true, y_pred):
        if self.scorer is None:
            return self.metric(y_true, y_pred)
        return self.scorer(_Predictions(), y_pred, y_true)


class _Predictions:
    """What a scorer asks, if the rows that it passes are the predictions: they come from batched calls."""

    def predict(self, X):
        return X

    def __sklearn_tags__(self):
        return Tags(estimator_type=None, target_tags=TargetTags(required=False))


def named_scorer(metric):
    """scikit-learn's scorer of that name, or ValueError."""
    try:
        return get_scorer(metric)
    except ValueError as error:
        raise ValueError(f"metric={metric!r}: {error}") from error
