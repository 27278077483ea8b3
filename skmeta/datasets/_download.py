"""A file from its authors."""

import urllib.request
from http.client import HTTPException

TIMEOUT = 60  # seconds without an answer


def download(url, advice):
    """Content of a file, as bytes; an OSError with ``advice`` if it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return response.read()
    except (OSError, HTTPException) as error:
        raise OSError(f"Could not download {url}: {error}. {advice}") from error
