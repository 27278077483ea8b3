"""Where data are: on this machine, or with their authors."""

import gzip
import hashlib
import os
import tempfile
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path

from sklearn.datasets import get_data_home

TIMEOUT = 60  # seconds without an answer
ANEW = "Delete it to have it downloaded anew, or name another copy by path=."


def folder_of(name, is_there, data_home):
    """Folder of a data set: in that of ``SKMETA_DATA`` if it ``is_there(folder)``, else in the cache.

    Both have the same layout, so that one machine's cache can be another's local copy.
    """
    *shared, cached = _places(name, data_home)
    return next(filter(is_there, shared), cached)


def _places(name, data_home):
    shared = os.environ.get("SKMETA_DATA")
    given = [Path(shared).expanduser() / name] if shared else []
    return [*given, Path(get_data_home(data_home)) / "skmeta" / name]


def file_in(folder, name):
    """The file of that name, packed as ``.gz`` or not, or None."""
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.is_file()), None)


def make_folder(name, data_home, what, download_if_missing, advice):
    """The folder of the cache to download into; an OSError if one may not, or cannot write there."""
    places = _places(name, data_home)
    if not download_if_missing:
        where = " or ".join(map(str, places))
        raise OSError(f"{what} is not in {where}, and download_if_missing is False. {advice}")
    try:
        places[-1].mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"Could not make {places[-1]}: {error}. Name another folder by data_home=.") from error
    return places[-1]


def download(url, advice):
    """Content of a file, as bytes; an OSError with ``advice`` if it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return response.read()
    except (OSError, HTTPException) as error:
        raise OSError(f"Could not download {url}: {error}. {advice}") from error


def read(file):
    """Content of a local file, as bytes, unpacked if it is a ``.gz``."""
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"Could not read {file}: {error}. {ANEW}") from error


def verify(content, algorithm, expected, source, advice):
    """An OSError unless the checksum of the content, bytes, is the expected one."""
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise OSError(
            f"{source} is damaged or has changed: expected {algorithm} {expected}, found {found}. {advice}"
        )


def keep(content, file):
    """Write a file of the cache; neither another thread nor a later call may meet half of it."""
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
        try:
            part.write(content)
            part.close()
            Path(part.name).replace(file)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    file.chmod(0o644)  # a temporary file is its owner's alone
