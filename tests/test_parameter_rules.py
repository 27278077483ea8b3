"""What a parameter may be, and how it is said."""

from numbers import Integral, Real

import numpy as np
import pytest

from skmeta.parameter_rules import NONE, POSITIVE, Kind, Number, Options, check_value


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        (Number(Integral, 1), [1, np.int64(7)], [0, 1.0, True, np.True_, "1", None]),
        (Number(Integral, 0, 5), [0, 4], [-1, 5]),
        (Number(Real, 0, 1), [0, 0.5, np.float32(0.5)], [1, -0.1, float("nan"), False]),
        (POSITIVE, [1e-9, 3], [0, float("inf"), float("nan"), -1]),
        (Options(("a", None)), ["a", None], ["b", 0, ["a"]]),
        (NONE, [None], ["None", 0, False]),
        (Kind(callable, "a callable"), [len, int], [3, None]),
    ],
    ids=str,
)
def test_a_rule_allows(rule, allowed, refused):
    assert all(rule.allows(value) for value in allowed)
    assert not any(rule.allows(value) for value in refused)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Number(Integral, 1), "an int in [1, inf)"),
        (POSITIVE, "a float in (0, inf)"),
        (Number(Real, 0, 1), "a float in [0, 1)"),
        (Options(("a", None)), "one of {'a', None}"),
        (NONE, "None"),
        (Kind(callable, "a callable"), "a callable"),
    ],
)
def test_a_rule_in_words(rule, words):
    assert str(rule) == words


def test_the_message_names_the_parameter_the_rules_and_the_value():
    message = r"^The 'p' parameter of Owner must be None or a float in \(0, inf\)\. Got -1 instead\.$"
    with pytest.raises(ValueError, match=message):
        check_value("Owner", "p", -1, [NONE, POSITIVE])
    check_value("Owner", "p", None, [NONE, POSITIVE])
