"""The data sets: meta-train and meta-validation tasks for everybody, meta-test tasks for one.

``development`` is what training and choosing see. ``sealed_tasks`` is for ``benchmarks.accuracy.meta_test``
alone, which a test guards. Transformers of features are fitted on meta-train rows.
"""

import hashlib
import inspect
import os
from collections.abc import Callable
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from benchmarks.accuracy.data import omniglot, parkinsons, scanners, text, wisdm
from benchmarks.accuracy.data.votes import with_votes
from benchmarks.accuracy.versions import DATA_SETS, VOTES_VIEW, code_version


class Source(NamedTuple):
    """``read(split, features)`` returns the tasks of meta-train, meta-validation and meta-test."""

    read: Callable
    module: object
    files: tuple = ()


SOURCES = {
    "scanners": Source(scanners.read, scanners),
    "wisdm": Source(wisdm.read, wisdm, wisdm.FILES),
    "parkinsons-motor": Source(partial(parkinsons.read, "motor_UPDRS"), parkinsons, parkinsons.FILES),
    "parkinsons-total": Source(partial(parkinsons.read, "total_UPDRS"), parkinsons, parkinsons.FILES),
    "clinc": Source(partial(text.read, text.read_clinc), text, text.CLINC_FILES),
    "banking": Source(partial(text.read, text.read_banking), text, text.BANKING_FILES),
    "omniglot": Source(omniglot.read, omniglot, omniglot.FILES),
}


class Development(NamedTuple):
    """What a method may learn from and be tuned on."""

    train: list
    validation: list

    def pooled(self):
        """``X, y`` of all meta-train rows."""
        if len(self.train) == 1:
            return self.train[0]
        rows, labels = zip(*self.train, strict=True)
        stack = sparse.vstack if sparse.issparse(rows[0]) else np.concatenate
        return stack(rows), np.concatenate(labels)


def development(name, split, features):
    """The ``Development`` tasks of a data set."""
    train, validation, _ = _read(name, split, features)
    return Development(train, validation)


def sealed_tasks(name, split, features):
    """The meta-test tasks: for ``meta_test.score_once``, which nothing is chosen by."""
    return _read(name, split, features)[2]


def folder():
    """The folder that ``SKMETA_DATA`` names."""
    return Path(os.environ.get("SKMETA_DATA", "data")).expanduser()


def missing_files(name):
    """Those files of a data set that the folder does not hold."""
    return [file for file in SOURCES[name].files if not (folder() / file).exists()]


@cache
def data_version(name):
    """Checksum of a data set's files and of the code that makes tasks of them."""
    source = SOURCES[name]
    digest = hashlib.sha256(code_version(Path(inspect.getfile(source.module)), *DATA_SETS).encode())
    for file in source.files:
        digest.update((folder() / file).read_bytes())
    return digest.hexdigest()[:16]


# A study goes through its methods one split after another, and each of them through a few views.
@lru_cache(maxsize=4)
def _read(name, split, features):
    if features.endswith(VOTES_VIEW):
        return with_votes(*_read(name, split, features.removesuffix(VOTES_VIEW)))
    return SOURCES[name].read(folder(), split, features)
