"""Rollouts as the pages show them: what is recorded, what they wait for, and what may be done."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tastemaker.dashboard.formats import number
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.rollouts.states import CHECKS, POSSIBLE
from tastemaker.rollouts.store import Rollout, RolloutChange, changes_of
from tastemaker.rollouts.waiting import waits_for

WORDS = {
    "approval": "not begun",
    "shadow": "in the shadow",
    "canary": "in the canary",
    "ramp": "in the ramp",
    "held": "held",
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "declined": "declined",
    "failed": "failed",
}
"""State -> in words."""


class RolloutRecord(NamedTuple):
    """A rollout with its changes."""

    rollout: Rollout
    changes: Sequence[RolloutChange]
    """Oldest first."""
    waits_for: str
    """What it waits for, in words; empty: it has ended."""

    @property
    def words(self) -> str:
        """The state in words."""
        return WORDS[self.rollout.state]

    @property
    def named(self) -> str:
        """The version with the state, in words."""
        return f"Version {self.rollout.version_id} of {self.rollout.model} is {self.words}"

    @property
    def state_since(self) -> datetime:
        """When it came into its state."""
        since = self.changes[-1].at
        for change in reversed(self.changes):
            if change.state != self.rollout.state:
                break
            since = change.at
        return since

    @property
    def checks(self) -> Sequence[Mapping[str, Any]]:
        """The newest checks of its guardrails."""
        found = (change.evidence[CHECKS] for change in reversed(self.changes) if CHECKS in change.evidence)
        return next(found, ())

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield what a person may do now: the action and its command."""
        for action, states in POSSIBLE.items():
            if self.rollout.state in states:
                command = action.replace("_", "-")
                yield command, f"tastemaker rollout {command} {self.rollout.id} --reason REASON"


def with_changes(reader: DashboardReader, rollouts: Sequence[Rollout]) -> list[RolloutRecord]:
    """Return rollouts with their changes.

    Args:
        reader: Reads the changes; has the settings of promotion.
        rollouts: Rollouts, in the order of the result.
    """
    changes = changes_of(reader.engine, [one.id for one in rollouts])
    promotion = reader.settings.promotion
    return [RolloutRecord(one, mine := changes[one.id], waits_for(one, mine, promotion)) for one in rollouts]


def figures_in_words(evidence: Mapping[str, Any]) -> str:
    """Return the figures that a step rests on; those of guardrails are in a table of their own.

    >>> figures_in_words({"users": 900, "served_fallback_share": 0.004, "verdict": "safe"})
    'users 900; served fallback share 0.400 %; verdict safe'
    >>> figures_in_words({"checks": [{"verdict": "safe"}, {"verdict": "safe"}]})
    'guardrails: 2 safe'
    """
    checks = Counter(one["verdict"].replace("_", " ") for one in evidence.get(CHECKS, ()))
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in checks.items())
    plain = [_named(name, value) for name, value in evidence.items() if name != CHECKS]
    return "; ".join([*plain, *([f"guardrails: {verdicts}"] if checks else [])])


def _named(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return _label(name) if value else f"not {_label(name)}"
    if isinstance(value, numbers.Real):
        return f"{_label(name)} {number(float(value), unit_of(name))}"
    return f"{_label(name)} {value}"


def unit_of(name: str) -> str:
    """Return the unit of a figure by its name."""
    return "share" if name.endswith("_share") else ""


def _label(name: str) -> str:
    return name.replace("_", " ")
