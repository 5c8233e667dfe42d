"""From conditions to incidents and messages: no time, network or database of its own.

An alert is ok, pending (its condition is true, but not for long enough) or firing. It resolves when the
condition to stay firing has been false for long enough. Without data nothing begins and nothing ends: clocks
stand still. An alert that fires becomes an incident, unless

- an alert that inhibits it is active, or
- an incident of the same cause and at least the same severity, whose labels agree, is open or was closed
  within half an hour: then it is a note there.

An alert that was kept from being an incident becomes one when it still fires GRACE_SECONDS after what kept it
back has ended: a window that still contains an earlier fault does not call a person again, and
nothing is kept back without end.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from tastemaker.alerting.rule import Rule
from tastemaker.alerting.series import Labels
from tastemaker.notifications.notification import Event, alert_key
from tastemaker.watch.incident import AlertState, Changes, ConditionReading, Incident, Message, Note, Silence
from tastemaker.watch.routing import HOUR, SEVERITIES, Routing

GRACE_SECONDS = 600.0
"""How long an alert must fire after what kept it back has ended, to become an incident of its own."""
SAME_CAUSE_SECONDS = 1_800.0
"""How long after its end an incident takes further alerts of its cause as notes."""
NO_DATA_SECONDS = 86_400.0
"""How long an alert stays as it is without data."""
FLAPPING_SECONDS = 900.0
"""How long a flapping alert must be quiet to resolve."""
MOST_ALERTS = 200
"""The most alerts of one rule; labels beyond them are left out."""


class StateMachine:
    """The state of all alerts and of the incidents that are open or were closed lately."""

    def __init__(
        self,
        rules: Sequence[Rule],
        routing: Routing,
        *,
        new_uid: Callable[[], str] | None = None,
    ) -> None:
        """Begin with every alert ok.

        Args:
            rules: The rules whose alerts it knows; readings and stored alerts of others are left out.
            routing: Who is notified.
            new_uid: Returns a new identity of an incident or note; None for random ones.
        """
        self._rules = {rule.name: rule for rule in rules}
        self._routing, self._new_uid = routing, _random_uid if new_uid is None else new_uid
        self.alerts: dict[str, AlertState] = {}
        """Key -> state of each alert that is not ok."""
        self.incidents: dict[str, Incident] = {}
        """Identity -> incident, those that were closed within an hour included."""
        self._changes = Changes()

    def restore(self, alerts: Collection[AlertState], incidents: Collection[Incident], now: float) -> None:
        """Continue from what is in the database: clocks stood still meanwhile.

        Alerts of rules that no longer exist are left out.

        Args:
            alerts: The states of alerts in the database.
            incidents: The open incidents.
            now: The time, in seconds since 1970 UTC.
        """
        self.alerts = {one.key: _resumed(one, now) for one in alerts if one.rule in self._rules}
        self.incidents = {one.uid: one for one in incidents}
        for one in incidents:
            one.is_flapping = self._is_flapping(one)

    def acknowledge(self, uids: Collection[str]) -> None:
        """Set which incidents a person has acknowledged."""
        for uid in uids:
            if uid in self.incidents:
                self.incidents[uid].acknowledged = True

    def known(self, rule: str) -> list[AlertState]:
        """Return the alerts of a rule that are not ok."""
        return [one for one in self.alerts.values() if one.rule == rule]

    def step(
        self,
        readings: Mapping[str, ConditionReading],
        now: float,
        *,
        silences: Sequence[Silence] = (),
        instances: Collection[str] | None = None,
    ) -> Changes:
        """Advance to a time, and return what changed.

        Args:
            readings: Rule -> what its condition says now. Rules that were not evaluated are not in it.
            now: Seconds since 1970 UTC; not less than at the step before.
            silences: Those that have not ended: a matching incident is not notified while one lasts.
            instances: The instances that are watched. Alerts of others are over; None: not known.
        """
        self._changes = Changes()
        for name, reading in readings.items():
            if name in self._rules:
                self._read(self._rules[name], reading, now, instances)
        self._close_without_rule(now)
        for alert in sorted(self._waiting(), key=self._order):
            self._open_or_wait(alert, now)
        for incident in list(self.incidents.values()):
            if incident.closed_at is None:
                self._notify(incident, now, silences)
            elif now - incident.closed_at > HOUR:
                del self.incidents[incident.uid]
        return self._changes

    def _read(
        self, rule: Rule, reading: ConditionReading, now: float, instances: Collection[str] | None
    ) -> None:
        for alert in self.known(rule.name):
            is_gone = instances is not None and dict(alert.labels).get("instance", "") not in {"", *instances}
            before = replace(alert)
            if alert.phase == "pending":
                self._read_pending(rule, alert, reading, now, is_gone)
            else:
                self._read_firing(rule, alert, reading, now, is_gone)
            alert.checked_at = now
            if alert.key in self.alerts and _written(alert) != _written(before):
                self._changes.states[alert.key] = alert
        known = {alert.labels for alert in self.known(rule.name)}
        for labels in sorted(reading.fires.keys() - known, key=sorted)[: max(0, MOST_ALERTS - len(known))]:
            key = alert_key(self._routing.environment, rule.name, dict(labels))
            alert = AlertState(key, rule.name, labels, "pending", now, now, now, value=reading.fires[labels])
            self.alerts[key] = self._changes.states[key] = alert
            self._fire_if_due(rule, alert, now)

    def _read_pending(
        self, rule: Rule, alert: AlertState, reading: ConditionReading, now: float, is_gone: bool
    ) -> None:
        if alert.labels in reading.fires:
            alert.value, alert.data_at = reading.fires[alert.labels], now
            self._fire_if_due(rule, alert, now)
        elif is_gone or alert.labels in reading.fires_data or now - alert.data_at > NO_DATA_SECONDS:
            self._end(alert)
        else:
            alert.since += now - alert.checked_at

    def _fire_if_due(self, rule: Rule, alert: AlertState, now: float) -> None:
        if now - alert.since >= rule.for_seconds:
            alert.phase, alert.since = "firing", now

    def _read_firing(
        self, rule: Rule, alert: AlertState, reading: ConditionReading, now: float, is_gone: bool
    ) -> None:
        value = reading.fires.get(alert.labels, reading.holds.get(alert.labels))
        if value is not None and not is_gone:
            alert.value, alert.data_at, alert.quiet_since = value, now, None
        elif is_gone or alert.labels in reading.holds_data:
            alert.data_at = now
            alert.quiet_since = now if alert.quiet_since is None else alert.quiet_since
            if now - alert.quiet_since >= self._quiet_seconds(rule, alert):
                why = "its instance is no longer watched" if is_gone else "its condition is no longer true"
                self._resolve(alert, now, why)
        elif now - alert.data_at > NO_DATA_SECONDS:
            self._resolve(alert, now, "there was no data for a day")
        elif alert.quiet_since is not None:
            alert.quiet_since += now - alert.checked_at

    def _quiet_seconds(self, rule: Rule, alert: AlertState) -> float:
        incident = self.incidents.get(alert.incident_uid or "")
        is_flapping = incident is not None and incident.is_flapping and not alert.joined
        return max(rule.keep_firing_seconds, FLAPPING_SECONDS if is_flapping else 0.0)

    def _is_flapping(self, incident: Incident) -> bool:
        since = incident.opened_at - HOUR
        opened = sum(
            one.key == incident.key and since < one.opened_at <= incident.opened_at
            for one in self.incidents.values()
        )
        return opened >= self._routing.flapping_per_hour

    def _close_without_rule(self, now: float) -> None:
        """Close open incidents that no alert has: the rule was disabled, or the watch ended in between."""
        owned = {alert.incident_uid for alert in self.alerts.values() if not alert.joined}
        for incident in self.incidents.values():
            if incident.closed_at is None and incident.source == "watch" and incident.uid not in owned:
                self._close(incident, now, "its rule is no longer evaluated")

    def _resolve(self, alert: AlertState, now: float, why: str) -> None:
        self._end(alert)
        incident = self.incidents.get(alert.incident_uid or "")
        if incident is None:
            return
        if alert.joined:
            self._note(incident, now, f"{alert.rule} is over: {why}")
        elif incident.closed_at is None:
            self._close(incident, now, why)

    def _end(self, alert: AlertState) -> None:
        del self.alerts[alert.key]
        self._changes.states[alert.key] = None

    def _close(self, incident: Incident, now: float, why: str) -> None:
        incident.closed_at, incident.ending = now, why
        self._changes.incidents[incident.uid] = incident
        if incident.notified:
            self._send(incident, "resolve", incident.notified, now)

    def _waiting(self) -> Iterator[AlertState]:
        """Yield the firing alerts that are not an incident of their own."""
        for alert in self.alerts.values():
            own = alert.incident_uid is not None and not alert.joined
            if alert.phase == "firing" and not own and self._rules[alert.rule].severity != "none":
                yield alert

    def _order(self, alert: AlertState) -> tuple[int, float, str]:
        """Return the order in which alerts of one step become incidents: what inhibits comes first."""
        rule = self._rules[alert.rule]
        inhibitors = sum(name in self._rules for name in rule.inhibited_by)
        return inhibitors - 1_000 * SEVERITIES[rule.severity], alert.since, alert.key

    def _open_or_wait(self, alert: AlertState, now: float) -> None:
        rule = self._rules[alert.rule]
        blocked_before = alert.blocked_at
        if self._is_inhibited(alert, rule):
            alert.blocked_at = now
        elif (related := self._related(alert, rule)) is not None:
            self._join(alert, related, now)
            if related.closed_at is None:
                alert.blocked_at = now
            elif alert.blocked_at is None:
                alert.blocked_at = alert.since
        if alert.blocked_at is not None and now - alert.blocked_at < GRACE_SECONDS:
            if blocked_before is None or blocked_before // 60 != alert.blocked_at // 60:
                self._changes.states[alert.key] = alert
            return
        if alert.blocked_at is None and self._may_be_inhibited_soon(alert, rule, now):
            return
        self._open(alert, rule, now)

    def _is_inhibited(self, alert: AlertState, rule: Rule) -> bool:
        return any(other.phase == "firing" for other in self._inhibitors(alert, rule))

    def _may_be_inhibited_soon(self, alert: AlertState, rule: Rule, now: float) -> bool:
        """Return whether an inhibitor is pending that will fire, if it does, in less than its `for`."""
        return any(
            other.phase == "pending" and now - alert.since <= self._rules[other.rule].for_seconds
            for other in self._inhibitors(alert, rule)
        )

    def _inhibitors(self, alert: AlertState, rule: Rule) -> Iterator[AlertState]:
        mine = dict(alert.labels)
        for other in self.alerts.values():
            if other.rule not in rule.inhibited_by:
                continue
            theirs, names = dict(other.labels), set(rule.labels) & set(self._rules[other.rule].labels)
            if all(mine.get(name) == theirs.get(name) for name in names):
                yield other

    def _related(self, alert: AlertState, rule: Rule) -> Incident | None:
        """Return the incident that the alert is a note of: an open one, else the one closed last."""
        mine = dict(alert.labels)
        found = [
            one
            for one in self.incidents.values()
            if one.cause == rule.cause
            and one.key != alert.key
            and SEVERITIES.get(one.severity, 0) >= SEVERITIES[rule.severity]
            and (one.closed_at is None or alert.since - one.closed_at < SAME_CAUSE_SECONDS)
            and _agree(mine, dict(one.labels))
        ]
        return max(found, key=lambda one: math.inf if one.closed_at is None else one.closed_at, default=None)

    def _join(self, alert: AlertState, incident: Incident, now: float) -> None:
        if alert.incident_uid == incident.uid:
            return
        alert.incident_uid, alert.joined = incident.uid, True
        self._changes.states[alert.key] = alert
        self._note(incident, now, f"{alert.rule}: {self._summary(alert)}")

    def _open(self, alert: AlertState, rule: Rule, now: float) -> None:
        incident = Incident(
            uid=self._new_uid(),
            key=alert.key,
            rule=rule.name,
            labels=alert.labels,
            severity=rule.severity,
            cause=rule.cause,
            source="watch",
            opened_at=now,
            summary=self._summary(alert),
            condition=rule.condition.words,
            value=alert.value,
        )
        alert.incident_uid, alert.joined, alert.blocked_at = incident.uid, False, None
        self.incidents[incident.uid] = self._changes.incidents[incident.uid] = incident
        incident.is_flapping = self._is_flapping(incident)
        self._changes.states[alert.key] = alert

    def _summary(self, alert: AlertState) -> str:
        value = math.nan if alert.value is None else alert.value
        return self._rules[alert.rule].text(_with_all_labels(self._rules[alert.rule], alert.labels), value)

    def _notify(self, incident: Incident, now: float, silences: Sequence[Silence]) -> None:
        """Send what is due of an open incident: its trigger, further channels, reminders."""
        if incident.source != "watch" or incident.acknowledged:
            return
        if any(one.matches(incident.rule, incident.labels, now) for one in silences):
            return
        if incident.notified_at is None:
            if channels := self._routing.channels.get(incident.severity, ()):
                incident.notified_at = now
                self._trigger(incident, channels, now)
            return
        if incident.severity == "page":
            for step in self._routing.escalation:
                if now - incident.notified_at >= step.after_seconds:
                    self._trigger(incident, step.channels, now)
        self._remind(incident, incident.notified_at, now)

    def _trigger(self, incident: Incident, channels: Sequence[str], now: float) -> None:
        if more := [name for name in dict.fromkeys(channels) if name not in incident.notified]:
            incident.notified = [*incident.notified, *more]
            self._changes.incidents[incident.uid] = incident
            self._send(incident, "trigger", more, now)

    def _remind(self, incident: Incident, notified_at: float, now: float) -> None:
        seconds = self._routing.remind_seconds
        if seconds is None:
            return
        due = math.floor((now - notified_at) / seconds)
        if due > incident.reminders:
            incident.reminders = due
            self._changes.incidents[incident.uid] = incident
            self._changes.messages.append(
                Message(incident.uid, "reminder", tuple(incident.notified), now, due)
            )

    def _send(self, incident: Incident, event: Event, channels: Sequence[str], now: float) -> None:
        self._changes.messages.append(Message(incident.uid, event, tuple(channels), now))

    def _note(self, incident: Incident, now: float, text: str) -> None:
        self._changes.notes.append(Note(self._new_uid(), incident.uid, now, text))


def _random_uid() -> str:
    return uuid.uuid4().hex


def _agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether two sets of labels have names in common, and equal values there."""
    names = one.keys() & other.keys()
    return bool(names or not (one or other)) and all(one[name] == other[name] for name in names)


def _with_all_labels(rule: Rule, labels: Labels) -> dict[str, str]:
    """Return the labels by name; one that the alert lacks, such as of a series that is absent, is empty."""
    return dict.fromkeys(rule.labels, "") | dict(labels)


def _resumed(alert: AlertState, now: float) -> AlertState:
    """Return a state in which no time passed since it was updated last."""
    gap = max(0.0, now - alert.checked_at)
    return replace(
        alert,
        since=alert.since + (gap if alert.phase == "pending" else 0.0),
        quiet_since=None if alert.quiet_since is None else alert.quiet_since + gap,
        data_at=alert.data_at + gap,
        checked_at=now,
    )


def _written(alert: AlertState) -> tuple[object, ...]:
    """Return what of a state is worth a write: not each new value, and times of data once a minute."""
    return (
        alert.phase, alert.quiet_since is None, alert.incident_uid, alert.joined, alert.data_at // 60,
        alert.since if alert.phase == "firing" else alert.since // 60,
    )  # fmt: skip
