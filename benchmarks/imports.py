"""What ``import skmeta`` costs, beside the libraries that it stands on."""

from functools import partial

from benchmarks.subprocesses import seconds as seconds_of
from benchmarks.timing import alternate

PROGRAMS = {
    "import skmeta": "import skmeta",
    "from skmeta import TMAMLClassifier": "from skmeta import TMAMLClassifier",
    "import sklearn, torch, skorch": "import sklearn, torch, skorch",
    "no import": "",
}


def measure(seconds):
    """Seconds of a process that does nothing but import, from its start to its end."""
    return alternate({name: partial(seconds_of, program) for name, program in PROGRAMS.items()}, seconds)
