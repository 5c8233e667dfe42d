"""Rules about data: the gate, its quarantine, how new the events are, and the features made from them."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import above, at_least, percent
from tastemaker.alerting.example import Example, age, gauge
from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import Age, Aggregate, Compare, Gauge, Minus, Ratio
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import Matcher, metric
from tastemaker.alerting.time_of_day import by_day, day_example
from tastemaker.settings import Settings

SOURCE = ("source",)
VERSION = ("model", "version")
FEATURE = (*VERSION, "feature")
MINUTE = 60
EXAMPLE_FEATURE = {"model": "ranker", "version": "v1", "feature": "user_tempo_days"}
FEEDBACK = "feedback"
"""The source of events that callers report; `feedback_gone` and `feedback_refused` watch it."""


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return (
        _gate_failed(alerts),
        _quarantine(alerts),
        _data_stale(alerts),
        _feature_nulls(alerts),
        _feature_skew(alerts),
    )


def _largest(by: tuple[str, ...], name: str, *matchers: Matcher) -> Expression:
    """Return the largest value of a fact: several watchers may export it."""
    return Aggregate("max", by, Gauge(metric(f"tastemaker_{name}", *matchers)))


def _gate_failed(alerts: AlertsSettings) -> Rule:
    passed = Aggregate("min", SOURCE, Gauge(metric("tastemaker_gate_passed")))
    return Rule(
        name="gate_failed",
        severity="page",
        labels=SOURCE,
        condition=by_day(
            alerts,
            "gate_failed",
            SOURCE,
            Compare(passed, "==", 0),
            "The newest batch of a source did not pass the data gate.",
        ),
        summary="{source}: the newest batch was refused; the tables keep their earlier rows",
        unit="none",
        cause="data",
        owner="recommendations",
        runbook=Runbook(
            "Nothing yet. Models are not trained on the new days.",
            "The run's page has the reason, and so has the table `gate_results` of the metadata database. "
            "`tastemaker data check` shows examples of each; the pages are in `reports/data_docs`. A source "
            "named `user_features` or `item_features` is a snapshot of features.",
            "Fix the source and run again: `tastemaker run`. If the rule is wrong, correct it in "
            "`expectations`.",
            "`tastemaker_gate_passed` is 1.",
        ),
        exporter="watch",
        example=day_example(alerts, gauge("gate_passed", 1, 0, source="table")),
    )


def _quarantine(alerts: AlertsSettings) -> Rule:
    limits = alerts.quarantine
    share = _largest(SOURCE, "gate_quarantined_ratio")
    unusual = Compare(Ratio(share, _largest(SOURCE, "gate_quarantined_usual_ratio")), ">", limits.times_usual)
    return Rule(
        name="quarantine",
        severity="ticket",
        labels=SOURCE,
        condition=above(
            share,
            limits.above,
            f"More than {percent(limits.above)} of the rows of a source's newest day are in quarantine, "
            f"{limits.minimum} or more, and more than {limits.times_usual:g} times the share of the 28 days "
            "before.",
            unusual,
            at_least(_largest(SOURCE, "gate_quarantined_rows"), limits.minimum),
        ),
        summary="{source}: {value} of the rows of the newest day are in quarantine",
        unit="share",
        cause="data",
        owner="recommendations",
        runbook=Runbook(
            "Nothing. Models do not learn from these rows.",
            "The table `quarantine` of the lake has each row with the rule that it failed; "
            "`tastemaker data check` counts and explains them.",
            "Fix what the source delivers, and run again: `tastemaker run`. A day that is corrected at the "
            "source is read again.",
            "`tastemaker_gate_quarantined_ratio` is below the threshold.",
        ),
        exporter="watch",
        for_seconds=MINUTE,
        inhibited_by=("gate_failed",),
        example=Example(
            (
                gauge("gate_quarantined_ratio", 0.02, 0.2, source="table"),
                gauge("gate_quarantined_usual_ratio", 0.02, 0.02, source="table"),
                gauge("gate_quarantined_rows", 40, 400, source="table"),
            )
        ),
    )


def _data_stale(alerts: AlertsSettings) -> Rule:
    limit = alerts.data_stale.above_seconds
    other = Matcher("source", "!=", FEEDBACK)
    return Rule(
        name="data_stale",
        severity="ticket",
        labels=SOURCE,
        condition=above(
            Age(_largest(SOURCE, "events_newest_timestamp_seconds", other)),
            limit,
            f"The newest event of a source is older than {limit / 3_600:g} hours.",
        ),
        summary="{source}: the newest event is {value} old",
        unit="duration",
        cause="data",
        owner="recommendations",
        runbook=Runbook(
            "Nothing at once. Lists do not follow what users did lately.",
            "Does the export that fills the source run? Are its times in the zone that `source.timezone` "
            "names? Did the last run succeed (`job_failed`, `job_late`)?",
            "Start the export, then `tastemaker run`. For a source that no longer grows, disable this rule: "
            '`alerts.disabled` = ["data_stale"].',
            "`tastemaker_events_newest_timestamp_seconds` rises.",
        ),
        exporter="watch",
        for_seconds=5 * MINUTE,
        inhibited_by=("gate_failed",),
        example=Example((age("events_newest_timestamp_seconds", 3_600, 2 * 86_400, source="table"),)),
    )


def _feature_nulls(alerts: AlertsSettings) -> Rule:
    limit = alerts.feature_nulls.above
    more = Minus(
        _largest(FEATURE, "feature_missing_ratio"), _largest(FEATURE, "feature_missing_learned_ratio")
    )
    return Rule(
        name="feature_nulls",
        severity="page",
        labels=FEATURE,
        condition=above(
            more,
            limit,
            f"In the requests of the last day a user feature was missing by more than {percent(limit)} more "
            "often than for the same users in training.",
        ),
        summary="{model} {version}: {feature} was missing in {value} more requests than in training",
        unit="share",
        cause="features",
        owner="recommendations",
        runbook=Runbook(
            "Lists are worse: the model gets a missing value where it learned from a number.",
            "One feature: which column of the source is empty since when (`gate_failed`, `quarantine`)? All "
            "features: is the online store empty, or another one than `online_store.url` names? "
            '`tastemaker_user_features_total{outcome="late"}` counts what came too late.',
            "Fill the column at the source and run again: `tastemaker run`. Write the online store again: "
            "`tastemaker run --select online_features`. If it began with a deployment: "
            '`tastemaker models rollback --reason "..."`.',
            "`tastemaker_feature_missing_ratio` falls; it is of the last day.",
        ),
        exporter="watch",
        for_seconds=10 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
        inhibited_by=("feature_store", "features_vanished"),
        example=Example(
            (
                gauge("feature_missing_ratio", 0.05, 0.4, **EXAMPLE_FEATURE),
                gauge("feature_missing_learned_ratio", 0.05, 0.05, **EXAMPLE_FEATURE),
            ),
            faulty_steps=60,
        ),
    )


def _feature_skew(alerts: AlertsSettings) -> Rule:
    limit = alerts.feature_skew.above
    return Rule(
        name="feature_skew",
        severity="ticket",
        labels=VERSION,
        condition=above(
            _largest(VERSION, "feature_skew_ratio"),
            limit,
            f"More than {percent(limit)} of the logged feature values differ from those that are computed "
            "again as of then.",
        ),
        summary="{model} {version}: {value} of the logged feature values differ from those computed again",
        unit="share",
        cause="features",
        owner="recommendations",
        runbook=Runbook(
            "Lists are worse: the model gets other numbers than it learned from.",
            "`tastemaker data skew` names the feature, requests, and both values. `stale` says that the "
            "values are those of an earlier snapshot, so that the online store was not written.",
            "Stale: `tastemaker run --select online_features`. One feature: its definition changed after the "
            "version was trained; train again (`tastemaker run`), and raise FEATURES_VERSION with each "
            "change of a definition.",
            "`tastemaker data skew` finds no difference in requests since then.",
        ),
        exporter="watch",
        example=Example((gauge("feature_skew_ratio", 0, 0.05, model="ranker", version="v1"),)),
    )
