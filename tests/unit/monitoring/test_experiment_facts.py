"""Facts of experiments: what guardrails did is exported, and the rules about it fire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, update

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from tastemaker.alerting.experiment_rules import UNCHECKED_SECONDS, rules
from tastemaker.monitoring.experiment_facts import experiment_checks, experiment_states
from tastemaker.monitoring.fact_families import FactSources
from tastemaker.monitoring.lake_reading import LakeReading
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import experiment_changes, guardrail_checks, looks
from tastemaker.watch.reads import kept_series
from tastemaker.watch.samples import AllSamples, ScrapeTarget
from tastemaker.watch.watch_metrics import rendered

NAME = "ranker-2"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/metadata.db")
    yield engine
    engine.dispose()


@pytest.fixture
def home(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    home = experiment_homes.make(engine, tmp_path, monkeypatch)
    home.running(NAME)
    return home


def metrics(engine: Engine, now: datetime | None = None) -> list[Any]:
    sources = FactSources(Settings(), engine, LakeReading(), now or datetime.now(UTC))
    return [*experiment_states(sources), *experiment_checks(sources)]


def facts(engine: Engine) -> dict[str, float]:
    """Name without its prefix -> the experiment's value; a missing one is not exported."""
    samples = [sample for metric in metrics(engine) for sample in metric.samples]
    return {one.name.removeprefix("tastemaker_experiment_"): one.value for one in samples}


def check(
    engine: Engine, guardrail: str, verdict: str, *, at: datetime | None = None, epoch: int = 0
) -> None:
    row = {
        "experiment": NAME, "epoch": epoch, "variant": "b", "guardrail": guardrail, "units": 0,
        "at": at or datetime.now(UTC), "control_units": 0, "margin": 0.01, "verdict": verdict,
        "action": "none",
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(guardrail_checks), [row])


def act(home: ExperimentHome, action: str, actor: str) -> None:
    changes = home.experiments.get(NAME).changes
    home.experiments.change(NAME, action, actor=actor, reason="figures", expected_changes=changes)


def test_an_experiment_that_runs_has_all_facts(home: ExperimentHome, engine: Engine) -> None:
    found = facts(engine)
    started = home.experiments.history(NAME)[-1].at.timestamp()
    assert found == {
        "rolled_back": 0, "held": 0, "ratio_failed": 0, "stale_guardrails": 0,
        "checked_timestamp_seconds": started,
    }  # fmt: skip


def test_reading_the_newest_checks_takes_no_longer_the_more_there_were(
    home: ExperimentHome, engine: Engine
) -> None:
    """Steps of SQLite's machine; the newest check of a guardrail counts."""
    now, steps = datetime.now(UTC), list[int]()
    check(engine, "latency", "stale", at=now)
    for hours in (range(30, 40), range(40, 1_000)):
        for ago in hours:
            check(engine, "latency", "ok", at=now - timedelta(hours=ago))
        taken = list[None]()
        with engine.connect() as connection:  # the only one of the pool, which the facts use next
            driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(lambda taken=taken: taken.append(None), 1)
        assert facts(engine)["stale_guardrails"] == 1
        driver.set_progress_handler(None, 0)
        steps.append(len(taken))
    assert steps[1] == steps[0] > 0


@pytest.mark.parametrize(("actor", "value"), [("guardrail:crash", 1), ("ada", 0)])
def test_a_rollback_counts_if_a_guardrail_did_it(
    home: ExperimentHome, engine: Engine, actor: str, value: float
) -> None:
    act(home, "roll_back", actor)
    assert facts(engine) == {"rolled_back": value, "held": 0}


def test_what_a_person_decided_is_over(home: ExperimentHome, engine: Engine) -> None:
    act(home, "roll_back", "guardrail:crash")
    home.do(NAME, "drop")
    assert facts(engine) == {}


def test_the_newest_check_of_each_guardrail_in_the_epoch_counts(home: ExperimentHome, engine: Engine) -> None:
    check(engine, "fallback_share", "stale")
    check(engine, "fallback_share", "safe")
    check(engine, "slow_share", "safe")
    check(engine, "slow_share", "stale")
    check(engine, "empty_share", "stale", epoch=7)
    newest = datetime.now(UTC) + timedelta(seconds=5)
    check(engine, "short_share", "unknown", at=newest)
    found = facts(engine)
    assert found["stale_guardrails"] == 1
    assert found["checked_timestamp_seconds"] == newest.timestamp()
    assert found["ratio_failed"] == 0


def test_guardrails_that_wait_for_the_first_outcomes_are_not_stale(
    home: ExperimentHome, engine: Engine
) -> None:
    check(engine, "reward_per_user", "stale")
    assert facts(engine)["stale_guardrails"] == 1, "none has data: no requests come"
    check(engine, "fallback_share", "safe")
    assert facts(engine)["stale_guardrails"] == 0, "no window of a user is over yet"
    window = timedelta(days=home.experiments.get(NAME).design.window_days)
    almost, due = (datetime.now(UTC) + window + timedelta(hours=hours) for hours in (23, 25))
    assert fired(engine, almost) & {"experiment_stale"} == set()
    assert fired(engine, due) & {"experiment_stale"} == {"experiment_stale"}
    check(engine, "reward_per_user", "safe")
    check(engine, "reward_per_user", "stale")
    assert facts(engine)["stale_guardrails"] == 1, "it had data"


@pytest.mark.parametrize(
    ("anytime_p", "verdict", "is_failed"),
    [(1e-6, "undecided", 1), (0.5, "invalid", 1), (None, "invalid", 1), (0.5, "better", 0)],
)
def test_a_ratio_fails_by_a_check_or_by_either_test_of_a_look(
    home: ExperimentHome, engine: Engine, anytime_p: float | None, verdict: str, is_failed: int
) -> None:
    check(engine, "sample_ratio", "harm")
    assert facts(engine)["ratio_failed"] == 1
    check(engine, "sample_ratio", "safe")
    assert facts(engine)["ratio_failed"] == 0
    row = {
        "experiment": NAME, "epoch": 0, "number": 1, "at": datetime.now(UTC), "log_until": datetime.now(UTC),
        "is_planned": False, "details": {}, "units": {}, "pending_units": 0, "crossed_units": 0,
        "information": 0.1,
        "alpha_spent": 0.0, "ratio_anytime_p": anytime_p, "verdict": verdict, "sentence": "s",
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(looks), [row])
    assert facts(engine)["ratio_failed"] == is_failed


def fired(engine: Engine, now: datetime | None = None) -> set[str]:
    """The rules whose condition is true."""
    its = rules(Settings())
    samples, at = AllSamples(kept_series(its)), (now or datetime.now(UTC)).timestamp()
    target = samples.of("watch", ScrapeTarget("tastemaker_watch", "127.0.0.1:9270"))
    target.append(rendered(metrics(engine, now)), at)
    return {one.name for one in its if one.condition.fires.evaluate(samples.by_name(), at)}


def test_the_rules_read_the_facts(home: ExperimentHome, engine: Engine) -> None:
    assert fired(engine) == set()
    check(engine, "fallback_share", "safe")
    check(engine, "fallback_share", "stale")
    check(engine, "sample_ratio", "harm")
    assert fired(engine) == {"experiment_stale", "experiment_ratio"}
    act(home, "roll_back", "guardrail:fallback_share")
    assert fired(engine) == {"experiment_rolled_back"}


def test_an_experiment_that_no_guard_checks_is_reported(home: ExperimentHome, engine: Engine) -> None:
    early = datetime.now(UTC) - timedelta(seconds=UNCHECKED_SECONDS + 60)
    with engine.begin() as connection:
        connection.execute(update(experiment_changes).values(at=early))
    assert fired(engine) == {"experiment_unguarded"}
    check(engine, "fallback_share", "safe")
    assert fired(engine) == set()
