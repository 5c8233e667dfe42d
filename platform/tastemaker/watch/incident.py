"""What the watch remembers of alerts, and the changes that are written to the database together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tastemaker.alerting.expression import Values
from tastemaker.alerting.series import Labels
from tastemaker.notifications.notification import Event

Phase = Literal["pending", "firing"]
Source = Literal["watch", "alertmanager", "orchestrator"]


@dataclass(frozen=True)
class ConditionReading:
    """What a rule's condition says at one time."""

    fires: Values
    holds: Values
    fires_data: frozenset[Labels]
    """Labels for which it is known whether the condition to fire is true."""
    holds_data: frozenset[Labels]
    """Labels for which it is known whether the condition to stay firing is true."""


@dataclass
class AlertState:
    """An alert that is not ok. Times are seconds since 1970 UTC."""

    key: str
    rule: str
    labels: Labels
    phase: Phase
    since: float
    """Since when it is in this phase; moved forward while there is no data for a pending alert."""
    data_at: float
    """When there was data last."""
    checked_at: float
    """When the state was updated last."""
    quiet_since: float | None = None
    """Since when the condition to stay firing is false."""
    value: float | None = None
    blocked_at: float | None = None
    """When another alert last kept it from being an incident of its own."""
    incident_uid: str | None = None
    joined: bool = False
    """Whether the incident is another alert's."""


@dataclass
class Incident:
    """A fault that a person may have to know of: one alert, from firing to resolved."""

    uid: str
    key: str
    rule: str
    labels: Labels
    severity: str
    cause: str
    source: Source
    opened_at: float
    summary: str
    condition: str
    value: float | None
    closed_at: float | None = None
    ending: str | None = None
    acknowledged: bool = False
    notified: list[str] = field(default_factory=list)
    """Names of the channels that got its trigger."""
    notified_at: float | None = None
    reminders: int = 0
    is_flapping: bool = False
    """Whether the alert was opened so often in an hour that it must be quiet for longer to resolve."""


@dataclass(frozen=True)
class Message:
    """A message to be sent: a row of the outbox for each channel."""

    incident_uid: str
    event: Event
    channels: tuple[str, ...]
    at: float
    n: int = 0


@dataclass(frozen=True)
class Note:
    """A line in an incident's history."""

    uid: str
    incident_uid: str
    at: float
    text: str


@dataclass
class Changes:
    """What is written in one transaction."""

    states: dict[str, AlertState | None] = field(default_factory=dict)
    """Key -> new state; None: the alert is ok."""
    incidents: dict[str, Incident] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.states or self.incidents or self.messages or self.notes)

    def copied(self) -> Changes:
        """Return a copy that does not change when the states and incidents do."""
        return Changes(
            {key: None if one is None else replace(one) for key, one in self.states.items()},
            {uid: replace(one) for uid, one in self.incidents.items()},
            list(self.messages),
            list(self.notes),
        )

    def extend(self, later: Changes) -> None:
        """Add the changes of a later step."""
        self.states |= later.states
        self.incidents |= later.incidents
        self.messages += later.messages
        self.notes += later.notes


@dataclass(frozen=True)
class Silence:
    """A time in which matching alerts are not notified: until it ends, no trigger and no reminder is sent.

    Incidents open and end as usual meanwhile, and one that was notified before still gets its resolve. An
    alert that still fires when the silence ends is notified then. The same holds for failed runs, and for
    alerts that Alertmanager reports, as far as the watch's channels notify people of them.
    """

    id: int
    matchers: Mapping[str, str]
    starts_at: float
    ends_at: float

    def matches(self, rule: str, labels: Labels, now: float) -> bool:
        """Return whether it silences an alert now.

        Args:
            rule: Name of the alert's rule, which matchers know as the label `rule`.
            labels: The alert's labels; more than those of the matchers are allowed.
            now: The time, in seconds since 1970 UTC.
        """
        if not self.starts_at <= now < self.ends_at:
            return False
        known = dict(labels) | {"rule": rule}
        return all(known.get(name) == value for name, value in self.matchers.items())
