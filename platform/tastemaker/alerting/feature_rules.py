"""Rules about the user features that a service reads: whether they come, and whether they have values."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import Total, at_least, percent, share_above
from tastemaker.alerting.example import Example, counter
from tastemaker.alerting.expressions import And, Compare, Minus, Offset
from tastemaker.alerting.rule import RESOLVE_RATIO, Condition, Rule, Runbook
from tastemaker.alerting.series import metric, one_of
from tastemaker.settings import Settings

BY = ("job", "model")
BY_FEATURE = (*BY, "feature")
MINUTE, DAY = 60, 86_400
USERS = Total("users", metric("tastemaker_user_features_total"), BY)
VALUES = Total("values of a feature", metric("tastemaker_feature_values_total"), BY_FEATURE)
_DAY_STEPS = DAY // MINUTE


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return _feature_store(alerts), _features_vanished(alerts), _features_invalid(alerts)


def _feature_store(alerts: AlertsSettings) -> Rule:
    late = metric("tastemaker_user_features_total", one_of("outcome", ("late", "failed")))
    return Rule(
        name="feature_store",
        severity="page",
        labels=BY,
        condition=share_above(
            USERS,
            late,
            5 * MINUTE,
            alerts.feature_store,
            "got their features too late or not at all",
        ),
        summary="{model}: the features of {value} of users came too late or not at all",
        unit="share",
        cause="features",
        owner="operations",
        runbook=Runbook(
            "Lists are worse: the model ranks with missing values.",
            "`sum by (outcome) (rate(tastemaker_user_features_total[5m]))`: `late` is a slow store or "
            "network, `failed` a store that refuses. The service's log has the error.",
            "Start the online store, or give it memory. Did its last materialization run? `late` only: raise "
            "`serving.features_timeout_seconds` if the latency allows it.",
            "`late` and `failed` no longer increase.",
        ),
        for_seconds=MINUTE,
        keep_firing_seconds=2 * MINUTE,
        example=Example(
            (
                counter("user_features_total", 100, 90, model="ease", outcome="read"),
                counter("user_features_total", 0, 10, model="ease", outcome="late"),
            )
        ),
    )


def _features_vanished(alerts: AlertsSettings) -> Rule:
    limits, window = alerts.features_vanished, 10 * MINUTE
    missing = VALUES.share(metric("tastemaker_feature_values_total", state="missing"), window)
    rise = Minus(missing, Offset(missing, DAY))
    return Rule(
        name="features_vanished",
        severity="page",
        labels=BY_FEATURE,
        condition=Condition(
            And(Compare(rise, ">", limits.above), at_least(VALUES.increase(window), limits.minimum)),
            Compare(rise, ">", RESOLVE_RATIO * limits.above),
            f"The share of users without a value of a feature is {percent(limits.above)} of all users higher "
            f"than a day ago, over ten minutes and of {limits.minimum} users or more.",
        ),
        summary="{model}: {value} more of the users than a day ago have no value of {feature}",
        unit="share",
        cause="features",
        owner="recommendations",
        runbook=Runbook(
            "Lists are worse: the model ranks with missing values.",
            "`sum by (feature, state) (rate(tastemaker_feature_values_total[10m]))`. All features: was the "
            "online store emptied, or did the last materialization fail? One feature: which column of the "
            "source vanished; the pages of the gate have it. Many new users (a campaign) have no features, "
            "too.",
            "Repair the source and run the features and their materialization again: `tastemaker run`.",
            "The share of missing values is back at the level of the day before.",
        ),
        evaluate_every_seconds=30,
        for_seconds=2 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
        inhibited_by=("feature_store",),
        example=Example(
            (
                counter("feature_values_total", 190, 60, model="ease", feature="recency", state="present"),
                counter("feature_values_total", 10, 140, model="ease", feature="recency", state="missing"),
            ),
            step_seconds=60,
            healthy_steps=_DAY_STEPS + 60,
            faulty_steps=60,
            healed_steps=60,
            fires_from_start=False,
        ),
    )


def _features_invalid(alerts: AlertsSettings) -> Rule:
    return Rule(
        name="features_invalid",
        severity="ticket",
        labels=BY_FEATURE,
        condition=share_above(
            VALUES,
            metric("tastemaker_feature_values_total", state="invalid"),
            15 * MINUTE,
            alerts.features_invalid,
            "are infinite",
        ),
        summary="{model}: {value} of the values of {feature} are infinite",
        unit="share",
        cause="features",
        owner="recommendations",
        runbook=Runbook(
            "Lists are worse for these users.",
            "`sum by (feature, state) (rate(tastemaker_feature_values_total[15m]))`. A division by zero in "
            "the feature's expression, or a wrong unit in the source.",
            "Repair the expression or the source, and run the features again: `tastemaker run`.",
            'Values with `state="invalid"` no longer increase.',
        ),
        for_seconds=MINUTE,
        keep_firing_seconds=5 * MINUTE,
        example=Example(
            (
                counter("feature_values_total", 200, 180, model="ease", feature="spent", state="present"),
                counter("feature_values_total", 0, 20, model="ease", feature="spent", state="invalid"),
            ),
            faulty_steps=60,
            healed_steps=100,
        ),
    )
