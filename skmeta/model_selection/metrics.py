"""What an episode is scored by: a metric of the answers, of which more is better."""

import inspect

import numpy as np
from sklearn import config_context
from sklearn.metrics import brier_score_loss, get_scorer

from skmeta.estimators.answers import ClassAnswers

# Scores of the probabilities of all classes that a model knows, of which a query set need not have each.
OF_ALL_CLASSES = (
    "neg_log_loss",
    "d2_log_loss_score",
    "d2_brier_score",
    "top_k_accuracy",
)
if "labels" in inspect.signature(brier_score_loss).parameters:  # of two classes alone before scikit-learn 1.7
    OF_ALL_CLASSES += ("neg_brier_score",)
# Scores of an order of rows for each class, which says nothing of a class that a query set has not.
OF_CLASSES_ASKED_FOR = (
    "average_precision",
    "roc_auc",
    "roc_auc_ovo",
    "roc_auc_ovo_weighted",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
)


class Metric:
    """A name that scikit-learn knows, a scorer ``(estimator, X, y)`` or a function ``(y_true, y_pred)``.

    None is the default of evaluate. For regressors it is an error in the units of ``y``: R² is not defined
    for one query row and wild for a few, and a mean of squares is that of the few worst episodes.
    """

    def __init__(self, metric, regression=False):
        if metric is None:
            metric = "neg_mean_absolute_error" if regression else "accuracy"
        self.metric, self.scorer = metric, metric
        if not callable(metric):
            try:
                self.scorer = get_scorer(metric)
            except ValueError as error:
                raise ValueError(f"metric={metric!r}: {error}") from error
        elif _is_of_predictions(metric):
            self.scorer = lambda answers, X, y, **weight: metric(y, answers.predict(X), **weight)

    def __str__(self):
        return getattr(self.metric, "__name__", str(self.metric))

    def score(self, answers, episode):
        """Score of an ``Episode``, a float, by an estimator that answers for it; an error names its task."""
        try:
            value = float(self._score(answers, episode))
        except (AttributeError, TypeError, ValueError) as error:
            # Of a name, that a regressor has no probabilities; of a callable, its own.
            if isinstance(error, AttributeError) and callable(self.metric):
                raise
            why = "needs more than the model gives: " if isinstance(error, AttributeError) else ""
            if isinstance(error, TypeError) and "sample_weight" in str(error):
                why = "takes no weights, which the tasks have; pass one that does, or tasks (X, y): "
            raise ValueError(f"{episode.name}: metric={self.metric!r}: {why}{error}") from error
        if value != value:
            raise ValueError(
                f"{episode.name}: metric={self.metric!r} is not defined for its "
                f"{len(episode.y_query)} query rows."
            )
        return value

    def _score(self, answers, episode):
        X, y = episode.X_query, episode.y_query
        weight = {} if episode.query_weight is None else {"sample_weight": episode.query_weight}
        if self.metric in OF_ALL_CLASSES and hasattr(answers, "classes_"):
            with config_context(enable_metadata_routing=True):  # a scorer takes no labels without
                return self.scorer(answers, X, y, labels=answers.classes_, **weight)
        if self.metric in OF_CLASSES_ASKED_FOR and isinstance(answers, ClassAnswers):
            classes = np.unique(y)
            answers = answers.among(classes, names=classes)
        return self.scorer(answers, X, y, **weight)


def _is_of_predictions(metric):
    """Whether a callable takes the truth and the predictions, as opposed to a scorer."""
    try:
        parameters = list(inspect.signature(metric).parameters.values())
    except (TypeError, ValueError):  # some builtins do not tell
        return True
    positional = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [p for p in parameters if p.kind in positional]
    return len(parameters) == 2 or (len(parameters) > 0 and parameters[0].name.startswith("y"))
