"""What users did: matured units by variant, as a look counts them, or nothing where the data are old."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import norm
from sqlalchemy import Engine, update

from support.planned_experiments import plant_experiment, plant_namespace
from support.product_homes import PROBLEM, ProductWorld
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Assignment, Item, Record
from tastemaker.experiments.design import GuardrailDesign
from tastemaker.experiments.guardrails.reward_units import STALE_SECONDS, RewardReader
from tastemaker.experiments.guardrails.verdicts import OVER, UNDER
from tastemaker.experiments.lifecycle import audit
from tastemaker.experiments.lifecycle.records import Experiment, read_experiment
from tastemaker.problem import load_problem
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import experiments

NOW = datetime(2026, 5, 1, tzinfo=UTC)
STARTED = NOW - timedelta(days=10)
GUARDRAILS = (GuardrailDesign("ctr_list", 0.1), GuardrailDesign("wrong_version_share", 0.01))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/metadata.db")
    yield engine
    engine.dispose()


@pytest.fixture
def reader(engine: Engine, tmp_path: Path) -> RewardReader:
    path = tmp_path / "problem.yaml"
    path.write_text(PROBLEM, encoding="utf-8")
    return RewardReader(engine, Lake(tmp_path / "lake"), load_problem(path))


def experiment(engine: Engine, kind: str = "ab") -> Experiment:
    plant_namespace(engine, NOW)
    given: dict[str, Any] = {
        "primary": "active_share",
        "guardrails": GUARDRAILS,
        "window_days": 2.0,
        "kind": kind,
    }
    plant_experiment(engine, NOW, "ranker-2", **given)
    with engine.connect() as connection:
        return read_experiment(connection, "ranker-2")


def allocate(engine: Engine) -> Experiment:
    """Begin an epoch for the next units, and return the experiment."""
    with engine.begin() as connection:
        newest = audit.read(connection, "ranker-2")[-1]
        audit.append(connection, newest._replace(number=newest.number + 1, action="allocate", epoch=1))
        connection.execute(update(experiments).values(epoch=1))
        return read_experiment(connection, "ranker-2")


def write(folder: Path, epoch: int = 0) -> None:
    """Eight users, half of them in B, of which three click within two days; u6 and u7 came yesterday."""
    world = ProductWorld()
    for user in range(8):
        at = (NOW - timedelta(days=1 if user >= 6 else 6)).timestamp()
        assignment = Assignment("ranker-2", epoch, "B" if user % 2 else "control", 0.5, None, "p", f"u{user}")
        items = [Item("i1", 1.0, 1.0)]
        record = Record(f"{user:032x}", at, f"u{user}", 1, "ranker", "v1", items, 5.0, assignment=assignment)
        world.requests.append(record)
    for user, hours in ((1, 1), (3, 1), (5, 72), (0, 1)):
        world.visits.append((f"u{user}", NOW - timedelta(days=6) + timedelta(hours=hours), "click"))
    world.visits.append(("another", NOW, "click"))
    world.write(folder)


def shares(found: object) -> dict[str, float]:
    units = found.summaries["active_share"]  # type: ignore[attr-defined]
    return {name: float(one.mean[one.at(OVER)] / one.mean[one.at(UNDER)]) for name, one in units.items()}


@pytest.mark.parametrize("kind", ["ab", "bandit"])
def test_only_matured_units_of_the_epoch_count(
    engine: Engine, tmp_path: Path, reader: RewardReader, kind: str
) -> None:
    write(tmp_path)
    found = reader.read(experiment(engine, kind), started_at=STARTED.timestamp(), now=NOW.timestamp() + 60)
    assert found is not None
    assert found.counts == {"control": 4, "B": 4}
    assert {name: one.n for name, one in found.summaries["active_share"].items()} == {"control": 3, "B": 3}
    assert shares(found) == {"control": pytest.approx(1 / 3), "B": pytest.approx(2 / 3)}
    assert set(found.summaries) == {"active_share", "ctr_list"}  # others are the service's


def test_units_of_another_epoch_do_not_count(engine: Engine, tmp_path: Path, reader: RewardReader) -> None:
    write(tmp_path, epoch=1)
    found = reader.read(experiment(engine), started_at=STARTED.timestamp(), now=NOW.timestamp() + 60)
    assert found is not None
    assert found.counts == {"control": 0, "B": 0}


@pytest.mark.slow
def test_old_or_missing_events_are_not_data(engine: Engine, tmp_path: Path, reader: RewardReader) -> None:
    its, started = experiment(engine), STARTED.timestamp()
    assert reader.read(its, started_at=started, now=NOW.timestamp()) is None
    write(tmp_path)
    assert reader.read(its, started_at=started, now=NOW.timestamp() + STALE_SECONDS) is not None
    assert reader.read(its, started_at=started, now=NOW.timestamp() + STALE_SECONDS + 60) is None


def test_directions_are_those_of_the_metrics(reader: RewardReader) -> None:
    assert reader.is_higher_better("active_share")
    assert not reader.is_higher_better("slow_share")
    with pytest.raises(TastemakerError, match="there is no metric"):
        reader.is_higher_better("happiness")


@pytest.mark.slow
def test_probabilities_count_the_epochs_whose_units_keep_their_variants(
    engine: Engine, tmp_path: Path, reader: RewardReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastemaker.experiments.allocation.MIN_UNITS", 3)
    its = experiment(engine, "bandit")
    assert reader.probabilities_of_best(its, now=NOW.timestamp() + 60) is None
    write(tmp_path)
    its = allocate(engine)
    found = reader.probabilities_of_best(its, now=NOW.timestamp() + 60)
    assert found is not None
    error = math.sqrt(2 * (2 / 9) * (3 / 2) / 3)  # of the difference of 1/3 and 2/3, three units each
    assert found["B"] == pytest.approx(norm.cdf((1 / 3) / error), rel=1e-6)
    assert sum(found.values()) == pytest.approx(1)
