"""The alert rules: thresholds are settings, rules fit together, and a real worker exports what they read."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from string import Formatter

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.alert_rules import assert_all_exported
from tastemaker import alert_settings
from tastemaker.alerting import answer_rules, exported, request_rules
from tastemaker.alerting.example import INSTANCE
from tastemaker.alerting.rule import Rule, written
from tastemaker.alerting.rules import all_rules
from tastemaker.alerting.samples import as_series
from tastemaker.alerting.series import Labels, Series
from tastemaker.cli.main import cli
from tastemaker.errors import TastemakerError
from tastemaker.serving.http.routes import ROUTES
from tastemaker.serving.inference.fallback_reasons import FALLBACKS, MODEL_SHORT
from tastemaker.serving.runtime.metrics import SECONDS
from tastemaker.settings import Settings, load_settings

WORKER = """
import os, sys
from pathlib import Path
from tastemaker.event_log.spool import Spool
from tastemaker.registry.deployment import Target
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.runtime.metrics import Metrics
from tastemaker.serving.runtime.worker_slots import Workers
folder = Path(sys.argv[1])
workers = Workers(folder)
workers.arrive(1)
with Spool(folder / "spool") as spool:
    endpoints = SERVICE_ROUTES.statuses()
    metrics = Metrics(
        spool, folder, place=1, server=os.getppid(), endpoints=endpoints, folders={"spool": folder}
    )
    workers.serve(1)
    engine = metrics.engine("ease")
    engine.serves("ease", "v1")
    engine.reads("ease", ["recency"])
    engine.learns_from(["purchase"])
    engine.wants(None, Target("ease", "v1"))
    engine.measured(ready=True, waiting=0, limit=1_000)
    metrics.is_degraded((), differs=False)
    print(metrics.page().decode())
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without tastemaker.toml."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scraped(tmp_path: Path) -> dict[str, list[Series]]:
    """Two scrapes, 15 seconds apart, of a worker that was asked nothing."""
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {"up": [Series(frozenset(INSTANCE.items()), [0.0, 15.0], [1.0, 1.0])]}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = frozenset((sample.labels | INSTANCE).items())
            found.setdefault(sample.name, []).append(Series(labels, [0.0, 15.0], [sample.value] * 2))
    return found


def rules(settings: Settings | None = None) -> dict[str, Rule]:
    return {rule.name: rule for rule in all_rules(settings or Settings())}


@pytest.mark.processes
def test_a_real_worker_exports_every_metric_and_label_that_a_rule_reads(
    scraped: dict[str, list[Series]],
) -> None:
    read = [rule for rule in rules().values() if rule.exporter == "service"]
    assert len(read) >= 25
    assert_all_exported(read, scraped)


@pytest.mark.processes
def test_what_a_service_exports_is_known(scraped: dict[str, list[Series]]) -> None:
    assert scraped.keys() == exported.names("service").keys()
    for name, labels in exported.names("service").items():
        for series in scraped[name]:
            assert dict(series.labels).keys() == labels, name


@pytest.mark.processes
def test_an_idle_service_fires_nothing_but_the_watchdog(scraped: dict[str, list[Series]]) -> None:
    # What else runs on this machine is another matter.
    read = [rule for rule in rules().values() if rule.exporter == "service" and rule.cause != "machine"]
    firing = {rule.name for rule in read if rule.condition.fires.evaluate(scraped, 15)}
    assert firing == {"watchdog"}


def test_names_that_rules_repeat_are_those_of_the_service() -> None:
    assert set(answer_rules.FALLBACK_REASONS) == set(FALLBACKS) - {MODEL_SHORT}
    assert alert_settings.DURATION_BOUNDS == SECONDS
    by_scope = {route.path: route.scope for route in ROUTES}
    assert {by_scope[path] for path in request_rules.LISTS} == {"recommend"}
    assert set(request_rules.LISTS) == {path for path, scope in by_scope.items() if scope == "recommend"}
    assert set(request_rules.PROBES) == {path for path, scope in by_scope.items() if scope is None}


def test_every_rule_has_an_example_that_gives_its_labels() -> None:
    assert [name for name, rule in rules().items() if rule.example is None] == ["watchdog"]
    for name, rule in rules().items():
        example = rule.example
        if example is None:
            continue
        healthy, faulty = example.healthy_steps, example.faulty_steps
        series = as_series(example.phases((healthy, "healthy"), (faulty, "faulty")), example.step_seconds)
        alerts = rule.condition.fires.evaluate(series, (healthy + faulty) * example.step_seconds)
        assert [dict(labels).keys() for labels in alerts] == [set(rule.labels)], name
        held = rule.condition.holds.evaluate(series, (healthy + faulty) * example.step_seconds)
        assert held.keys() >= alerts.keys(), name


def test_an_inhibited_rule_waits_longer_than_its_inhibitor() -> None:
    """Else it calls before it is silenced."""
    found = rules()
    for name, rule in found.items():
        for inhibitor in rule.inhibited_by:
            assert rule.for_seconds > found[inhibitor].for_seconds, (name, inhibitor)
            assert set(found[inhibitor].labels) & set(rule.labels), (name, inhibitor)


@pytest.mark.parametrize(
    ("page", "others"),
    [
        ("no_model", ["fallback_share", "fallback_share_quiet", "empty_lists", "filled_items"]),
        ("fallback_share", ["queue_choked", "overloaded", "slow", "filled_items"]),
        ("empty_lists", ["short_lists"]),
        ("feature_store", ["features_vanished"]),
        ("memory", ["workers_restart"]),
        ("disk_filling", ["log_writes_behind", "feedback_refused"]),
        ("service_down", ["traffic_gone", "cpu_idle"]),
        ("blind", ["service_down"]),
    ],
)
def test_one_fault_is_one_page(page: str, others: list[str]) -> None:
    """What a fault makes fire as well is silent while its own page fires."""
    found = rules()
    names = [page, *others]
    steps = {name: found[name].example for name in names}
    firing: dict[str, list[Labels]] = {}
    for name, example in steps.items():
        assert example is not None
        healthy, faulty = example.healthy_steps, example.faulty_steps
        series = as_series(example.phases((healthy, "healthy"), (faulty, "faulty")), example.step_seconds)
        now = (healthy + faulty) * example.step_seconds
        firing[name] = list(found[name].condition.fires.evaluate(series, now))
    loud = [
        name
        for name in names
        if not any(
            shared_labels_agree(alert, other)
            for inhibitor in found[name].inhibited_by
            for other in firing.get(inhibitor, [])
            for alert in firing[name]
        )
    ]
    assert loud == [page]


def shared_labels_agree(one: Labels, other: Labels) -> bool:
    """Whether the labels that both have are equal, as Alertmanager's inhibitions require."""
    labels, more = dict(one), dict(other)
    shared = labels.keys() & more.keys()
    return bool(shared) and all(labels[label] == more[label] for label in shared)


def test_summaries_name_labels_that_the_alert_has() -> None:
    for name, rule in rules().items():
        fields = {field for _, field, *_ in Formatter().parse(rule.summary) if field}
        assert fields <= {*rule.labels, "value"}, name
        assert ("value" in fields) == (rule.unit != "none") or name == "feedback_gone", name
        assert rule.severity != "page" or len(rule.runbook.what_to_do) > 20, name


def exists(words: list[str]) -> bool:
    """Whether there is such a command, such as models rollback."""
    command: click.Command | None = cli
    for word in words:
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
    return command is not None


def test_runbooks_name_commands_and_settings_that_exist() -> None:
    for name, rule in rules().items():
        for text in asdict(rule.runbook).values():
            for command in re.findall(r"`tastemaker ([^`]+)`", text):
                assert exists([word for word in command.split() if word[0].isalpha()]), (name, command)
            for setting in re.findall(r"`([a-z]+\.[a-z_.]+)`", text):
                reduce(getattr, setting.split("."), Settings())
    assert not exists(["models", "no-such-command"])


def share_of(bad: float, lists: float) -> dict[str, list[Series]]:
    """A minute in which `bad` of `lists` lists were not the model's."""
    found: dict[tuple[str, Labels], list[float | str]] = {}
    for reason, increase in (("none", lists - bad), ("model_error", bad)):
        labels = frozenset((INSTANCE | {"model": "ease", "stage": "x", "reason": reason}).items())
        found["tastemaker_answers_total", labels] = [1_000 + increase * step / 4 for step in range(5)]
    return {name: list(series) for name, series in as_series(found, 15).items()}


def test_a_rule_fires_above_its_threshold_and_holds_until_four_fifths_of_it() -> None:
    condition = rules()["fallback_share"].condition
    for bad, fires, holds in ((51, True, True), (49, False, True), (39, False, False)):
        found = share_of(bad, 1_000)
        assert bool(condition.fires.evaluate(found, 60)) == fires, bad
        assert bool(condition.holds.evaluate(found, 60)) == holds, bad


def test_a_minimum_keeps_a_rule_from_firing_but_not_from_staying() -> None:
    condition = rules()["fallback_share"].condition
    few, enough = share_of(19, 19), share_of(20, 20)
    assert [bool(condition.fires.evaluate(found, 60)) for found in (few, enough)] == [False, True]
    assert condition.holds.evaluate(few, 60)


def test_without_lists_nothing_is_known() -> None:
    condition = rules()["fallback_share"].condition
    idle = share_of(0, 0)
    assert not condition.fires.evaluate(idle, 60)
    assert not condition.holds.data(idle, 60)
    assert condition.holds.data(share_of(0, 10), 60)


def test_thresholds_are_settings(tmp_path: Path) -> None:
    (tmp_path / "tastemaker.toml").write_text(
        "[alerts.fallback_share]\nabove = 0.4\n[alerts.slow]\nseconds = 0.5\n"
    )
    found = rules(load_settings())
    assert found["fallback_share"].condition.fires.promql().count("> 0.4") == 1
    assert ">= 20" in found["fallback_share"].condition.fires.promql(), "the other thresholds stay"
    assert 'le="0.5"' in found["slow"].condition.fires.promql()


def test_the_learner_is_behind_after_twice_the_feedback_delay_and_five_minutes() -> None:
    settings = Settings.model_validate({"learning": {"feedback_delay_seconds": 60}})
    assert rules(settings)["learner_behind"].condition.fires.promql().endswith("> 420")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[alerts.fallback_share]\nabov = 0.4", "did you mean above"),
        ("[alerts.fallback_shar]\nabove = 0.4", "did you mean fallback_share"),
        ("[alerts.fallback_share]\nabove = 4", "less than 1"),
        ("[alerts.slow]\nseconds = 0.15", "must be one of 0.0005, 0.001"),
    ],
)
def test_mistakes_in_thresholds_are_refused(tmp_path: Path, toml: str, message: str) -> None:
    (tmp_path / "tastemaker.toml").write_text(toml)
    with pytest.raises(TastemakerError, match=message):
        load_settings()


def test_a_rule_can_be_disabled_and_a_mistyped_one_is_refused() -> None:
    found = rules(Settings.model_validate({"alerts": {"disabled": ["feedback_gone"]}}))
    assert rules().keys() - found.keys() == {"feedback_gone"}
    with pytest.raises(TastemakerError, match="did you mean feedback_gone"):
        rules(Settings.model_validate({"alerts": {"disabled": ["feedback_gon"]}}))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.33333, "share", "33.33%"), (59.99, "duration", "59.99s"), (60, "duration", "1m 0s"),
        (-90_061, "duration", "-1d 1h 1m 1s"), (7, "count", "7"), (123_456, "count", "1.235e+05"),
    ],
)  # fmt: skip
def test_values_are_written_as_prometheus_templates_write_them(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text  # type: ignore[arg-type]
