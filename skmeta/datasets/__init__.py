"""Families of tasks, synthetic and real.

``make_scanners`` needs nothing but scikit-learn; ``fetch_omniglot`` reads a local copy or downloads once.
"""

from ._omniglot import fetch_omniglot
from ._scanners import Scanner, make_scanners, scan

__all__ = ["Scanner", "fetch_omniglot", "make_scanners", "scan"]
