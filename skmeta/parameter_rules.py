"""What a parameter may be: rules, and the message where none of them allows a value."""

from numbers import Integral, Real
from typing import NamedTuple


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
COUNT = Number(Integral, 1)
POSITIVE = Number(Real, 0, closed=False)
NONE = Options((None,))


def check_value(owner, name, value, allowed):
    """Raise ValueError if none of the rules ``allowed`` allows ``value`` for ``owner``'s parameter."""
    if not any(rule.allows(value) for rule in allowed):
        words = " or ".join(str(rule) for rule in allowed)
        raise ValueError(f"The {name!r} parameter of {owner} must be {words}. Got {value!r} instead.")
