"""Notifications as values: what is stored is read back, and keys identify alerts."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tastemaker.notifications.notification import Link, Notification, alert_key

TEXT = st.text(max_size=20)
NOTIFICATIONS = st.builds(
    Notification,
    key=TEXT,
    delivery_id=TEXT,
    event=st.sampled_from(["trigger", "reminder", "acknowledge", "resolve"]),
    incident=st.integers(1, 2**40),
    rule=TEXT,
    severity=st.sampled_from(["page", "ticket", "none"]),
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    summary=TEXT,
    condition=TEXT,
    value=st.none() | st.floats(allow_nan=False),
    started_at=st.datetimes(timezones=st.just(UTC)),
    occurred_at=st.datetimes(timezones=st.just(UTC)),
    details=st.lists(TEXT, max_size=3).map(tuple),
    examples=st.lists(TEXT, max_size=3).map(tuple),
    links=st.lists(st.builds(Link, TEXT, TEXT), max_size=3).map(tuple),
    commands=st.lists(TEXT, max_size=3).map(tuple),
)


@given(NOTIFICATIONS)
def test_a_notification_survives_strict_json(notification: Notification) -> None:
    text = json.dumps(notification.to_json(), allow_nan=False)
    assert Notification.from_json(json.loads(text)) == notification


def test_a_value_that_is_not_a_number_survives_too() -> None:
    at = datetime(2026, 11, 29, tzinfo=UTC)
    one = Notification("k", "d", "trigger", 1, "slow", "page", {}, "s", "c", math.nan, at, at)
    value = Notification.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False))).value
    assert value is not None
    assert math.isnan(value)


def test_a_key_is_the_same_in_every_process_and_order_of_labels() -> None:
    key = alert_key("production", "fallback_share", {"job": "tastemaker", "model": "ease"})
    assert key == alert_key("production", "fallback_share", {"model": "ease", "job": "tastemaker"})
    assert key == "tastemaker/production/fallback_share/121034a52095f0d0"


@given(st.lists(st.tuples(TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=2)), max_size=8))
def test_other_alerts_have_other_keys(alerts: list[tuple[str, str, dict[str, str]]]) -> None:
    """Environments and rules have no slash in them, by their settings."""
    distinct = {
        (place.replace("/", ""), rule.replace("/", ""), tuple(sorted(labels.items())))
        for place, rule, labels in alerts
    }
    assert len({alert_key(place, rule, dict(labels)) for place, rule, labels in distinct}) == len(distinct)


def test_a_long_key_keeps_to_the_limit_and_differs_from_others() -> None:
    keys = {alert_key("e" * 300, "slow", {"model": model}) for model in ("ease", "als", "ranker")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {255}
