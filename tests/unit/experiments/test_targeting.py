"""Rules of targeting on facts of all types."""

from __future__ import annotations

import math

import pytest

from tastemaker.experiments.plan import Operator, TargetingRule
from tastemaker.experiments.targeting import compiled


@pytest.mark.parametrize(
    ("operator", "values", "met", "not_met"),
    [
        ("in", ("GB", "IE"), ["GB", "IE"], ["FR", "", 1, True, None, ["GB"], {"GB"}, math.nan]),
        ("not_in", ("GB",), ["FR", "", 1, True], ["GB", None, ["FR"], math.nan]),
        ("in", (1.0,), [1, 1.0], [True, "1", 2]),
        ("in", (True,), [True], [1, 1.0, "True", False]),
        ("not_in", (True,), [1, False], [True]),
        ("at_least", (18.0,), [18, 18.5, math.inf], [17.9, "18", True, None, math.nan, [18]]),
        ("at_most", (18.0,), [18, -1], [18.1, "18", False, None, math.nan]),
    ],
)
def test_operators(
    operator: Operator, values: tuple[str | float | bool, ...], met: list[object], not_met: list[object]
) -> None:
    admits = compiled([TargetingRule("fact", operator, values)])
    assert admits is not None
    assert [admits({"fact": fact}) for fact in met] == [True] * len(met)
    assert [admits({"fact": fact}) for fact in not_met] == [False] * len(not_met)


def test_all_rules_must_be_met_and_a_missing_fact_meets_none() -> None:
    admits = compiled([TargetingRule("country", "not_in", ("FR",)), TargetingRule("age", "at_least", (18,))])
    assert admits is not None
    assert admits({"country": "GB", "age": 20})
    assert not admits({"country": "GB", "age": 17})
    assert not admits({"country": "FR", "age": 20})
    assert not admits({"age": 20})


def test_without_rules_there_is_nothing_to_ask() -> None:
    assert compiled([]) is None


def test_a_limit_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="'old', must be a number"):
        compiled([TargetingRule("age", "at_least", ("old",))])
