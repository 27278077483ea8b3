"""The estimators: validate, encode labels, meta-train, adapt, predict."""

from skmeta.estimators.adapted import adapt, predict_interval
from skmeta.estimators.few_shot import FewShotClassifier, FewShotRegressor
from skmeta.estimators.per_task import PerTask
from skmeta.estimators.taml import TAMLClassifier, TAMLRegressor
from skmeta.estimators.tmaml import TMAMLClassifier, TMAMLRegressor

__all__ = [
    "FewShotClassifier",
    "FewShotRegressor",
    "PerTask",
    "TAMLClassifier",
    "TAMLRegressor",
    "TMAMLClassifier",
    "TMAMLRegressor",
    "adapt",
    "predict_interval",
]
