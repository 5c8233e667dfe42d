"""Reported health: what is exported of it, and that the rules about answers read it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from support.reporting_homes import Reporting, health, measurement, reporting
from tastemaker.alerting.rules import all_rules
from tastemaker.monitoring.fact_families import FactSources
from tastemaker.monitoring.lake_reading import LakeReading
from tastemaker.monitoring.report_facts import FORGOTTEN_DAYS, reported_health
from tastemaker.storage.tables import reported_models
from tastemaker.watch.reads import kept_series
from tastemaker.watch.samples import AllSamples, ScrapeTarget
from tastemaker.watch.watch_metrics import rendered


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Reporting]:
    with reporting(tmp_path / "home") as made:
        yield made


def metrics(home: Reporting) -> list[Any]:
    sources = FactSources(home.settings, home.engine, LakeReading(), datetime.now(UTC))
    return list(reported_health(sources))


def exported(home: Reporting) -> dict[tuple[str, ...], float]:
    samples = [sample for metric in metrics(home) for sample in metric.samples]
    return {(one.name.removeprefix("tastemaker_"), *one.labels.values()): one.value for one in samples}


def test_sums_of_reports_are_counters_by_our_own_names(home: Reporting) -> None:
    second = health(1, bad=0, p99_seconds=0.2)
    home.post("/health", [health(0), second])
    found = exported(home)
    newest = found.pop(("reported_health_timestamp_seconds", "shop_search"))
    assert newest == datetime.fromisoformat(second["at"]).timestamp()
    assert found == {
        ("answers_total", "shop_search", "model", "none"): 198,
        ("answers_total", "shop_search", "none", "model_error"): 2,
        ("empty_answers_total", "shop_search", "recommend"): 2,
        ("reported_p99_seconds", "shop_search"): 0.2,
    }


def test_an_announced_model_has_counters_before_its_first_report(home: Reporting) -> None:
    home.request("PUT", "/models/new", "other", json={"title": "t", "owner": "o"})
    home.post("/measurements", [measurement()])
    assert exported(home) == {
        ("answers_total", "new", "model", "none"): 0,
        ("answers_total", "new", "none", "model_error"): 0,
        ("empty_answers_total", "new", "recommend"): 0,
    }


def test_a_model_that_is_silent_for_a_week_has_sums_only(home: Reporting) -> None:
    home.post("/health", [health()])
    with home.engine.begin() as connection:
        old = datetime.now(UTC) - timedelta(days=FORGOTTEN_DAYS, minutes=1)
        connection.execute(update(reported_models).values(health_at=old))
    assert {name for name, *_ in exported(home)} == {"answers_total", "empty_answers_total"}


FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bad answers": ("fallback_share", {"bad": 20}),
    "empty answers": ("empty_lists", {"bad": 0, "empty": 20}),
    "slow answers": ("report_slow", {"bad": 0, "empty": 0, "p99_seconds": 0.9}),
    "no fault": ("", {"bad": 0, "empty": 0}),
}


@pytest.mark.parametrize(("rule", "fault"), FAULTS.values(), ids=FAULTS)
def test_the_rules_of_our_services_read_a_foreign_models_health(
    home: Reporting, rule: str, fault: dict[str, Any]
) -> None:
    home.request("PUT", "/models/shop_search", "search team", json={"title": "t", "owner": "o"})
    rules = [one for one in all_rules(home.settings) if one.name not in ("watchdog", "report_late")]
    samples, start = AllSamples(kept_series(rules)), 1_800_000_000.0
    target = samples.of("watch", ScrapeTarget("tastemaker_watch", "127.0.0.1:9270"))
    for second in range(0, 200, 5):
        if second % 60 == 30:
            home.post("/health", [health(second // 60, **fault)])
        target.append(rendered(metrics(home)), start + second)
    fires = {one.name for one in rules if one.condition.fires.evaluate(samples.by_name(), start + 195)}
    assert {rule} - {""} <= fires
    named = {"fallback_share", "empty_lists", "report_slow"}
    assert fires & named == {rule} - {""}
