"""What parameters of made data may be."""

from numbers import Integral


def check_int(owner, name, value, least=1, most=None):
    """The value as Python's int, since NumPy's small ones would overflow; ValueError for any other."""
    upper = "inf)" if most is None else f"{most}]"
    if not isinstance(value, Integral) or value < least or (most is not None and value > most):
        raise ValueError(
            f"The {name!r} parameter of {owner} must be an int in [{least}, {upper}. Got {value!r} instead."
        )
    return int(value)
