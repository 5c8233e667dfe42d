"""The real `tastemaker watch` with all rules, none of which waits longer than SECONDS; a program of its own.

Thresholds, inhibitions and windows are the rules' own; but if the first argument is `--windows`, no window is
longer than WINDOW_SECONDS, and what compares with a day or a week ago compares with AGO_SECONDS ago.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from tastemaker.alerting import rules
from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import Offset
from tastemaker.alerting.rule import Rule
from tastemaker.cli.watch import watch
from tastemaker.settings import Settings

SECONDS = 35.0
"""As long as the longest of the rules that inhibit others, so that their order stays."""
WINDOW_SECONDS, AGO_SECONDS = 60.0, 90.0


def shortened(found: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules, with `for` and the interval of evaluation cut."""
    return tuple(
        replace(rule, for_seconds=min(rule.for_seconds, SECONDS), evaluate_every_seconds=5.0)
        for rule in found
    )


def narrowed(rule: Rule) -> Rule:
    """The rule, with short windows in all its conditions."""
    changed = {
        field.name: _narrow(getattr(rule.condition, field.name))
        for field in fields(rule.condition)
        if isinstance(getattr(rule.condition, field.name), Expression)
    }
    return replace(rule, condition=replace(rule.condition, **changed))


def _narrow(expression: Any) -> Any:
    if not isinstance(expression, Expression):
        return expression
    parts = {name: _narrow(value) for name, value in vars(expression).items()}
    if "seconds" in parts:
        most = AGO_SECONDS if isinstance(expression, Offset) else WINDOW_SECONDS
        parts["seconds"] = min(parts["seconds"], most)
    changed: Any = expression  # each is a data class
    return replace(changed, **parts)


if __name__ == "__main__":
    every, words = rules.all_rules, sys.argv[1:]
    has_short_windows = words[:1] == ["--windows"]

    def short(settings: Settings) -> tuple[Rule, ...]:
        found = every(settings)
        return shortened([narrowed(rule) for rule in found] if has_short_windows else found)

    setattr(rules, "all_rules", short)  # noqa: B010
    watch(words[has_short_windows:], standalone_mode=True)
