"""Families of tasks, synthetic and real.

``make_*`` need nothing but scikit-learn; ``fetch_*`` read a local copy or download once.
"""

from ._clinc150 import fetch_clinc150
from ._movielens import fetch_movielens
from ._omniglot import fetch_omniglot
from ._pages import make_pages
from ._scanners import Scanner, make_scanners, scan

__all__ = [
    "Scanner",
    "fetch_clinc150",
    "fetch_movielens",
    "fetch_omniglot",
    "make_pages",
    "make_scanners",
    "scan",
]
