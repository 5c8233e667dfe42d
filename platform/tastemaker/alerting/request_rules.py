"""Rules about HTTP requests: errors, durations, refusals, and requests that no longer come."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.expressions import Aggregate, And, Compare, Offset, Over, Rate, Ratio
from tastemaker.alerting.rule import (
    RESOLVE_RATIO,
    Condition,
    Rule,
    Runbook,
    above,
    at_least,
    increase,
    percent,
    share,
)
from tastemaker.alerting.series import Matcher, metric, one_of

BY = ("job",)
LISTS = ("/recommend", "/recommend/batch", "/session", "/rank", "/similar/{item_id}")
"""Endpoints that answer with lists."""
PROBES = ("/", "/livez", "/readyz", "/metrics", "/openapi.json")
"""Endpoints that callers' pages do not depend on."""
MINUTE, WEEK = 60, 604_800
REQUESTS = "tastemaker_requests_total"
_OF_LISTS = one_of("endpoint", LISTS)
_OF_CALLERS = Matcher("endpoint", "!~", one_of("endpoint", PROBES).text)
_FEEDBACK = Matcher("endpoint", "=", "/feedback")
_FAILED = Matcher("status", "=~", "5..")


def rules(alerts: AlertsSettings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    return (
        _errors(alerts),
        _slow(alerts),
        _requests_refused(alerts),
        _feedback_refused(alerts),
        _traffic_gone(alerts),
        _feedback_gone(alerts),
    )


def _errors(alerts: AlertsSettings) -> Rule:
    limits, all_requests = alerts.errors, metric(REQUESTS, _OF_CALLERS)
    return Rule(
        name="errors",
        severity="page",
        labels=BY,
        condition=above(
            share(BY, metric(REQUESTS, _OF_CALLERS, _FAILED), all_requests, MINUTE),
            limits.above,
            f"More than {percent(limits.above)} of the requests of the last minute, of {limits.minimum} or "
            "more, failed with a 5xx status. Probes do not count.",
            at_least(increase(BY, all_requests, MINUTE), limits.minimum),
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
    )


def _slow(alerts: AlertsSettings) -> Rule:
    limits = alerts.slow
    durations = metric("tastemaker_request_duration_seconds", _OF_LISTS)
    counted = metric("tastemaker_request_duration_seconds_count", _OF_LISTS)
    return Rule(
        name="slow",
        severity="page",
        labels=BY,
        condition=above(
            Over(durations, limits.seconds, MINUTE, BY),
            limits.above,
            f"More than {percent(limits.above)} of the lists of the last minute, of {limits.minimum} or "
            f"more, took longer than {limits.seconds:g} s.",
            at_least(increase(BY, counted, MINUTE), limits.minimum),
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
    )


def _requests_refused(alerts: AlertsSettings) -> Rule:
    limits, lists = alerts.requests_refused, metric(REQUESTS, _OF_LISTS)
    refused = metric(REQUESTS, _OF_LISTS, one_of("status", ("401", "403", "421", "429")))
    return Rule(
        name="requests_refused",
        severity="page",
        labels=BY,
        condition=above(
            share(BY, refused, lists, 5 * MINUTE),
            limits.above,
            f"More than {percent(limits.above)} of the requests for lists of the last five minutes, of "
            f"{limits.minimum} or more, were refused for their key (401, 403), host (421) or rate (429).",
            at_least(increase(BY, lists, 5 * MINUTE), limits.minimum),
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
    )


def _feedback_refused(alerts: AlertsSettings) -> Rule:
    limits, feedback = alerts.feedback_refused, metric(REQUESTS, _FEEDBACK)
    refused = metric(REQUESTS, _FEEDBACK, one_of("status", ("429", "503")))
    return Rule(
        name="feedback_refused",
        severity="page",
        labels=BY,
        condition=above(
            share(BY, refused, feedback, 5 * MINUTE),
            limits.above,
            f"More than {percent(limits.above)} of the feedback requests of the last five minutes, of "
            f"{limits.minimum} or more, were refused with 429 or 503.",
            at_least(increase(BY, feedback, 5 * MINUTE), limits.minimum),
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
        inhibited_by=("spool_backlog", "errors"),
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
    )


def _feedback_gone(alerts: AlertsSettings) -> Rule:
    limits, window = alerts.feedback_gone, 30 * MINUTE
    accepted = increase(BY, metric(REQUESTS, _FEEDBACK, status="200"), window)
    lists = increase(BY, metric(REQUESTS, _OF_LISTS, status="200"), window)
    silent = Compare(accepted, "==", 0)
    return Rule(
        name="feedback_gone",
        severity="page",
        labels=BY,
        condition=Condition(
            And(silent, at_least(lists, limits.minimum)),
            silent,
            f"No feedback was accepted in the last 30 minutes, in which {limits.minimum} lists or more were "
            "answered.",
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
            '`tastemaker_requests_total{endpoint="/feedback",status="200"}` increases.',
        ),
        evaluate_every_seconds=30,
        for_seconds=2 * MINUTE,
        inhibited_by=("feedback_refused", "spool_backlog"),
    )
