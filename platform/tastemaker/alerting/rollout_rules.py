"""Rules about rollouts: versions that do not reach the users."""

from __future__ import annotations

from tastemaker.alerting.conditions import same
from tastemaker.alerting.example import Example, age
from tastemaker.alerting.expressions import Age, Aggregate, Compare, Gauge
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

BY = ("rollout",)
HOUR = 3_600
OVERDUE_HOURS = 6
"""How long a step may be due: an obstacle may pass, and steps are taken within minutes."""


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rule; it has no threshold in the settings."""
    due = Aggregate("max", BY, Gauge(metric("tastemaker_rollout_due_timestamp_seconds")))
    return (
        Rule(
            name="rollout_overdue",
            severity="ticket",
            labels=BY,
            condition=same(
                Compare(Age(due), ">", OVERDUE_HOURS * HOUR),
                f"The next step of a rollout was due {OVERDUE_HOURS} hours ago, and no user has its version.",
            ),
            summary="rollout {rollout}: its next step was due {value} ago, and no user has its version",
            unit="duration",
            cause="experiments",
            owner="recommendations",
            runbook=Runbook(
                "Nothing: the champion stays in service. It gets older.",
                "`tastemaker rollout show NUMBER`, or the dashboard's page of the rollout: what it waits "
                "for, and why. Where no reason is newer than the due time, `tastemaker flows serve` does "
                "not run.",
                "Remove the obstacle, such as an experiment over models in another namespace; start "
                "`tastemaker control`, which copies requests and gives users versions, or `tastemaker flows "
                "serve`. Steps are tried again every few minutes. Or end it: `tastemaker rollout decline "
                "NUMBER --reason REASON`. After twice `promotion.max_days` it fails by itself.",
                "The rollout is in the canary, or has ended.",
            ),
            exporter="watch",
            example=Example(
                (age("rollout_due_timestamp_seconds", -HOUR, 2 * OVERDUE_HOURS * HOUR, rollout="3"),)
            ),
        ),
    )
