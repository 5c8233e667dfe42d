"""The table of units against loops over the rows of small random shops."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.experiment_worlds import (
    DAY,
    EXPERIMENT,
    START,
    VARIANTS,
    VERSIONS,
    UnitTruth,
    make_experiment_world,
)
from support.product_homes import PROBLEM, ProductWorld
from tastemaker.data.lake import Lake
from tastemaker.experiments.analysis.metrics import METRICS, ORIGINS, find_all
from tastemaker.experiments.analysis.unit_table import COVARIATES, UnitTable
from tastemaker.experiments.analysis.units import UnitQuery, read_units
from tastemaker.experiments.plan import Unit
from tastemaker.problem import ProblemSpec, load_problem

WINDOW_DAYS, BEFORE_DAYS = 3.0, 8.0
ALL = (*METRICS, "events_per_user:purchase", "events_per_user:click")
NOW = datetime.fromtimestamp(START + 19 * DAY, UTC)


@pytest.fixture
def problem(tmp_path: Path) -> ProblemSpec:
    path = tmp_path / "problem.yaml"
    path.write_text(PROBLEM, encoding="utf-8")
    return load_problem(path)


def table(
    world: ProductWorld,
    home: Path,
    problem: ProblemSpec,
    unit: Unit = "user",
    metrics: tuple[str, ...] = ALL,
    now: datetime = NOW,
    primary: str = "reward_per_user",
) -> UnitTable:
    found = find_all(metrics, problem)
    query = UnitQuery(
        experiment=EXPERIMENT,
        epoch=0,
        unit=unit,
        variants=VARIANTS,
        metrics=found,
        primary=found.get(primary),
        window_days=WINDOW_DAYS,
        covariate_days=BEFORE_DAYS,
        versions=VERSIONS,
        started_at=START,
    )
    world.write(home)
    with Lake(home / "lake").connect() as connection:
        return read_units(connection, query, problem, now)


@pytest.mark.parametrize("unit", ["user", "device", "session", "request"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_units_are_those_of_plain_python(tmp_path: Path, problem: ProblemSpec, unit: Unit, seed: int) -> None:
    world = make_experiment_world(seed=seed, unit=unit)
    units = table(world, tmp_path, problem, unit)
    truth = UnitTruth(world, problem, unit, WINDOW_DAYS * DAY, BEFORE_DAYS * DAY, NOW.timestamp())
    true = sorted(truth.units.items(), key=lambda one: (one[1].exposed_at, one[0]))
    assert len(true) > 20
    assert units.until == pytest.approx(truth.until, abs=1e-5)
    assert units.exposed_at.tolist() == pytest.approx([one.exposed_at for _, one in true], abs=1e-5)
    assert [VARIANTS[number] for number in units.variant] == [one.variant for _, one in true]
    assert [units.strata[number].plan for number in units.stratum] == [one.plan for _, one in true]
    assert units.is_crossed.tolist() == [one.is_crossed for _, one in true]
    assert any(units.is_crossed) == (unit != "request")
    for name in (*ORIGINS, "events_purchase", "events_click", *COVARIATES):
        expected = [one.figures[name] for _, one in true]
        assert units.columns[name].tolist() == pytest.approx(expected, abs=1e-9), name
        assert any(expected), name
    assert units.days is not None
    days = {(row, day): over for row, day, over, _ in zip(*units.days, strict=True) if over}
    assert days == pytest.approx(
        {(row, day): worth for row, (_, one) in enumerate(true) for day, worth in one.days.items() if worth}
    )
