"""Alerts that Alertmanager sends: its webhook, version 4, becomes incidents like those of the watch itself.

(Prometheus, Alertmanager, "webhook_config".) The same call may come many times; it changes something once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Literal

import msgspec
from sqlalchemy import Engine, select

from tastemaker.alerting.rule import Rule
from tastemaker.alerting.series import Labels
from tastemaker.errors import TastemakerError
from tastemaker.notifications.notification import alert_key
from tastemaker.storage.tables import alert_incidents
from tastemaker.watch.incident import Changes, Incident, Message
from tastemaker.watch.reported_incidents import notify_reported
from tastemaker.watch.routing import Routing
from tastemaker.watch.rows import read_incident
from tastemaker.watch.store import WatchStore

OWN_LABELS = ("alertname", "severity", "cause", "owner")
"""Labels that the rules' files add to each alert, and that no incident has."""


class _Alert(msgspec.Struct, rename="camel"):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: datetime
    annotations: dict[str, str] = {}
    ends_at: datetime | None = None


class _Webhook(msgspec.Struct):
    version: Literal["4"]
    alerts: list[_Alert]


def apply_webhook(engine: Engine, body: bytes, rules: Sequence[Rule], routing: Routing, *, now: float) -> int:
    """Open and close the incidents of a call, and enqueue their messages.

    Alerts that are for machines (severity none) are left out. An incident that a silence matches is opened,
    too; its trigger waits for the silence's end, and is not sent if Alertmanager resolves the alert before.

    Args:
        engine: The metadata database.
        body: The call's body, JSON.
        rules: The rules, by whose names alerts are known.
        routing: The channels; none, where Alertmanager notifies people itself.
        now: Seconds since 1970 UTC.

    Returns:
        How many incidents were opened or closed.

    Raises:
        TastemakerError: The body is not Alertmanager's webhook in version 4.
    """
    try:
        # No database takes the character NUL.
        webhook = msgspec.json.decode(body.replace(rb"\u0000", rb"\ufffd"), type=_Webhook)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TastemakerError(
            f"the body is not Alertmanager's webhook, version 4: {error}", fix="send it by a webhook_config"
        ) from error
    by_alert = {rule.alert: rule for rule in rules}
    store = WatchStore(engine, "alertmanager")
    count = 0
    for alert in webhook.alerts:
        rule = by_alert.get(alert.labels.get("alertname", ""))
        changes = _changes(engine, alert, rule, routing.environment, now)
        if changes:
            store.write(changes, with_lease=False)
            count += 1
    notify_reported(engine, routing)
    return count


def _changes(engine: Engine, alert: _Alert, rule: Rule | None, environment: str, now: float) -> Changes:
    name, labels = _identity(alert, rule)
    severity = alert.labels.get("severity", "ticket") if rule is None else rule.severity
    if severity not in ("page", "ticket"):
        return Changes()
    key = alert_key(environment, name, dict(labels))
    still_open = _open_incident(engine, key)
    if alert.status == "resolved":
        if still_open is None or still_open.source != "alertmanager":
            return Changes()
        ended_at = alert.ends_at.astimezone(UTC).timestamp() if alert.ends_at else now
        still_open.closed_at, still_open.ending = min(ended_at, now), "Alertmanager resolved it"
        return Changes(
            incidents={still_open.uid: still_open},
            messages=[Message(still_open.uid, "resolve", tuple(still_open.notified), now)],
        )
    incident = _incident(alert, rule, name, labels, severity, key)
    if still_open is not None or _is_known(engine, incident.uid):
        return Changes()
    return Changes(incidents={incident.uid: incident})


def _identity(alert: _Alert, rule: Rule | None) -> tuple[str, Labels]:
    """Return the rule's name, and the labels that distinguish its alerts."""
    if rule is not None:
        return rule.name, frozenset(
            (name, text) for name, text in alert.labels.items() if name in rule.labels
        )
    labels = frozenset((name, text) for name, text in alert.labels.items() if name not in OWN_LABELS)
    return alert.labels.get("alertname", "unnamed")[:100], labels


def _incident(
    alert: _Alert, rule: Rule | None, name: str, labels: Labels, severity: str, key: str
) -> Incident:
    started_at = alert.starts_at.astimezone(UTC)
    uid = blake2b(f"{key}\n{started_at.isoformat()}".encode(), digest_size=16).hexdigest()
    return Incident(
        uid=uid,
        key=key,
        rule=name,
        labels=labels,
        severity=severity,
        cause=_text(alert.labels, "cause", "other")[:50] if rule is None else rule.cause,
        source="alertmanager",
        opened_at=started_at.timestamp(),
        summary=_text(alert.annotations, "summary", name),
        condition=_text(alert.annotations, "description", name) if rule is None else rule.condition.words,
        value=None,
    )


def _text(found: Mapping[str, str], name: str, otherwise: str) -> str:
    return found.get(name) or otherwise


def _open_incident(engine: Engine, key: str) -> Incident | None:
    with engine.connect() as connection:
        row = connection.execute(
            select(alert_incidents).where(alert_incidents.c.key == key, alert_incidents.c.closed_at.is_(None))
        ).one_or_none()
    return None if row is None else read_incident(row)


def _is_known(engine: Engine, uid: str) -> bool:
    with engine.connect() as connection:
        found = connection.execute(select(alert_incidents.c.id).where(alert_incidents.c.uid == uid))
        return found.scalar_one_or_none() is not None
