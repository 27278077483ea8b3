"""Where data are: on this machine, or with their authors."""

import hashlib
import os
import urllib.request
from http.client import HTTPException
from pathlib import Path

from sklearn.datasets import get_data_home

TIMEOUT = 60  # seconds without an answer


def folder_of(name, is_there, data_home):
    """Folder of a data set: in that of ``SKMETA_DATA`` if it ``is_there(folder)``, else in the cache.

    Both have the same layout, so that one machine's cache can be another's local copy.
    """
    shared = os.environ.get("SKMETA_DATA")
    if shared and is_there(folder := Path(shared).expanduser() / name):
        return folder
    return Path(get_data_home(data_home)) / "skmeta" / name


def download(url, advice):
    """Content of a file, as bytes; an OSError with ``advice`` if it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return response.read()
    except (OSError, HTTPException) as error:
        raise OSError(f"Could not download {url}: {error}. {advice}") from error


def verify(content, algorithm, expected, source, advice):
    """An OSError unless the checksum of the content, bytes, is the expected one."""
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise OSError(
            f"{source} is damaged or has changed: expected {algorithm} {expected}, found {found}. {advice}"
        )


def keep(content, file):
    """Write a file of the cache; neither a second process nor a later call may meet half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(file)
