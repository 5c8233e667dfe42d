"""Targeting: conditions on facts that are known before the assignment.

What a variant may change must not be a fact: units that it drives away would leave its group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tastemaker.experiments.plan import TargetingRule

Facts = Mapping[str, object]
"""The request's named context values, and `kind`, the kind of request. Values other than text, numbers and
booleans meet no rule."""


def compiled(rules: Iterable[TargetingRule]) -> Callable[[Facts], bool] | None:
    """Return a function that says whether facts meet all rules; None where there is no rule.

    >>> admits = compiled([TargetingRule("country", "in", ("GB", "IE"))])
    >>> admits({"country": "GB"}), admits({"country": "FR"}), admits({})
    (True, False, False)
    """
    conditions = tuple((rule.fact, _condition(rule)) for rule in rules)
    if not conditions:
        return None

    def admits(facts: Facts) -> bool:
        return all(meets(facts.get(fact)) for fact, meets in conditions)

    return admits


def _condition(rule: TargetingRule) -> Callable[[object], bool]:
    if rule.operator == "in" or rule.operator == "not_in":
        values, wanted = frozenset(map(_key, rule.values)), rule.operator == "in"
        return lambda fact: _is_value(fact) and (_key(fact) in values) is wanted
    limit = rule.values[0]
    if isinstance(limit, str):
        raise ValueError(f"the operator {rule.operator} has the value {limit!r}, must be a number")
    if rule.operator == "at_least":
        return lambda fact: _is_number(fact) and fact >= limit  # type: ignore[operator]
    return lambda fact: _is_number(fact) and fact <= limit  # type: ignore[operator]


def _key(value: object) -> tuple[bool, object]:
    """Return what distinguishes a value: in Python, True is 1."""
    return isinstance(value, bool), value


def _is_value(fact: object) -> bool:
    """Return whether a fact has a value that rules compare; not a number (NaN) is none."""
    return isinstance(fact, str | bool | int | float) and fact == fact


def _is_number(fact: object) -> bool:
    return isinstance(fact, int | float) and not isinstance(fact, bool)
