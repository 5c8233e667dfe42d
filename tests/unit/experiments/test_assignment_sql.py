"""Assignment in DuckDB: the same buckets and variants as in Python; a replay finds each wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest

from support.assigned_units import IDS, UNITS, assigned, rich_plan
from support.experiment_plans import experiment, plan_of
from tastemaker.experiments.assignment import Assigned, Assigner, bucket
from tastemaker.experiments.assignment_sql import (
    ASSIGNMENTS,
    DUCKDB_FUNCTIONS,
    Disagreement,
    load_plans,
    replay,
)
from tastemaker.experiments.coordinate import unit_hash
from tastemaker.experiments.enrolled_units import write_enrolled
from tastemaker.experiments.plan import BUCKETS, ControlPlan, Variant

pytestmark = pytest.mark.slow
DIGEST = "0123456789abcdef" * 4
NOWHERE = Path("/nowhere")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as found:
        yield found


def exposed(
    connection: duckdb.DuckDBPyConnection, rows: list[Assigned], **other: Any
) -> duckdb.DuckDBPyRelation:
    """Exposures as the log has them, with the given columns changed in all rows."""
    users = {user: units.user for units in UNITS for user in units if user}
    columns: dict[str, Any] = {
        "experiment": [one.experiment for one in rows],
        "epoch": [one.epoch for one in rows],
        "unit": [one.unit for one in rows],
        "user_id": [users.get(one.unit) for one in rows],
        "variant": [one.variant for one in rows],
        "variant_probability": [one.probability for one in rows],
        "plan_digest": [DIGEST[:16]] * len(rows),
    }
    table = pa.table(columns | {name: [value] * len(rows) for name, value in other.items()})
    return connection.from_arrow(table)


def test_the_same_buckets(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(DUCKDB_FUNCTIONS)
    connection.register("units", pa.table({"unit": IDS}))
    rows = connection.execute(
        "SELECT unit, experiment_bucket(?, unit), experiment_hash(?, unit) FROM units", ["ns-é", "ns-é"]
    ).fetchall()
    assert rows == [(unit, bucket("ns-é", unit), unit_hash("ns-é", unit)) for unit in IDS]


def test_the_same_assignments(connection: duckdb.DuckDBPyConnection) -> None:
    plan = rich_plan()
    load_plans(connection, {DIGEST: plan}, NOWHERE)
    columns = zip(*UNITS, strict=True)
    names = ("user_id", "device_id", "session_id", "request_id")
    connection.register("units", pa.table(dict(zip(names, map(list, columns), strict=True))))
    found = sorted(connection.execute(ASSIGNMENTS).fetchall())
    truth = assigned(plan)
    assert len(truth) > 20_000
    assert {one.experiment for one in truth} == {
        "a", "b", "of_devices", "of_sessions", "of_requests", "bandit",
    }  # fmt: skip
    assert {one.epoch for one in truth if one.experiment == "bandit"} == {4, 5, 7}
    expected = [
        (DIGEST[:16], one.experiment, one.epoch, one.variant, one.probability, one.unit) for one in truth
    ]
    assert found == sorted(expected)


def test_what_was_assigned_by_the_plan_agrees(connection: duckdb.DuckDBPyConnection) -> None:
    plan = rich_plan()
    assert (
        replay(connection, exposed(connection, assigned(plan)), {DIGEST: plan}, NOWHERE).disagreements == []
    )


def changed(plan: ControlPlan, **other: Any) -> ControlPlan:
    """The plan with its first experiment changed."""
    first, *rest = plan.experiments
    return msgspec.structs.replace(plan, experiments=(msgspec.structs.replace(first, **other), *rest))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"killed": True}, "not_planned"),
        ({"epoch": 3}, "not_planned"),
        ({"variants": (Variant("x", 0, BUCKETS),), "control": "x"}, "not_planned"),
        ({"variants": (Variant("control", 0, 1), Variant("b", 1, 2), Variant("c", 2, 3))}, "probability"),
        ({"claim": ((0, 1),)}, "elsewhere"),
        ({"enrolment": 0}, "not_enrolled"),
        ({"salt": "another"}, "other_variant"),
    ],
)
def test_assignments_by_another_plan_are_found(
    other: dict[str, Any], reason: str, connection: duckdb.DuckDBPyConnection
) -> None:
    plan = rich_plan()
    rows = [one for one in assigned(plan) if one.experiment == "a"]
    found = replay(
        connection, exposed(connection, rows), {DIGEST: changed(plan, **other)}, NOWHERE
    ).disagreements
    assert {one.reason for one in found} == {reason}
    assert len(found) > len(rows) / 4


def test_a_bandits_unit_in_the_epoch_of_others_is_found(connection: duckdb.DuckDBPyConnection) -> None:
    plan = rich_plan()
    truth = [one for one in assigned(plan) if one.experiment == "bandit"]
    shares = {(one.epoch, one.variant): one.probability for one in truth}
    wrong = [one._replace(epoch=4, probability=shares[4, one.variant]) for one in truth if one.epoch == 7]
    found = replay(connection, exposed(connection, wrong), {DIGEST: plan}, NOWHERE).disagreements
    assert len(found) == len(wrong) > 1_000
    assert {one.reason for one in found} == {"not_enrolled"}


def test_a_held_bandits_units_are_replayed_by_their_epochs(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    bandit = next(one for one in rich_plan().experiments if one.name == "bandit")
    rows = [one for one in assigned(plan_of(bandit)) if one.experiment == "bandit"]
    write_enrolled(tmp_path / "b.npy", bandit.salt, [one.unit for one in rows[5:]])
    held = plan_of(msgspec.structs.replace(bandit, enrolled="b.npy"))
    found = replay(connection, exposed(connection, rows), {DIGEST: held}, tmp_path).disagreements
    assert {one.unit for one in found} == {one.unit for one in rows[:5]}
    assigner = Assigner(held, tmp_path)
    again = [one for units in UNITS for one in assigner.assign(units, {})]
    assert sorted(again) == sorted(rows[5:])


def test_one_wrong_row_among_many_is_found(connection: duckdb.DuckDBPyConnection) -> None:
    plan = rich_plan()
    rows = assigned(plan)
    place = next(place for place, one in enumerate(rows) if one.experiment == "b")
    wrong = {"control": "treatment", "treatment": "control"}[rows[place].variant]
    rows[place] = rows[place]._replace(variant=wrong)
    assert replay(connection, exposed(connection, rows), {DIGEST: plan}, NOWHERE).disagreements == [
        Disagreement("b", 0, rows[place].unit, wrong, DIGEST[:16], "other_variant")
    ]


def test_held_out_users_are_found_by_user_and_by_unit(connection: duckdb.DuckDBPyConnection) -> None:
    plan = rich_plan()
    free = msgspec.structs.replace(plan, holdouts=())
    truth = set(assigned(plan))
    extra = [one for one in assigned(free) if one not in truth and one.experiment == "of_requests"]
    found = replay(connection, exposed(connection, extra), {DIGEST: plan}, NOWHERE).disagreements
    assert len(found) == len(extra) > 100
    assert {one.reason for one in found} == {"holdout"}


def test_a_plan_that_is_not_known_is_named(connection: duckdb.DuckDBPyConnection) -> None:
    plan = rich_plan()
    rows = assigned(plan)[:3]
    for digest in ("f" * 16, None):
        table = exposed(connection, rows, plan_digest=digest)
        found = replay(connection, table, {DIGEST: plan}, NOWHERE).disagreements
        assert [(one.plan_digest, one.reason) for one in found] == [(digest, "unknown_plan")] * 3


def test_each_plan_explains_its_own_exposures(connection: duckdb.DuckDBPyConnection) -> None:
    plans = {DIGEST: rich_plan(), "f" * 64: changed(rich_plan(), epoch=3)}
    first = exposed(connection, assigned(plans[DIGEST]))
    second = exposed(connection, assigned(plans["f" * 64]), plan_digest="f" * 16)
    assert replay(connection, first.union(second), plans, NOWHERE).disagreements == []


def test_held_experiments_are_replayed_from_their_file(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    rows = [one for one in assigned(plan_of(experiment("a"))) if one.experiment == "a"]
    write_enrolled(tmp_path / "a.npy", "exp-a", [one.unit for one in rows[5:]])
    held = plan_of(experiment("a", enrolment=0, enrolled="a.npy"))
    found = replay(connection, exposed(connection, rows), {DIGEST: held}, tmp_path).disagreements
    assert {one.unit for one in found} == {one.unit for one in rows[:5]}
    assert {one.reason for one in found} == {"not_enrolled"}


def test_a_file_of_units_that_is_gone_is_said(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    rows = assigned(plan_of(experiment("a")))
    held = plan_of(experiment("a", enrolment=0, enrolled="a.npy"))
    found = replay(connection, exposed(connection, rows), {DIGEST: held}, tmp_path)
    assert (found.exposures, found.disagreements) == (len(rows), [])
    assert found.unchecked == [f"a in the plan {DIGEST[:16]}"]


def test_the_tables_of_others_stay_as_they_are(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE planned_variants AS SELECT 7 AS number")
    load_plans(connection, {DIGEST: rich_plan()}, NOWHERE)
    load_plans(connection, {DIGEST: plan_of(experiment("a"))}, NOWHERE)
    assert connection.execute("SELECT count(*) FROM planned_variants").fetchone() == (2,)
    assert connection.execute("SELECT * FROM memory.planned_variants").fetchall() == [(7,)]
