"""What a rollout waits for, and since when: from its records, as what takes its steps may not run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tastemaker.promotion_settings import PromotionSettings
from tastemaker.rollouts.pace import pace_of
from tastemaker.rollouts.states import APPROVED, SHADOW_SINCE
from tastemaker.rollouts.store import Rollout, RolloutChange


def shadow_since(changes: Sequence[RolloutChange]) -> str | None:
    """Return when the first version of a rollout's recipe came into the shadow; None: none has."""
    found = (one.evidence[SHADOW_SINCE] for one in reversed(changes) if SHADOW_SINCE in one.evidence)
    return next(found, None)


def in_shadow_since(rollout: Rollout, changes: Sequence[RolloutChange]) -> datetime:
    """Return since when the recipe of a rollout in the shadow has been there.

    Args:
        rollout: A rollout that is in the shadow.
        changes: Its changes, oldest first.
    """
    since = shadow_since(changes)
    return rollout.started_at if since is None else datetime.fromisoformat(since)


def due_at(
    rollout: Rollout, changes: Sequence[RolloutChange], promotion: PromotionSettings
) -> datetime | None:
    """Return when the next step is due, or was, of a version that no user has yet.

    Args:
        rollout: The rollout as it is stored now.
        changes: Its changes, oldest first.
        promotion: How long a version is in the shadow, and whether a person must approve it.

    Returns:
        The time; None: a person or guardrails decide.
    """
    if rollout.state == "approval":
        return None if _needs_person(changes, promotion) else rollout.started_at
    if rollout.state == "shadow":
        hours = pace_of(changes, promotion).shadow_hours
        return in_shadow_since(rollout, changes) + timedelta(hours=hours)
    return None


def waits_for(rollout: Rollout, changes: Sequence[RolloutChange], promotion: PromotionSettings) -> str:
    """Return what a rollout waits for, in words.

    Args:
        rollout: The rollout as it is stored now.
        changes: Its changes, oldest first.
        promotion: The settings of promotion.

    Returns:
        Empty: it has ended.
    """
    if not rollout.is_open:
        return ""
    newest, due = changes[-1], due_at(rollout, changes, promotion)
    if rollout.state == "held":
        return "a person, who resumes or ends it"
    if rollout.state == "approval":
        return "a person, who approves or declines it" if due is None else f"its start ({newest.reason})"
    if due is None:
        return "its next step, by its time and its guardrails"
    if newest.at < due:
        return f"its next step, which tastemaker flows serve takes from {due:%Y-%m-%d %H:%M} UTC on"
    return f"its next step, which was due at {due:%Y-%m-%d %H:%M} UTC ({newest.reason})"


def _needs_person(changes: Sequence[RolloutChange], promotion: PromotionSettings) -> bool:
    return promotion.approval and not is_approved(changes)


def is_approved(changes: Sequence[RolloutChange]) -> bool:
    """Return whether a person has approved the version of a rollout with these changes."""
    return any(APPROVED in one.evidence for one in changes)
