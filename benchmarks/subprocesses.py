"""Measurements that need a process of their own."""

import json
import os
import subprocess
import sys
import time


def run(code, *args):
    """What a new Python process prints; ``args`` are its arguments."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p) or "."}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    return done.stdout


def read(code, *args):
    """The JSON that a new Python process prints as its last line."""
    return json.loads(run(code, *args).splitlines()[-1])


def seconds(code):
    """How long a new Python process takes, from its start to its end."""
    start = time.perf_counter()
    run(code)
    return time.perf_counter() - start
