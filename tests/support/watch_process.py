"""The real `tastemaker watch` with small rules that fire and resolve within seconds; a program of its own."""

from __future__ import annotations

import sys

from support.watch_rules import small_rule
from tastemaker.alerting import rules
from tastemaker.cli.watch import watch

RULES = (
    small_rule("fault"),
    small_rule("echo", inhibited_by=("fault",)),
)

if __name__ == "__main__":
    setattr(rules, "all_rules", lambda settings: RULES)  # noqa: B010
    watch(sys.argv[1:], standalone_mode=True)
