"""Rules about foreign models that report their health; those about answers hold for them, too."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import above
from tastemaker.alerting.example import Example, age, gauge
from tastemaker.alerting.expressions import Age, Aggregate, Gauge
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

BY_MODEL = ("model",)
MINUTE = 60


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    return _report_late(settings.alerts), _report_slow(settings.alerts)


def _report_late(alerts: AlertsSettings) -> Rule:
    limit = alerts.report_late.above_seconds
    newest = Aggregate("max", BY_MODEL, Gauge(metric("tastemaker_reported_health_timestamp_seconds")))
    return Rule(
        name="report_late",
        severity="ticket",
        labels=BY_MODEL,
        condition=above(
            Age(newest),
            limit,
            f"The newest health report of a foreign model is more than {limit / MINUTE:g} minutes old, and "
            "less than seven days.",
        ),
        summary="{model}: the newest health report is {value} old",
        unit="duration",
        cause="models",
        owner="operations",
        runbook=Runbook(
            "It is not known: the model may be down, or only its reports are.",
            "`tastemaker report status`, or the dashboard's page Foreign models: who owns the model, and "
            "when it reported last. Does its own runbook say more? Are its reports refused?",
            "Ask its owner. If reports are refused, the page says why. If it is out of service, silence the "
            "alert: after seven days without a report it no longer fires.",
            "`tastemaker_reported_health_timestamp_seconds` is new.",
        ),
        exporter="watch",
        for_seconds=2 * MINUTE,
        example=Example((age("reported_health_timestamp_seconds", 60, 1_800, model="shop_search"),)),
    )


def _report_slow(alerts: AlertsSettings) -> Rule:
    limit = alerts.slow.seconds
    return Rule(
        name="report_slow",
        severity="page",
        labels=BY_MODEL,
        condition=above(
            Aggregate("max", BY_MODEL, Gauge(metric("tastemaker_reported_p99_seconds"))),
            limit,
            f"More than 1 % of a foreign model's lists take longer than {limit:g} s, as it reports itself.",
        ),
        summary="{model}: 1 % of lists take longer than {value}",
        unit="duration",
        cause="service",
        owner="operations",
        runbook=Runbook(
            "Pages that wait for recommendations, or show none.",
            "`tastemaker report status` has the owner, and the dashboard's page Foreign models its runbook.",
            "Ask its owner; the threshold is `alerts.slow.seconds`, as for our own services.",
            "`tastemaker_reported_p99_seconds` is below the threshold.",
        ),
        exporter="watch",
        for_seconds=2 * MINUTE,
        keep_firing_seconds=2 * MINUTE,
        example=Example((gauge("reported_p99_seconds", 0.04, 0.4, model="shop_search"),)),
    )
