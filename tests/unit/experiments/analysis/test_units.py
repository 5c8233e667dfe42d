"""The table of units against loops over the rows of small random shops."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
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
from tastemaker.data.tables import EXPOSURES, USERS
from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.unit_table import COVARIATES, UnitTable
from tastemaker.experiments.analysis.units import UnitQuery, read_units
from tastemaker.experiments.plan import Unit
from tastemaker.experiments.unit_metrics import METRICS, ORIGINS, find, find_all
from tastemaker.problem import ProblemSpec, load_problem

pytestmark = pytest.mark.slow
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
        epochs=range(1),
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


def flags(home: Path, world: ProductWorld) -> None:
    """Replace the lists' assignments by exposures that the shop's own code reported, some of them twice."""
    rows = []
    for one in world.requests:
        if one.assignment is not None:
            at = datetime.fromtimestamp(one.occurred_at, UTC)
            rows.append(
                {
                    "exposure_id": f"x{one.request_id}",
                    "occurred_at": at,
                    "received_at": at,
                    "experiment": EXPERIMENT,
                    "epoch": 0,
                    "variant": one.assignment.variant,
                    "variant_probability": one.assignment.probability,
                    "plan_digest": one.assignment.plan,
                    "unit": one.assignment.unit,
                    "user_id": one.user_id,
                }
            )
    Lake(home / "lake").write("exposures", pa.Table.from_pylist(rows + rows[:9], schema=EXPOSURES))
    world.requests[:] = [msgspec.structs.replace(one, assignment=None) for one in world.requests]


def test_flags_of_the_shops_own_code_have_the_same_units(tmp_path: Path, problem: ProblemSpec) -> None:
    metrics = ("reward_per_user", "active_share", "events_per_user:click")
    by_lists = table(make_experiment_world(seed=4), tmp_path / "lists", problem, metrics=metrics)
    world = make_experiment_world(seed=4)
    flags(tmp_path / "flags", world)
    by_flags = table(world, tmp_path / "flags", problem, metrics=metrics)
    assert by_flags.exposed_at.tolist() == by_lists.exposed_at.tolist()
    assert by_flags.variant.tolist() == by_lists.variant.tolist()
    for name in by_lists.columns:
        assert by_flags.columns[name].tolist() == pytest.approx(by_lists.columns[name].tolist()), name


@pytest.mark.parametrize("metric", ["requests_per_user", "ctr_list", "fallback_share"])
def test_a_metric_of_lists_without_a_list_is_an_error(
    tmp_path: Path, problem: ProblemSpec, metric: str
) -> None:
    world = make_experiment_world(seed=4)
    flags(tmp_path, world)
    with pytest.raises(TastemakerError, match=f"no exposure of ranker_b is a list, and {metric} can't"):
        table(world, tmp_path, problem, metrics=("reward_per_user", metric))


def test_versions_are_needed_to_count_wrong_ones(tmp_path: Path, problem: ProblemSpec) -> None:
    query = UnitQuery(
        experiment=EXPERIMENT, epochs=range(1), unit="user", variants=VARIANTS,
        metrics=find_all(["wrong_version_share"], problem), window_days=1, versions={"A": "r1", "B": None},
    )  # fmt: skip
    with (
        Lake(tmp_path).connect() as connection,
        pytest.raises(TastemakerError, match="needs a frozen version of each variant; B has none"),
    ):
        read_units(connection, query, problem, NOW)


@pytest.mark.parametrize("now", [START - DAY, START + 0.5 * DAY, START + 8 * DAY])
def test_what_is_dated_later_is_not_data_yet(tmp_path: Path, problem: ProblemSpec, now: float) -> None:
    world, timestamp = make_experiment_world(seed=5), datetime.fromtimestamp(now, UTC)
    units = table(world, tmp_path, problem, now=timestamp)
    truth = UnitTruth(world, problem, "user", WINDOW_DAYS * DAY, BEFORE_DAYS * DAY, now)
    true = sorted(truth.units.values(), key=lambda one: one.exposed_at)
    assert units.exposed_at.tolist() == pytest.approx([one.exposed_at for one in true], abs=1e-5)
    assert units.columns["reward"].tolist() == pytest.approx([one.figures["reward"] for one in true])
    assert len(units.mature()) == sum(one.exposed_at + WINDOW_DAYS * DAY <= truth.until for one in true)


def test_slices_are_values_of_users(tmp_path: Path, problem: ProblemSpec) -> None:
    world = make_experiment_world(seed=6)
    world.write(tmp_path)
    users = sorted({one.user_id for one in world.requests})[1:]
    rows: list[dict[str, Any]] = [
        {
            "user_id": name,
            "country": "AT" if number % 3 else None,
            "first_seen_at": NOW,
            "own": [("segment", f"s{number % 2}")],
        }
        for number, name in enumerate(users)
    ]
    lake = Lake(tmp_path / "lake")
    lake.write("users", pa.Table.from_pylist(rows, schema=USERS))
    query = UnitQuery(
        experiment=EXPERIMENT, epochs=range(1), unit="user", variants=VARIANTS,
        window_days=1, versions=VERSIONS,
        metrics=find_all(["reward_per_user"], problem), slices=("country", "segment", "colour"),
    )  # fmt: skip
    with lake.connect() as connection:
        units = read_units(connection, query, problem, NOW)
        names = [row[0] for row in connection.execute("SELECT unit FROM firsts ORDER BY row").fetchall()]
    for column, key in (("country", "country"), ("segment", "own"), ("colour", "")):
        values = units.slices[column]
        found = [None if number < 0 else values.names[number] for number in values.number]
        known = {
            one["user_id"]: dict(one["own"])["segment"] if key == "own" else one.get(key) for one in rows
        }
        assert found == [known.get(name) for name in names]


def test_a_metric_of_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(TastemakerError, match="did you mean ctr_list"):
        find("ctr_lists")
