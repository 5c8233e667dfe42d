"""A notification completed: how long after which deployment, why, which requests to look at, what to do."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from tastemaker.notifications.message_text import one_line, rough_duration, shortened, time_text
from tastemaker.notifications.notification import Notification
from tastemaker.watch.circumstances import Circumstances, ListReason, ServedVersion

MOST_REASONS = 3
REASON_CHARACTERS = 120
SOON_AFTER: Final = timedelta(hours=24)
"""A fault that begins later after a deployment is rarely its effect."""
ROLLBACK_AFTER: Final = timedelta(hours=6)
"""A rollback is proposed for faults that begin so soon after a promotion."""
OF_VERSIONS: Final = frozenset({"answers", "reward", "versions"})
"""Causes of rules whose fault a version can have."""
SEARCH_BEFORE: Final = timedelta(minutes=2)
"""A rule fires after its fault began."""


def explained(
    notification: Notification,
    *,
    cause: str,
    circumstances: Circumstances,
    search: tuple[str, ...],
    examples: tuple[str, ...],
    runbook: str,
) -> Notification:
    """Return a notification with what is known about its incident.

    Args:
        notification: The notification; its own details, links and commands stay.
        cause: What is at fault, as the incident's rule has it.
        circumstances: What is known.
        search: The terms that find the requests in the log; empty if it is not about requests.
        examples: Ids of requests that it found.
        runbook: Path or URL of the rule's runbook.
    """
    served, started_at = circumstances.served, notification.started_at
    details, commands = list(notification.details), list(notification.commands)
    if served is not None:
        details.insert(0, deployment_sentence(served, started_at))
    if cause in OF_VERSIONS and circumstances.reasons:
        details.append(reasons_sentence(circumstances))
    if not any(link.url == runbook for link in notification.links):
        details.append(f"Runbook: {runbook}")
    if notification.event in ("trigger", "reminder"):
        if served is not None and can_help(served, cause, started_at):
            reason = f"{notification.rule}, incident {notification.incident}"
            commands.append(shlex.join(["tastemaker", "models", "rollback", "--reason", reason]))
        if search:
            commands.append(shlex.join(["tastemaker", "log", "search", *search]))
    return replace(notification, details=tuple(details), commands=tuple(commands), examples=examples)


def can_help(served: ServedVersion, cause: str, started_at: datetime) -> bool:
    """Return whether a rollback may end a fault: it began soon after the champion was promoted.

    Args:
        served: The version that is served, and when it was deployed.
        cause: What is at fault, as the incident's rule has it.
        started_at: When the incident began.
    """
    if cause not in OF_VERSIONS or not served.can_roll_back or served.at is None:
        return False
    return timedelta(0) <= started_at - served.at <= ROLLBACK_AFTER


def deployment_sentence(served: ServedVersion, started_at: datetime) -> str:
    """Return how long after which deployment an incident began.

    Args:
        served: The version that is served.
        started_at: When the incident began.
    """
    name = f"{served.model} {served.version}"
    if served.at is None or served.action is None:
        return f"{name} is served; the database does not say since when."
    after = started_at - served.at
    if after < timedelta(0):
        return f"{name} was {served.action} at {time_text(served.at)}, after it began."
    lasted = rough_duration(after.total_seconds())
    if after > SOON_AFTER:
        at = time_text(served.at)
        return f"It began {lasted} after the last deployment: {name} was {served.action} at {at}."
    return f"It began {lasted} after {name} was {served.action}."


def reasons_sentence(circumstances: Circumstances) -> str:
    """Return how many lists were not the model's, and the most frequent reasons."""
    listed = [_reason(one, circumstances.all_lists) for one in circumstances.reasons[:MOST_REASONS]]
    window = rough_duration(circumstances.window_seconds)
    return f"Of about {circumstances.all_lists:,.0f} lists in {window}: {', '.join(listed)}."


def _reason(one: ListReason, all_lists: float) -> str:
    instead = f", {one.stage} in place of the model" if one.stage and one.stage != "model" else ""
    return shortened(one_line(f"{one.reason} {one.lists / all_lists:.1%}{instead}"), REASON_CHARACTERS)


def search_terms(
    rule: str,
    cause: str,
    labels: Mapping[str, str],
    started_at: datetime,
    circumstances: Circumstances,
    slow_seconds: float,
) -> tuple[str, ...]:
    """Return the terms that find the requests of an incident in the log.

    Args:
        rule: The incident's rule, whose name says what is looked for.
        cause: What is at fault, as the incident's rule has it.
        labels: The alert's labels; a model among them restricts the search.
        started_at: When the incident began.
        circumstances: What is known.
        slow_seconds: From which duration on a list is slow.

    Returns:
        Terms of `tastemaker log search`; none for rules that are not about lists.
    """
    if rule == "slow":
        terms = [f"ms>{slow_seconds * 1_000:g}"]
    elif "empty" in rule:
        terms = ["items=0"]
    elif "short" in rule:
        terms = ["items<k"]
    elif cause == "answers":
        reasons = circumstances.reasons
        terms = [f"fallback:{reasons[0].reason if reasons else 'any'}"]
    else:
        return ()
    if model := labels.get("model"):
        terms.insert(0, f"model:{_value(model)}")
    since = (started_at - SEARCH_BEFORE).astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
    return (*terms, f"since:{since}")


def _value(text: str) -> str:
    """Return a value as the query language has it."""
    if text and not any(letter.isspace() or letter in '"\\*' for letter in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
