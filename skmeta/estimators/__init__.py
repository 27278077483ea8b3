"""The estimators: validate, encode labels, meta-train, adapt, predict."""

from skmeta.estimators._adapted import adapt
from skmeta.estimators._taml import TAMLClassifier
from skmeta.estimators._tmaml import TMAMLClassifier

__all__ = ["TAMLClassifier", "TMAMLClassifier", "adapt"]
