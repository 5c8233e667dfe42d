"""Rollouts as the pages show them: what is recorded, what they wait for, and what may be done."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, select

from tastemaker.dashboard.formats import number
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.storage.tables import rollout_changes, rollouts, versions

MOST = 200
"""The newest are listed."""
APPROVED = "approved"
"""Key of the evidence of a person's approval."""
CHECKS = "checks"
"""Key of the newest checks of guardrails in the evidence."""
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
_ACTIONS = {
    "approve": ("approval",),
    "hold": ("approval", "shadow", "canary", "ramp"),
    "resume": ("held",),
    "roll-back": ("shadow", "canary", "ramp", "held"),
    "decline": ("approval", "shadow", "canary", "ramp", "held"),
}
"""Action -> the states in which it is possible."""


class RolloutRecord(NamedTuple):
    """A rollout with its changes."""

    row: Row[Any]
    """Of `rollouts`, with the version's `model`."""
    changes: Sequence[Row[Any]]
    """Of `rollout_changes`, oldest first."""
    waits_for: str
    """What it waits for, in words; empty: it has ended."""

    @property
    def words(self) -> str:
        """The state in words."""
        return WORDS[self.row.state]

    @property
    def state_since(self) -> datetime:
        """When it came into its state."""
        since: datetime = self.changes[-1].at
        for change in reversed(self.changes):
            if change.state != self.row.state:
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
        for action, states in _ACTIONS.items():
            if self.row.state in states:
                yield action, f"tastemaker rollout {action} {self.row.id} --reason REASON"


def read_rollouts(reader: DashboardReader, *conditions: ColumnElement[bool]) -> list[RolloutRecord]:
    """Return rollouts, the newest first.

    Args:
        reader: Reads the database.
        conditions: Which.
    """
    found = reader.rows(
        select(rollouts, versions.c.model)
        .join(versions, versions.c.id == rollouts.c.version_id)
        .where(*conditions)
        .order_by(rollouts.c.id.desc())
        .limit(MOST)
    )
    ids = [row.id for row in found]
    changes = reader.rows(
        select(rollout_changes)
        .where(rollout_changes.c.rollout_id.in_(ids))
        .order_by(rollout_changes.c.rollout_id, rollout_changes.c.id)
    )
    by_rollout: dict[int, list[Row[Any]]] = {one: [] for one in ids}
    for change in changes:
        by_rollout[change.rollout_id].append(change)
    needs_approval = reader.settings.promotion.approval
    return [
        RolloutRecord(row, mine := by_rollout[row.id], _waits(row, mine, needs_approval)) for row in found
    ]


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


def _waits(row: Row[Any], changes: Sequence[Row[Any]], needs_approval: bool) -> str:
    """Return what a rollout waits for."""
    if row.ended_at is not None:
        return ""
    if row.state == "held":
        return "a person, who resumes or ends it"
    if row.state == "approval":
        is_approved = any(APPROVED in one.evidence for one in changes)
        is_asked = needs_approval and not is_approved
        return "a person, who approves or declines it" if is_asked else f"its start ({changes[-1].reason})"
    return "its next step, by its time and its guardrails"
