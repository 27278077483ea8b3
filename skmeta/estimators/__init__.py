"""The estimators: validate, encode labels, meta-train, adapt, predict."""

from skmeta.estimators._adapted import adapt
from skmeta.estimators._few_shot import FewShotClassifier, FewShotRegressor
from skmeta.estimators._per_task import PerTask
from skmeta.estimators._taml import TAMLClassifier, TAMLRegressor
from skmeta.estimators._tmaml import TMAMLClassifier, TMAMLRegressor

__all__ = [
    "FewShotClassifier",
    "FewShotRegressor",
    "PerTask",
    "TAMLClassifier",
    "TAMLRegressor",
    "TMAMLClassifier",
    "TMAMLRegressor",
    "adapt",
]
