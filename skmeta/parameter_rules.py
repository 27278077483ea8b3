"""What a parameter may be: rules, and the message where none of them allows a value."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np


class Number(NamedTuple):
    """An integer or a real in an interval; ``low`` is allowed only if ``closed``."""

    kind: type
    low: float
    high: float = float("inf")
    closed: bool = True

    def allows(self, value):
        if isinstance(value, bool) or not isinstance(value, self.kind):
            return False
        return (self.low < value or (self.closed and value == self.low)) and value < self.high

    def __str__(self):
        kind = "an int" if self.kind is Integral else "a float"
        return f"{kind} in {'[' if self.closed else '('}{self.low}, {self.high})"


class Options(NamedTuple):
    """One of several strings or None."""

    values: tuple

    def allows(self, value):
        return (value is None or isinstance(value, str)) and value in self.values

    def __str__(self):
        if self.values == (None,):
            return "None"
        return "one of {" + ", ".join(map(repr, self.values)) + "}"


class Kind(NamedTuple):
    """Anything that a test accepts, in words."""

    test: object
    words: str

    def allows(self, value):
        return bool(self.test(value))

    def __str__(self):
        return self.words


SIZE = Number(Integral, 0)
SEED = Number(Integral, 0, 2**32)
SAMPLING = Options(("auto", "natural", "stratified"))
COUNT = Number(Integral, 1)
POSITIVE = Number(Real, 0, closed=False)
NONE = Options((None,))


def check_value(owner, name, value, allowed):
    """``plain(value)``, or ValueError if no rule of ``allowed`` allows it for a parameter of ``owner``."""
    read = plain(value)
    if not any(rule.allows(read) for rule in allowed):
        words = " or ".join(str(rule) for rule in allowed)
        raise ValueError(f"The {name!r} parameter of {owner} must be {words}. Got {value!r} instead.")
    return read


def plain(value):
    """Python's own number or flag for one of NumPy's, also inside a tuple or list; else the value itself.

    ``np.uint8(200) + np.uint8(100)`` is 44, and torch's generators take no ``np.int64``.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.floating):  # item() of a long double is one again
        return float(value)
    return value.item() if isinstance(value, np.integer | np.bool_) else value
