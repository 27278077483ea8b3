"""The time that a run may take."""

import time


class OutOfTime(Exception):  # noqa: N818, it is no error: what is done is kept
    """The run is to stop here, and to go on another time."""


class Clock:
    """Raises ``OutOfTime`` once the minutes are over; None are never over."""

    def __init__(self, minutes=None):
        self.end = float("inf") if minutes is None else time.monotonic() + 60 * minutes

    def check(self):
        if time.monotonic() > self.end:
            raise OutOfTime
