"""What was computed, in a folder: a JSON file for each configuration, and states to go on from."""

import hashlib
import json
import os
import pickle
import re
from pathlib import Path

import sklearn
import torch

VERSIONS = f"scikit-learn {sklearn.__version__}, torch {torch.__version__}"


class Store:
    """Records by configuration, and the versions of the code and of packages that they came from.

    Parameters
    ----------
    folder : path
    any_code : bool, default=False
        Whether records of an earlier version of the code are taken for what they are. Else they are
        as if they were not there.
    """

    def __init__(self, folder, any_code=False):
        self.folder, self.any_code = Path(folder), any_code

    def get(self, kind, config, code):
        """The record of a configuration, or None."""
        file = self._file(kind, config, "json")
        record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        return record if record and self._accepts(record["code"], code) else None

    def put(self, kind, config, code, **values):
        """Keep the values as the record of a configuration, and return it."""
        record = {"config": plain(config), "code": code, "versions": VERSIONS, **values}
        _write(self._file(kind, config, "json"), json.dumps(record, indent=1).encode())
        return record

    def get_state(self, config, code):
        """The training state of a configuration, or None."""
        file = self._file("state", config, "pkl")
        if not file.exists():
            return None
        made_by, state = pickle.loads(file.read_bytes())
        return state if self._accepts(made_by, code) else None

    def put_state(self, config, code, state):
        """Keep a training state of a configuration in place of the one before."""
        _write(self._file("state", config, "pkl"), pickle.dumps((code, state)))

    def _accepts(self, found, code):
        return self.any_code or found == code

    def _file(self, kind, config, suffix):
        key = hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()[:16]
        method = re.sub(r"\W+", "-", config["method"])
        return self.folder / config["study"] / f"{method}-{kind}-{key}.{suffix}"


def plain(config):
    """A configuration as JSON has it: classes by their names, tuples as lists."""
    return json.loads(json.dumps(config, default=lambda value: getattr(value, "__qualname__", repr(value))))


def kept(result):
    """What a record keeps of ``skmeta.evaluate``'s result: each episode's score, for paired differences."""
    return {"scores": [round(score, 6) for score in result.scores.tolist()], "task": result.task.tolist()}


def _write(file, content):
    # A run that is stopped while it writes must leave the old file or the new one.
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(file)
