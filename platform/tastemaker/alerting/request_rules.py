"""Rules about HTTP requests: errors, durations, refusals, and requests that no longer come."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import Total, at_least, increase, percent, share_above
from tastemaker.alerting.example import WEEK_STEPS, Example, Track, counter
from tastemaker.alerting.expressions import Aggregate, And, Compare, Offset, Over, Rate, Ratio
from tastemaker.alerting.rule import RESOLVE_RATIO, Condition, Rule, Runbook
from tastemaker.alerting.series import Matcher, metric, one_of
from tastemaker.settings import Settings

BY = ("job",)
LISTS = ("/recommend", "/recommend/batch", "/session", "/rank", "/similar/{item_id}")
"""Endpoints that answer with lists."""
PROBES = ("/", "/livez", "/readyz", "/metrics", "/openapi.json")
"""Endpoints that callers' pages do not depend on."""
NOT_OF_CALLERS = (*PROBES, "shadow")
"""These, and copies of requests, whose answers no user sees."""
MINUTE, WEEK = 60, 604_800
REQUESTS = "tastemaker_requests_total"
_OF_LISTS = one_of("endpoint", LISTS)
_OF_CALLERS = Matcher("endpoint", "!~", one_of("endpoint", NOT_OF_CALLERS).text)
_OF_FEEDBACK = Matcher("endpoint", "=", "/feedback")
_NO_IMPRESSION = Matcher("event_type", "!=", "impression")
_FAILED = Matcher("status", "=~", "5..")
FROM_CALLERS = Total("requests", metric(REQUESTS, _OF_CALLERS), BY)
FOR_LISTS = Total("requests for lists", metric(REQUESTS, _OF_LISTS), BY)
WITH_FEEDBACK = Total("feedback requests", metric(REQUESTS, _OF_FEEDBACK), BY)


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return (
        _errors(alerts),
        _slow(alerts),
        _requests_refused(alerts),
        _feedback_refused(alerts),
        _traffic_gone(alerts),
        _feedback_gone(alerts),
    )


def _requests(healthy: float, faulty: float, status: str, bad: float, endpoint: str) -> tuple[Track, Track]:
    """Return the counters of an endpoint's requests.

    Args:
        healthy: Requests per step with status 200, while the service is healthy.
        faulty: Requests per step with status 200 during the fault.
        status: The status of the others.
        bad: Requests per step during the fault that have this status.
        endpoint: The path's template.
    """
    return (
        counter("requests_total", healthy, faulty, endpoint=endpoint, status="200"),
        counter("requests_total", 0, bad, endpoint=endpoint, status=status),
    )


def _errors(alerts: AlertsSettings) -> Rule:
    return Rule(
        name="errors",
        severity="page",
        labels=BY,
        condition=share_above(
            FROM_CALLERS,
            metric(REQUESTS, _OF_CALLERS, _FAILED),
            MINUTE,
            alerts.errors,
            "failed with a 5xx status (probes do not count)",
        ),
        summary="{job}: {value} of requests fail",
        unit="share",
        cause="service",
        owner="operations",
        runbook=Runbook(
            "Pages without recommendations; feedback that is lost if the caller does not repeat it.",
            "Which endpoint: `sum by (endpoint, status) (rate(tastemaker_requests_total[1m]))`. The "
            "service's log has one line per failed request, with its `request_id`. Is the disk full? Is a "
            "proxy restarting?",
            "Undo the last change. A full disk: free it. 503 on `/feedback` alone: see `feedback_refused`.",
            "Requests with a 5xx status no longer increase.",
        ),
        for_seconds=10,
        keep_firing_seconds=2 * MINUTE,
        example=Example(_requests(100, 95, "503", 5, "/recommend")),
    )


def _slow(alerts: AlertsSettings) -> Rule:
    limits = alerts.slow
    durations = metric("tastemaker_request_duration_seconds", _OF_LISTS)
    return Rule(
        name="slow",
        severity="page",
        labels=BY,
        condition=share_above(
            Total("lists", metric("tastemaker_request_duration_seconds_count", _OF_LISTS), BY),
            Over(durations, limits.seconds, MINUTE, BY),
            MINUTE,
            limits,
            f"took longer than {limits.seconds:g} s",
        ),
        summary="{job}: {value} of lists take longer than " + f"{limits.seconds:g} s",
        unit="share",
        cause="service",
        owner="operations",
        runbook=Runbook(
            "Pages that wait for recommendations, or show none.",
            "Which endpoint: `tastemaker_request_duration_seconds` by `endpoint`. Is the machine's "
            "processor taken by something else, such as a training? Is the feature store slow "
            "(`feature_store`)? Are batches larger than usual?",
            "Stop what takes the processor; start more workers; roll back a version that is slower than the "
            "one "
            'before: `tastemaker models rollback --reason "..."`.',
            "The share of slow lists is below the threshold for five minutes.",
        ),
        for_seconds=30,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=("fallback_share", "queue_choked"),
        example=Example(
            (
                counter("request_duration_seconds_bucket", 100, 95, endpoint="/recommend", le="0.1"),
                counter("request_duration_seconds_count", 100, 100, endpoint="/recommend"),
            )
        ),
    )


def _requests_refused(alerts: AlertsSettings) -> Rule:
    refused = metric(REQUESTS, _OF_LISTS, one_of("status", ("401", "403", "421", "429")))
    return Rule(
        name="requests_refused",
        severity="page",
        labels=BY,
        condition=share_above(
            FOR_LISTS,
            refused,
            5 * MINUTE,
            alerts.requests_refused,
            "were refused for their key (401, 403), host (421) or rate (429)",
        ),
        summary="{job}: {value} of requests for lists are refused",
        unit="share",
        cause="callers",
        owner="operations",
        runbook=Runbook(
            "Pages without recommendations.",
            "`sum by (status) (rate(tastemaker_requests_total[5m]))`, then `tastemaker keys list`: a key "
            "that expired or was revoked (401), has not the scope (403), or is over its rate limit (429); a "
            "host name that is not in `serving.allowed_hosts` (421).",
            "Give the caller a valid key (`tastemaker keys new`, `rotate`) or a higher rate; add the host "
            "name.",
            "Requests with these statuses no longer increase.",
        ),
        for_seconds=MINUTE,
        keep_firing_seconds=2 * MINUTE,
        example=Example(_requests(100, 90, "401", 10, "/recommend")),
    )


def _feedback_refused(alerts: AlertsSettings) -> Rule:
    refused = metric(REQUESTS, _OF_FEEDBACK, one_of("status", ("429", "503")))
    return Rule(
        name="feedback_refused",
        severity="page",
        labels=BY,
        condition=share_above(
            WITH_FEEDBACK,
            refused,
            5 * MINUTE,
            alerts.feedback_refused,
            "were refused with 429 or 503",
        ),
        summary="{job}: {value} of feedback requests are refused",
        unit="share",
        cause="log",
        owner="operations",
        runbook=Runbook(
            "Nothing yet. Feedback that callers do not repeat is lost, and models will be trained without "
            "it.",
            "`tastemaker_log_backlog_bytes / tastemaker_log_limit_bytes` (from 0.8 feedback is refused), "
            '`tastemaker_degraded{reason="log"}`, the disk, and the rate limits of `tastemaker keys list`.',
            "A full log: `tastemaker ship --follow`, and is the database of the logs up? A full disk: free "
            "it. A rate limit: `tastemaker keys new --per-second N`.",
            "Feedback is answered with 200, and 429 and 503 no longer increase.",
        ),
        for_seconds=MINUTE,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=("spool_backlog", "errors", "disk_filling"),
        example=Example(_requests(100, 95, "503", 5, "/feedback")),
    )


def _traffic_gone(alerts: AlertsSettings) -> Rule:
    limits = alerts.traffic_gone
    now = Aggregate("sum", BY, Rate(metric(REQUESTS, _OF_LISTS), 5 * MINUTE))
    before = Offset(now, WEEK)
    ratio, guard = Ratio(now, before), Compare(before, ">", limits.minimum_per_second)
    return Rule(
        name="traffic_gone",
        severity="page",
        labels=BY,
        condition=Condition(
            And(Compare(ratio, "<", limits.below), guard),
            And(Compare(ratio, "<", limits.below / RESOLVE_RATIO), guard),
            f"Less than {percent(limits.below)} of the requests for lists of a week ago, when there were "
            f"more than {limits.minimum_per_second:g} per second.",
        ),
        summary="{job}: {value} of last week's requests for lists",
        unit="share",
        cause="traffic",
        owner="operations",
        runbook=Runbook(
            "Pages without recommendations: the service works, and is not asked.",
            "Proxy, DNS, certificates, a release of the shop, a caller that gave up after errors. Is it a "
            "holiday, or was there a campaign a week ago?",
            "Undo the shop's or the proxy's last change. A holiday: silence the alert, with the reason.",
            "The rate of requests is back at the level of the same hour a week ago.",
        ),
        evaluate_every_seconds=30,
        for_seconds=2 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
        inhibited_by=("service_down",),
        example=Example(
            (counter("requests_total", 600, 60, endpoint="/recommend", status="200"),),
            step_seconds=60,
            healthy_steps=WEEK_STEPS + 60,
            faulty_steps=60,
            healed_steps=60,
            fires_from_start=False,
        ),
    )


def _feedback_gone(alerts: AlertsSettings) -> Rule:
    limits, window = alerts.feedback_gone, 30 * MINUTE
    accepted = increase(
        BY, metric("tastemaker_feedback_events_total", _NO_IMPRESSION, outcome="accepted"), window
    )
    lists = increase(BY, metric(REQUESTS, _OF_LISTS, status="200"), window)
    silent = Compare(accepted, "==", 0)
    return Rule(
        name="feedback_gone",
        severity="page",
        labels=BY,
        condition=Condition(
            And(silent, at_least(lists, limits.minimum)),
            silent,
            f"No feedback but impressions was accepted in the last 30 minutes, in which {limits.minimum} "
            "lists or more were answered.",
        ),
        summary="{job}: lists are requested, but no feedback has come for 30 minutes",
        unit="count",
        cause="traffic",
        owner="recommendations",
        runbook=Runbook(
            "Nothing. The models learn nothing, and no reward can be measured.",
            "Are feedback requests refused (`feedback_refused`: key, rate), or do none come? Then it is the "
            "shop's tracking: a release, a consent banner, a queue that stands still.",
            "Fix the tracking. Send what was collected meanwhile: feedback may be late.",
            '`tastemaker_feedback_events_total{outcome="accepted"}` increases.',
        ),
        evaluate_every_seconds=30,
        for_seconds=2 * MINUTE,
        inhibited_by=("feedback_refused", "spool_backlog"),
        example=Example(
            (
                counter("requests_total", 60, 60, endpoint="/recommend", status="200"),
                counter("feedback_events_total", 6, 0, event_type="purchase", outcome="accepted"),
                counter("feedback_events_total", 60, 60, event_type="impression", outcome="accepted"),
            ),
            step_seconds=60,
            healthy_steps=40,
            faulty_steps=40,
            healed_steps=10,
        ),
    )
