"""The rules as Prometheus reads them, and their routes and inhibitions as Alertmanager does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from tastemaker.alerting.promql_text import duration
from tastemaker.alerting.rule import Rule, Unit

FORMATS: dict[Unit, str] = {
    "share": "{{ $value | humanizePercentage }}",
    "duration": "{{ $value | humanizeDuration }}",
    "count": '{{ printf "%.4g" $value }}',
    "none": "",
}
"""How Prometheus' templates write what `rule.written` writes."""


def prometheus_rules(rules: Sequence[Rule], runbooks: str) -> dict[str, Any]:
    """Return the content of a rule file: one group per interval of evaluation, the shortest first.

    Prometheus knows no second threshold. There an alert resolves when its condition has been false for
    `keep_firing_for`; the lower threshold is for evaluators that keep state.

    Args:
        rules: The rules of the file.
        runbooks: Folder or URL of the runbooks, to which alerts link.
    """
    ordered = sorted(rules, key=lambda rule: rule.evaluate_every_seconds)
    groups = groupby(ordered, key=lambda rule: rule.evaluate_every_seconds)
    return {
        "groups": [
            {
                "name": f"tastemaker-{duration(seconds)}",
                "interval": duration(seconds),
                "rules": [_rule(rule, runbooks) for rule in group],
            }
            for seconds, group in groups
        ]
    }


def rule_labels(rule: Rule) -> dict[str, str]:
    """Return the labels that each alert of a rule gets."""
    return {"severity": rule.severity, "cause": rule.cause, "owner": rule.owner}


def alert_annotations(rule: Rule, runbooks: str) -> dict[str, str]:
    """Return the annotations of a rule's alerts, as Prometheus' templates: a summary and the runbook.

    Args:
        rule: The rule; its summary's {value} and labels become expressions of the templates.
        runbooks: Folder or URL of the runbooks.
    """
    summary = re.sub(
        r"{(\w+)}",
        lambda found: FORMATS[rule.unit] if found[1] == "value" else f"{{{{ $labels.{found[1]} }}}}",
        rule.summary,
    )
    return {"summary": summary, "runbook": f"{runbooks}/{rule.name}.md"}


def _rule(rule: Rule, runbooks: str) -> dict[str, Any]:
    written: dict[str, Any] = {"alert": rule.alert, "expr": rule.condition.fires.promql()}
    if rule.for_seconds:
        written["for"] = duration(rule.for_seconds)
    if rule.keep_firing_seconds:
        written["keep_firing_for"] = duration(rule.keep_firing_seconds)
    return written | {"labels": rule_labels(rule), "annotations": alert_annotations(rule, runbooks)}


def alertmanager(rules: Sequence[Rule]) -> dict[str, Any]:
    """Return Alertmanager's configuration: a pager, a channel for tickets, and a dead man's switch.

    Pages are not grouped: an incident that grows in silence calls no person. PagerDuty gets one `dedup_key`
    per alert, which Alertmanager derives from its labels. The watch gets every alert, too, so that its pages
    show the same as where it evaluates the rules itself. Keys and addresses are read from files that an
    operator writes.
    """
    identity = sorted({label for rule in rules for label in rule.labels})
    return {
        "route": {
            "receiver": "tickets",
            "group_by": ["alertname", *identity],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "24h",
            "routes": [
                {
                    "matchers": ['severity=~"page|ticket"'],
                    "receiver": "watch",
                    "continue": True,
                    "group_by": ["..."],
                    "group_wait": "0s",
                    "group_interval": "15s",
                    "repeat_interval": "1h",
                },
                {
                    "matchers": ['severity="none"'],
                    "receiver": "heartbeat",
                    "group_wait": "0s",
                    "group_interval": "1m",
                    # Equal to group_interval, every other repeat would come a few milliseconds too early.
                    "repeat_interval": "50s",
                },
                {
                    "matchers": ['severity="page"'],
                    "receiver": "pager",
                    "group_by": ["..."],
                    "group_wait": "2s",
                    # Prometheus repeats a resolve for 15 minutes, which keeps its group: a fault that comes
                    # back then waits for the interval, not for group_wait.
                    "group_interval": "10s",
                    "repeat_interval": "4h",
                },
                # An alert that the watch's route matched does not fall back on the first receiver.
                {"matchers": ['severity="ticket"'], "receiver": "tickets"},
            ],
        },
        "inhibit_rules": list(_inhibitions(rules)),
        "receivers": [
            {
                "name": "pager",
                "pagerduty_configs": [
                    {
                        "routing_key_file": "/etc/prometheus/pagerduty_routing_key",
                        "send_resolved": True,
                        "severity": "critical",
                        "description": "{{ .CommonAnnotations.summary }}",
                        "class": "{{ .CommonLabels.alertname }}",
                        "component": "{{ .CommonLabels.model }}",
                        "client": "Tastemaker",
                        "details": {
                            "runbook": "{{ .CommonAnnotations.runbook }}",
                            "owner": "{{ .CommonLabels.owner }}",
                        },
                    }
                ],
            },
            {
                "name": "tickets",
                "slack_configs": [
                    {
                        "api_url_file": "/etc/prometheus/slack_webhook_url",
                        "send_resolved": True,
                        "text": "{{ .CommonAnnotations.summary }} ({{ .CommonAnnotations.runbook }})",
                    }
                ],
            },
            {
                "name": "watch",
                "webhook_configs": [{"url": "http://127.0.0.1:3080/api/alerts", "send_resolved": True}],
            },
            {
                "name": "heartbeat",
                "webhook_configs": [{"url": "http://127.0.0.1:9095/heartbeat", "send_resolved": False}],
            },
        ],
    }


def _inhibitions(rules: Sequence[Rule]) -> Iterable[dict[str, Any]]:
    """Yield one inhibition per source and set of labels that source and targets share."""
    for source in rules:
        targets: dict[tuple[str, ...], list[str]] = {}
        for rule in rules:
            if source.name in rule.inhibited_by:
                shared = tuple(label for label in source.labels if label in rule.labels)
                targets.setdefault(shared, []).append(rule.alert)
        for shared, alerts in targets.items():
            yield {
                "source_matchers": [f'alertname="{source.alert}"'],
                "target_matchers": ['alertname=~"' + "|".join(alerts) + '"'],
                "equal": list(shared),
            }
