"""PagerDuty's Events API v2 on the loopback: validates events as documented, and keeps alerts by their key.

(PagerDuty, "Events API v2": overview, and "Send an alert event".)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.scripted_http import Answer, Received, ScriptedServer

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
PATH = "/v2/enqueue"
EVENT_BYTES = 512_000
ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")
EVENT_FIELDS = {
    "routing_key": str,
    "event_action": str,
    "dedup_key": str,
    "payload": dict,
    "client": str,
    "client_url": str,
    "links": list,
    "images": list,
}
PAYLOAD_FIELDS = {
    "summary": str,
    "source": str,
    "severity": str,
    "timestamp": str,
    "component": str,
    "group": str,
    "class": str,
    "custom_details": dict,
}


@dataclass
class PagerDutyAlert:
    """One alert, from its trigger to its resolve."""

    key: str
    summary: str
    severity: str
    state: str = "triggered"
    events: list[dict[str, Any]] = field(default_factory=list)
    """All events that were applied, the trigger first."""
    triggered_at: float = 0.0
    """Seconds since 1970 UTC."""
    resolved_at: float | None = None


class PagerDutyServer(ScriptedServer):
    """A PagerDuty service. `alerts` has every alert that ever was, oldest first.

    A trigger of a key whose alert is open is added to that alert, as PagerDuty does; without an open alert it
    opens a new one, and an acknowledge or resolve is dropped.
    """

    def __init__(self, certificates: Path | None = None, port: int = 0) -> None:
        super().__init__(certificates, port)
        self.alerts: list[PagerDutyAlert] = []
        self.dropped: list[dict[str, Any]] = []
        self.invalid: list[list[str]] = []
        """The errors of each event that was refused."""

    @property
    def events_url(self) -> str:
        return self.url + PATH

    @property
    def open_alerts(self) -> list[PagerDutyAlert]:
        return [alert for alert in self.alerts if alert.state != "resolved"]

    def answer(self, request: Received) -> Answer:
        errors = event_errors(request)
        if errors:
            self.invalid.append(errors)
            return _json(400, status="invalid event", message="Event object is invalid", errors=errors)
        event = request.json()
        key = event.get("dedup_key") or f"made-{len(self.alerts)}"
        self._apply(key, event, request.at)
        return _json(202, status="success", message="Event processed", dedup_key=key)

    def _apply(self, key: str, event: dict[str, Any], at: float) -> None:
        alert = next((one for one in self.open_alerts if one.key == key), None)
        action = event["event_action"]
        if alert is None:
            if action != "trigger":
                self.dropped.append(event)
                return
            payload = event["payload"]
            alert = PagerDutyAlert(key, payload["summary"], payload["severity"], triggered_at=at)
            self.alerts.append(alert)
        alert.events.append(event)
        if action == "acknowledge":
            alert.state = "acknowledged"
        elif action == "resolve":
            alert.state, alert.resolved_at = "resolved", at


def event_errors(request: Received) -> list[str]:
    """Return what is wrong with an event, by the documentation."""
    if request.method != "POST" or request.path != PATH:
        return [f"{request.method} {request.path}, should be POST {PATH}"]
    if len(request.body) > EVENT_BYTES:
        return [f"the event has {len(request.body)} bytes, at most {EVENT_BYTES} are allowed"]
    try:
        event = json.loads(request.body, parse_constant=_refuse)
    except ValueError:
        return ["JSON parse error"]
    if not isinstance(event, dict):
        return ["the event is not an object"]
    errors = _field_errors("", event, EVENT_FIELDS, required=("routing_key", "event_action"))
    if errors:
        return errors
    if event["routing_key"] != ROUTING_KEY:
        errors.append("routing_key is unknown; it has 32 characters")
    if event["event_action"] not in ACTIONS:
        errors.append(f"event_action is not one of {ACTIONS}")
    if not 0 < len(event.get("dedup_key", "made by PagerDuty")) <= 255:
        errors.append("dedup_key must have 1 to 255 characters")
    if event["event_action"] == "trigger":
        errors += _trigger_errors(event)
    elif "dedup_key" not in event:
        errors.append("dedup_key is required")
    return errors


def _trigger_errors(event: dict[str, Any]) -> list[str]:
    payload = event.get("payload")
    if payload is None:
        return ["payload is required"]
    errors = _field_errors("payload.", payload, PAYLOAD_FIELDS, required=("summary", "source", "severity"))
    if errors:
        return errors
    if not 0 < len(payload["summary"]) <= 1_024:
        errors.append("payload.summary must have 1 to 1024 characters")
    if not payload["source"]:
        errors.append("payload.source is empty")
    if payload["severity"] not in SEVERITIES:
        errors.append(f"payload.severity is not one of {SEVERITIES}")
    if "timestamp" in payload:
        try:
            if datetime.fromisoformat(payload["timestamp"]).tzinfo is None:
                errors.append("payload.timestamp has no time zone")
        except ValueError:
            errors.append("payload.timestamp is not ISO 8601")
    if "client_url" in event and not _is_url(event["client_url"]):
        errors.append("client_url is not a URL")
    for link in event.get("links", []):
        wrong = _field_errors("links.", link, {"href": str, "text": str}, required=("href",))
        errors += wrong or ([] if _is_url(link["href"]) else ["links.href is not a URL"])
    for image in event.get("images", []):
        errors += _field_errors("images.", image, {"src": str, "href": str, "alt": str}, required=("src",))
    return errors


def _field_errors(where: str, given: Any, known: Mapping[str, type], required: tuple[str, ...]) -> list[str]:
    if not isinstance(given, dict):
        return [f"{where.rstrip('.')} is not an object"]
    errors = [f"{where}{name} is required" for name in required if name not in given]
    errors += [f"{where}{name} is unknown" for name in given if name not in known]
    errors += [
        f"{where}{name} is not a {kind.__name__}"
        for name, kind in known.items()
        if name in given and not isinstance(given[name], kind)
    ]
    return errors


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _json(code: int, /, **document: Any) -> Answer:
    return Answer(code, {"Content-Type": "application/json"}, json.dumps(document).encode())
