"""Whether what is scraped has all that alert rules read."""

from __future__ import annotations

from collections.abc import Iterable

from tastemaker.alerting.rule import Rule
from tastemaker.alerting.series import SeriesByName


def assert_all_exported(rules: Iterable[Rule], scraped: SeriesByName) -> None:
    """Fail with the rule and the selector that find no series, or series without a label that they name.

    Args:
        rules: The rules.
        scraped: A healthy exporter before anything happened: a series that is born with its first failure
            hides that failure.
    """
    for rule in rules:
        for condition in (rule.condition.fires, rule.condition.holds):
            for selector in condition.selectors():
                found = list(selector.select(scraped))
                assert found, f"{rule.name}: {selector.promql()} selects nothing"
                named = {*rule.labels, *(one.label for one in selector.matchers)}
                for series in found:
                    assert named <= dict(series.labels).keys(), f"{rule.name}: {selector.promql()}"
