"""How the tasks of a meta-batch are computed: by the engine's choice, or as a test or benchmark forces it."""

from contextlib import contextmanager
from contextvars import ContextVar

STRATEGIES = "batched", "vmap", "loop"
FORCED = ContextVar("forced_strategy", default=None)


@contextmanager
def forced_strategy(name):
    """Compute the tasks of meta-batches in one way inside, in this thread, whatever learner they are of.

    For tests and benchmarks: results are the same but for rounding.

    Parameters
    ----------
    name : {"auto", "batched", "vmap", "loop"}
        "batched" is written-out matrices, for the default network alone; "auto" leaves the choice to the
        engine.

    Raises
    ------
    ValueError
        If ``name`` is none of these.

    Examples
    --------
    >>> from skmeta.engine import forced_strategy
    >>> with forced_strategy("loop"):
    ...     pass  # clf.fit(tasks)
    """
    if name not in ("auto", *STRATEGIES):
        raise ValueError(f"forced_strategy takes one of {('auto', *STRATEGIES)}. Got {name!r} instead.")
    token = FORCED.set(None if name == "auto" else name)
    try:
        yield
    finally:
        FORCED.reset(token)
