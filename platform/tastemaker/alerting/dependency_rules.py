"""Rules about what the pipeline depends on and others change."""

from __future__ import annotations

from tastemaker.alerting.conditions import same
from tastemaker.alerting.example import Example, age
from tastemaker.alerting.expressions import Age, Aggregate, Compare, Gauge
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

BY = ("kind", "dependency")
DAY = 86_400


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules; they have no thresholds."""
    changed = Aggregate("max", BY, Gauge(metric("tastemaker_dependency_changed_timestamp_seconds")))
    return (
        Rule(
            name="dependency_changed",
            severity="ticket",
            labels=BY,
            condition=same(
                Compare(Age(changed), "<", DAY),
                "The form of a source's tables or the installed packages changed in the last day.",
            ),
            summary="{kind} {dependency} changed {value} ago",
            unit="duration",
            cause="data",
            owner="recommendations",
            exporter="watch",
            runbook=Runbook(
                "Nothing yet. A column that has another meaning or format changes what models learn.",
                "The newest run of the asset `landed_events` (`source_changes`) or `installed_packages` "
                "(`changes`) names what changed; the table `dependency_changes` has all changes.",
                "Ask the source's owner whether the change was meant. Compare the newest backtests with "
                "those before: `tastemaker leaderboard`. Undo an update of a package that was not meant.",
                "The alert resolves a day after the change. What changed is named in the review.",
            ),
            example=Example(
                (
                    age(
                        "dependency_changed_timestamp_seconds",
                        40 * DAY,
                        60,
                        kind="source",
                        dependency="table",
                    ),
                )
            ),
        ),
    )
