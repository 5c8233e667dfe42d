"""Alerts that call by day: they wait for the morning, and last through the night, in Prometheus as here."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.promtool import run_promtool
from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.expressions import Compare, Gauge
from tastemaker.alerting.prometheus_files import prometheus_rules
from tastemaker.alerting.rule import Rule
from tastemaker.alerting.rules import all_rules
from tastemaker.alerting.series import Series, SeriesByName, metric
from tastemaker.alerting.time_of_day import ByDay
from tastemaker.alerting.yaml_text import yaml_text
from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings, load_settings

HOUR = 3_600
BROKEN = Compare(Gauge(metric("tastemaker_gate_passed")), "==", 0)
SHOP, OTHER = frozenset({("source", "shop")}), frozenset({("source", "other")})


def rule(settings: Settings) -> Rule:
    return next(rule for rule in all_rules(settings) if rule.name == "gate_failed")


def at(hour: float, *, firing: bool = False) -> SeriesByName:
    """Two sources whose batches failed; the shop's alert may fire already."""
    found = {
        "tastemaker_gate_passed": [Series(labels, [hour * HOUR], [0.0]) for labels in (SHOP, OTHER)],
    }
    if firing:
        alert = {("alertname", "TastemakerGateFailed"), ("alertstate", "firing"), ("severity", "page")}
        found["ALERTS"] = [Series(SHOP | alert, [hour * HOUR], [1.0])]
    return found


@pytest.mark.parametrize(
    ("start", "end", "day"),
    [(7, 19, {*range(7, 19)}), (14, 2, {*range(14, 24), 0, 1}), (0, 8, {*range(8)})],
)
def test_an_alert_begins_by_day(start: int, end: int, day: set[int]) -> None:
    condition = ByDay(BROKEN, "TastemakerGateFailed", ("source",), start, end)
    for hour in range(48):
        found = at(hour)
        assert bool(condition.evaluate(found, hour * HOUR)) == (hour % 24 in day), hour
        assert condition.data(found, hour * HOUR) == {SHOP, OTHER}, "by night it is known, too"


def test_an_alert_that_fires_lasts_through_the_night() -> None:
    condition = ByDay(BROKEN, "TastemakerGateFailed", ("source",), 7, 19)
    assert condition.evaluate(at(3, firing=True), 3 * HOUR).keys() == {SHOP}
    assert rule(Settings()).condition.holds.evaluate(at(3), 3 * HOUR).keys() == {SHOP, OTHER}


@pytest.mark.processes
@pytest.mark.parametrize(("start", "end"), [(7, 19), (6, 2)])
def test_prometheus_waits_for_the_morning_and_not_for_the_day_to_resolve(
    start: int, end: int, tmp_path: Path
) -> None:
    """The batch fails in the first night at 3:00, and passes in the second night at 4:00."""
    settings = Settings(alerts=AlertsSettings(day_start_hour=start, day_end_hour=end))
    chosen = rule(settings)
    (tmp_path / "rules.yml").write_text(yaml_text(prometheus_rules([chosen], "runbooks")))
    labels = {"severity": "page", "cause": chosen.cause, "owner": chosen.owner, "source": "shop"}
    annotations = {
        "summary": chosen.text({"source": "shop"}, 0),
        "runbook": "runbooks/gate_failed.md",
    }
    firing = {2: False, 4: False, start + 0.1: True, 15: True, 26.5: True, 27.9: True, 28.1: False, 34: False}
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": 'tastemaker_gate_passed{source="shop"}',
                        "values": f"1x{3 * 60 - 1} 0x{25 * 60 - 1} 1x{8 * 60}",
                    }
                ],
                "alert_rule_test": [
                    {
                        "eval_time": f"{round(hour * 60)}m",
                        "alertname": chosen.alert,
                        "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}]
                        if fires
                        else [],
                    }
                    for hour, fires in firing.items()
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml_text(tests))
    tested = run_promtool("test", "rules", tmp_path / "test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_day_of_no_hours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tastemaker.toml").write_text("[alerts]\nday_start_hour = 9\nday_end_hour = 9\n")
    with pytest.raises(TastemakerError, match="the day must have 4 hours or more"):
        load_settings()
