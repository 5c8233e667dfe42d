"""The rule about drift, which reads what the nightly drift reports found."""

from __future__ import annotations

from tastemaker.alerting.conditions import same
from tastemaker.alerting.example import Example, gauge
from tastemaker.alerting.expressions import Aggregate, Compare, Gauge
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

BY = ("model", "side", "column")
QUARTER_HOUR = 900


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    return (_drift(settings.alerts.drift.lasting_seconds),)


def _drift(lasting_seconds: float) -> Rule:
    distance, threshold = (Gauge(metric(f"tastemaker_drift_{what}")) for what in ("distance", "threshold"))
    labels = {"model": "ease", "version": "v1", "side": "lists", "column": "item_price"}
    return Rule(
        name="drift",
        severity="ticket",
        labels=BY,
        condition=same(
            Aggregate("max", BY, Compare(distance, ">", threshold)),
            "In each drift report of so long that two nightly reports lie in it, the distance of a column is "
            "above its threshold.",
        ),
        summary="{model}: {column} of {side} has changed more than is usual (distance {value})",
        unit="count",
        cause="drift",
        owner="recommendations",
        runbook=Runbook(
            "It depends on what changed. Lists may fit worse, or the shop may simply have changed.",
            "The drift report in the reports folder says in a sentence what changed, by how much and in "
            "which direction. `users`: who comes; `features`: what models are given; `lists`: what is shown; "
            "`choices`: what users do. Is it a campaign, a season, a price list, or a fault of an import?",
            "A fault of an import: repair the source, and run `tastemaker run`. A lasting change of the "
            "shop: train again; what is usual is learned with it. Lists that changed by themselves: "
            '`tastemaker models rollback --reason "..."`.',
            "The next drift report does not name the column.",
        ),
        exporter="watch",
        for_seconds=lasting_seconds,
        evaluate_every_seconds=300,
        example=Example(
            (gauge("drift_distance", 0.05, 0.4, **labels), gauge("drift_threshold", 0.1, 0.1, **labels)),
            step_seconds=QUARTER_HOUR,
            faulty_steps=int(lasting_seconds // QUARTER_HOUR) + 20,
        ),
    )
