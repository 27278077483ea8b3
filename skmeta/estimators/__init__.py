"""The estimators: validate, encode labels, meta-train, adapt, predict."""

from skmeta.estimators._adapted import adapt
from skmeta.estimators._taml import TAMLClassifier, TAMLRegressor
from skmeta.estimators._tmaml import TMAMLClassifier, TMAMLRegressor

__all__ = ["TAMLClassifier", "TAMLRegressor", "TMAMLClassifier", "TMAMLRegressor", "adapt"]
