"""Rules about the log of answers and feedback on a service's disk."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import above, increase, percent, same
from tastemaker.alerting.example import Example, counter, gauge
from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import Aggregate, Compare, Gauge, Ratio
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

BY = ("job", "instance")
MINUTE = 60


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return _spool_backlog(alerts), _spool_old(alerts), _log_writes_behind(alerts), _records_lost()


def _largest(name: str) -> Expression:
    return Aggregate("max", BY, Gauge(metric(name)))


def _spool_backlog(alerts: AlertsSettings) -> Rule:
    limit = alerts.spool_backlog.above
    full = Ratio(_largest("tastemaker_log_backlog_bytes"), _largest("tastemaker_log_limit_bytes"))
    return Rule(
        name="spool_backlog",
        severity="page",
        labels=BY,
        condition=above(full, limit, f"The log takes more than {percent(limit)} of its limit on disk."),
        summary="{instance}: the log is {value} full; from 80 % feedback is refused",
        unit="share",
        cause="log",
        owner="operations",
        runbook=Runbook(
            "Nothing yet. From 80 % feedback is refused, and callers must repeat it.",
            "Does `tastemaker ship --follow` run, or the asset `served_requests`? Is the database of the "
            "logs up? `tastemaker_log_backlog_oldest_seconds` says since when nothing is shipped.",
            "Start the database; start `tastemaker ship`. To gain time, raise `log.spool_bytes` if the disk "
            "has room, and restart.",
            "`tastemaker_log_backlog_bytes` falls.",
        ),
        keep_firing_seconds=2 * MINUTE,
        example=Example((gauge("log_backlog_bytes", 10, 80), gauge("log_limit_bytes", 100, 100))),
    )


def _spool_old(alerts: AlertsSettings) -> Rule:
    limit = alerts.spool_old.above_seconds
    return Rule(
        name="spool_old",
        severity="ticket",
        labels=BY,
        condition=above(
            _largest("tastemaker_log_backlog_oldest_seconds"),
            limit,
            f"The oldest log record that was not shipped is older than {limit:g} s.",
        ),
        summary="{instance}: the oldest log record that was not shipped is {value} old",
        unit="duration",
        cause="log",
        owner="operations",
        runbook=Runbook(
            "Nothing. Models are trained and evaluated without what lies here.",
            "Does `tastemaker ship --follow` run, or the schedule of the asset `served_requests`? Its log "
            "has the error.",
            "Start it, or run `tastemaker ship` once. Logs that are only collected by a nightly run need a "
            "higher `alerts.spool_old.above_seconds`.",
            "`tastemaker_log_backlog_oldest_seconds` falls.",
        ),
        for_seconds=5 * MINUTE,
        inhibited_by=("spool_backlog",),
        example=Example((gauge("log_backlog_oldest_seconds", 10, 4_000),)),
    )


def _log_writes_behind(alerts: AlertsSettings) -> Rule:
    limit = alerts.log_writes_behind.above
    full = Ratio(_largest("tastemaker_log_waiting_records"), _largest("tastemaker_log_waiting_limit_records"))
    return Rule(
        name="log_writes_behind",
        severity="page",
        labels=BY,
        condition=above(
            full,
            limit,
            f"More than {percent(limit)} of the memory for records that wait for the disk is used.",
        ),
        summary="{instance}: the memory for log records that wait for the disk is {value} full",
        unit="share",
        cause="log",
        owner="operations",
        runbook=Runbook(
            "Nothing yet. When it is full, answers are no longer logged and feedback is refused.",
            "Is the disk slow, full or read-only (`dmesg`, `df`)? The service's log has the error.",
            "Free or replace the disk. Stop what else writes to it.",
            "`tastemaker_log_waiting_records` is near 0.",
        ),
        for_seconds=30,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=("disk_filling",),
        example=Example(
            (
                gauge("log_waiting_records", 10, 60_000),
                gauge("log_waiting_limit_records", 100_000, 100_000),
            )
        ),
    )


def _records_lost() -> Rule:
    lost = increase(BY, metric("tastemaker_log_lost_records_total"), MINUTE)
    return Rule(
        name="records_lost",
        severity="page",
        labels=BY,
        condition=same(Compare(lost, ">", 0), "An answer of the last minute will never be in the log."),
        summary="{instance}: {value} answers of the last minute will never be in the log",
        unit="count",
        cause="log",
        owner="operations",
        runbook=Runbook(
            "Nothing. What is lost is missing from training, and biases it if it is not lost at random.",
            "By `cause`: `full` (no room in memory or on disk; see `log_writes_behind`, `spool_backlog`), "
            "`failed` (the disk refused; the service's log has the error).",
            "Free or replace the disk. Note from when until when records were lost, and leave that time out "
            "of experiments.",
            "`tastemaker_log_lost_records_total` no longer increases.",
        ),
        keep_firing_seconds=5 * MINUTE,
        example=Example((counter("log_lost_records_total", 0, 7, cause="failed"),)),
    )
