"""The real `tastemaker watch` with all rules, none of which waits longer than SECONDS; a program of its own.

Windows, thresholds and inhibitions are the rules' own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from tastemaker.alerting import rules
from tastemaker.alerting.rule import Rule
from tastemaker.cli.watch import watch
from tastemaker.settings import Settings

SECONDS = 35.0
"""As long as the longest of the rules that inhibit others, so that their order stays."""


def shortened(found: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules, with `for` and the interval of evaluation cut."""
    return tuple(
        replace(rule, for_seconds=min(rule.for_seconds, SECONDS), evaluate_every_seconds=5.0)
        for rule in found
    )


if __name__ == "__main__":
    every = rules.all_rules

    def short(settings: Settings) -> tuple[Rule, ...]:
        return shortened(every(settings))

    setattr(rules, "all_rules", short)  # noqa: B010
    watch(sys.argv[1:], standalone_mode=True)
