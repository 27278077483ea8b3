"""The estimators: validate, encode labels, meta-train, adapt, predict."""

from skmeta.estimators.adapted import adapt, predict_interval
from skmeta.estimators.few_shot import FewShotClassifier, FewShotRegressor
from skmeta.estimators.per_task import PerTask
from skmeta.estimators.taml import TAMLClassifier, TAMLDetector, TAMLRegressor
from skmeta.estimators.tmaml import TMAMLClassifier, TMAMLDetector, TMAMLRegressor

__all__ = [
    "FewShotClassifier",
    "FewShotRegressor",
    "PerTask",
    "TAMLClassifier",
    "TAMLDetector",
    "TAMLRegressor",
    "TMAMLClassifier",
    "TMAMLDetector",
    "TMAMLRegressor",
    "adapt",
    "predict_interval",
]
