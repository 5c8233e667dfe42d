"""Rules about the watch itself: whether it works, and whether its messages arrive.

What evaluates a rule can't report its own end: the dead man's switch does (`watch.heartbeat_url`).
"""

from __future__ import annotations

from tastemaker.alerting.conditions import increase, same
from tastemaker.alerting.example import Example, counter, gauge
from tastemaker.alerting.expressions import Aggregate, Compare, Gauge, Or
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

CHANNEL = ("channel",)
BY_INSTANCE = ("job", "instance")
MINUTE = 60


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules; they have no thresholds in the settings."""
    return (_not_delivered(), _watch_database())


def _not_delivered() -> Rule:
    oldest = Aggregate("max", CHANNEL, Gauge(metric("tastemaker_watch_outbox_oldest_seconds")))
    refused = increase(
        CHANNEL, metric("tastemaker_watch_notifications_total", outcome="rejected"), 10 * MINUTE
    )
    return Rule(
        name="not_delivered",
        severity="page",
        labels=CHANNEL,
        condition=same(
            Or(Compare(oldest, ">", MINUTE), Compare(refused, ">", 0)),
            "A message has not been delivered for a minute, or the receiver refused one in the last ten "
            "minutes.",
        ),
        summary="Messages to the channel {channel} are not delivered",
        unit="none",
        cause="watchdog",
        owner="operations",
        runbook=Runbook(
            "Nothing. People are not notified of faults by this channel.",
            "`tastemaker alerts show INCIDENT` has the receiver's answer for each message. "
            "`tastemaker alerts test --channel NAME` sends one now.",
            "400, 401 or 403: the key or address is wrong, or was revoked; set the right one and start the "
            "watch again. 5xx, timeouts: the receiver or the network is away; messages wait for a day. What "
            "was refused went to the other channels.",
            "`tastemaker_watch_outbox_oldest_seconds` is 0, and `tastemaker alerts test` ends with status 0.",
        ),
        keep_firing_seconds=2 * MINUTE,
        exporter="watch",
        example=Example(
            (
                gauge("watch_outbox_oldest_seconds", 0, 300, channel="pager"),
                counter("watch_notifications_total", 0, 1, channel="pager", outcome="rejected"),
            ),
            healed_steps=80,
        ),
    )


def _watch_database() -> Rule:
    return Rule(
        name="watch_database",
        severity="page",
        labels=BY_INSTANCE,
        condition=same(
            Compare(Aggregate("min", BY_INSTANCE, Gauge(metric("tastemaker_watch_database_up"))), "==", 0),
            "The watch has not been able to use the metadata database for a minute.",
        ),
        summary="{instance}: the watch can't use the database, so that it sends nothing",
        unit="none",
        cause="watchdog",
        owner="operations",
        runbook=Runbook(
            "Nothing. The watch evaluates in memory and sends nothing until the database is back; only "
            "Prometheus, or the dead man's switch, can report this.",
            "The watch's log has the error. Does Postgres run, is its disk full, is the file locked?",
            "Start the database, or free its disk. What happened meanwhile is written and sent then.",
            "`tastemaker_watch_database_up` is 1, and `tastemaker_watch_unwritten_changes` is 0.",
        ),
        for_seconds=MINUTE,
        exporter="watch",
        example=Example((gauge("watch_database_up", 1, 0),)),
    )
