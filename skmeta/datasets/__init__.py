"""Families of tasks, synthetic and real, and the list that loads tasks as they are used.

``make_scanners`` needs nothing but scikit-learn; ``fetch_omniglot`` reads a local copy or downloads once.
"""

from ._omniglot import fetch_omniglot
from ._scanners import Scanner, make_scanners, scan
from ._task_list import TaskList

__all__ = ["Scanner", "TaskList", "fetch_omniglot", "make_scanners", "scan"]
