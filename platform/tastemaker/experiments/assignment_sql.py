"""Assignment in SQL: the same buckets and the same variants in DuckDB and Postgres, and replay of the log.

Whoever has the plan and the units can compute each assignment again, in a database that has never seen this
code. Facts that targeting asks about are not in the log: these queries say what a unit gets that meets it.
Forced units are not drawn, so they are not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.experiments.enrolled_units import EnrolledUnits
from tastemaker.experiments.plan import BUCKETS, ControlPlan, PlannedExperiment

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from sqlalchemy import Connection

DUCKDB_FUNCTIONS = """
    CREATE OR REPLACE TEMP MACRO experiment_hash(salt, unit) AS
        ('0x' || substr(sha256(salt || chr(31) || unit), 1, 16))::UBIGINT;
    CREATE OR REPLACE TEMP MACRO experiment_bucket(salt, unit) AS
        ((experiment_hash(salt, unit)::HUGEINT * 1000000) >> 64)::INTEGER;
"""
POSTGRES_FUNCTIONS = """
    CREATE OR REPLACE FUNCTION pg_temp.experiment_bucket(salt text, unit text) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT (((high * 1000000 + (low * 1000000 >> 32)) >> 32))::integer
        FROM (
            SELECT ('x' || substr(digest, 1, 8))::bit(32)::bigint AS high,
                ('x' || substr(digest, 9, 8))::bit(32)::bigint AS low
            FROM (
                SELECT encode(sha256(convert_to(salt || chr(31) || unit, 'UTF8')), 'hex') AS digest
            ) AS hashed
        ) AS halves
    $$
"""
"""Two halves of the hash, since a bigint can't hold the product with all of it."""

PLAN_TABLES = """
    CREATE TEMPORARY TABLE IF NOT EXISTS planned_variants (
        digest varchar, experiment varchar, epoch bigint, unit varchar, namespace_salt varchar,
        enrolment_salt varchar, first_enrolment integer, end_enrolment integer, enrolled_salt varchar,
        variant_salt varchar, variant varchar, first_bucket integer, end_bucket integer,
        probability double precision
    );
    CREATE TEMPORARY TABLE IF NOT EXISTS planned_claims (
        digest varchar, experiment varchar, first_bucket integer, end_bucket integer
    );
    CREATE TEMPORARY TABLE IF NOT EXISTS planned_holdouts (
        digest varchar, experiment varchar, unit varchar, salt varchar, share integer
    );
    DELETE FROM planned_variants;
    DELETE FROM planned_claims;
    DELETE FROM planned_holdouts;
"""
_INSERTS = {
    "planned_variants": "INSERT INTO planned_variants VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "planned_claims": "INSERT INTO planned_claims VALUES (?, ?, ?, ?)",
    "planned_holdouts": "INSERT INTO planned_holdouts VALUES (?, ?, ?, ?, ?)",
}

ASSIGNMENTS = """
    WITH drawn AS (
        SELECT planned_variants.*, units.*,
            CASE planned_variants.unit WHEN 'user' THEN user_id WHEN 'device' THEN device_id
                WHEN 'session' THEN session_id ELSE request_id END AS unit_id
        FROM planned_variants CROSS JOIN units
    )
    SELECT digest, experiment, epoch, variant, probability, unit_id FROM drawn
    WHERE unit_id <> '' AND enrolled_salt IS NULL
        AND experiment_bucket(variant_salt, unit_id) >= first_bucket
        AND experiment_bucket(variant_salt, unit_id) < end_bucket
        AND experiment_bucket(enrolment_salt, unit_id) >= first_enrolment
        AND experiment_bucket(enrolment_salt, unit_id) < end_enrolment
        AND EXISTS (
            SELECT 1 FROM planned_claims AS claim
            WHERE claim.digest = drawn.digest AND claim.experiment = drawn.experiment
                AND experiment_bucket(namespace_salt, unit_id) >= claim.first_bucket
                AND experiment_bucket(namespace_salt, unit_id) < claim.end_bucket
        )
        AND NOT EXISTS (
            SELECT 1 FROM planned_holdouts AS held
            WHERE held.digest = drawn.digest AND held.experiment = drawn.experiment
                AND experiment_bucket(
                    held.salt,
                    CASE held.unit WHEN 'user' THEN user_id WHEN 'device' THEN device_id
                        WHEN 'session' THEN session_id ELSE request_id END
                ) < held.share
        )
"""
"""The variants of a table `units` (user_id, device_id, session_id, request_id) by the plans in the tables.
Held experiments are not in it: their units are in a file."""

_REPLAY = """
    WITH hashed AS (
        SELECT exposed.*, planned.digest AS planned_digest, planned.unit AS unit_kind,
            planned.first_bucket, planned.end_bucket, planned.probability, planned.first_enrolment,
            planned.end_enrolment,
            experiment_bucket(namespace_salt, exposed.unit) AS namespace_bucket,
            experiment_bucket(variant_salt, exposed.unit) AS variant_bucket,
            CASE WHEN first_enrolment > 0 OR end_enrolment < 1000000
                THEN experiment_bucket(enrolment_salt, exposed.unit) ELSE 0 END AS enrolment_bucket,
            CASE WHEN enrolled_salt IS NOT NULL
                THEN experiment_hash(enrolled_salt, exposed.unit) END AS enrolled_hash
        FROM exposed LEFT JOIN planned_variants AS planned
            ON planned.digest = exposed.plan_digest AND planned.experiment = exposed.experiment
                AND planned.epoch = exposed.epoch AND planned.variant = exposed.variant
    ),
    checked AS (
        SELECT hashed.*, CASE
            WHEN plan_digest IS NULL OR plan_digest NOT IN (SELECT digest FROM planned_digests)
                THEN 'unknown_plan'
            WHEN planned_digest IS NULL THEN 'not_planned'
            WHEN variant_probability <> probability THEN 'probability'
            WHEN EXISTS (
                SELECT 1 FROM planned_holdouts AS held
                WHERE held.digest = plan_digest AND held.experiment = hashed.experiment
                    AND experiment_bucket(held.salt, CASE WHEN held.unit = unit_kind THEN hashed.unit
                        WHEN held.unit = 'user' THEN hashed.user_id END) < held.share
            ) THEN 'holdout'
            WHEN NOT EXISTS (
                SELECT 1 FROM planned_claims AS claim
                WHERE claim.digest = plan_digest AND claim.experiment = hashed.experiment
                    AND namespace_bucket >= claim.first_bucket AND namespace_bucket < claim.end_bucket
            ) THEN 'elsewhere'
            WHEN enrolment_bucket < first_enrolment OR enrolment_bucket >= end_enrolment
                THEN 'not_enrolled'
            WHEN enrolled_hash IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM planned_units AS enrolled
                WHERE enrolled.digest = plan_digest AND enrolled.experiment = hashed.experiment
                    AND enrolled.hash = enrolled_hash
            ) THEN 'not_enrolled'
            WHEN variant_bucket < first_bucket OR variant_bucket >= end_bucket THEN 'other_variant'
        END AS reason
        FROM hashed
    )
    SELECT experiment, epoch, unit, variant, plan_digest, reason FROM checked WHERE reason IS NOT NULL
"""
DIGEST_LENGTH = 16
"""Hexadecimal digits of a plan's digest in the log."""


class Disagreement(NamedTuple):
    """A logged exposure that the plan in force does not explain."""

    experiment: str
    epoch: int
    unit: str
    variant: str
    plan_digest: str | None
    reason: str
    """`unknown_plan`, `not_planned` (killed, or of another epoch or variant), `probability`, `other_variant`,
    or a reason of `tastemaker.experiments.assignment.Reason`."""


class ReplayResult(NamedTuple):
    """What a replay of logged exposures found."""

    exposures: int
    disagreements: list[Disagreement]
    unchecked: list[str]
    """Held experiments, each with its plan, whose file of enrolled units is gone: whether a unit was enrolled
    could not be checked."""


def load_plans(connection: DuckDBPyConnection, plans: Mapping[str, ControlPlan], folder: Path) -> list[str]:
    """Make the functions, and the temporary tables of plans, in DuckDB.

    Args:
        connection: Where.
        plans: By digest, of which the first 16 digits count.
        folder: The plans' folder, in which the files of enrolled units are.

    Returns:
        Held experiments, each with its plan, whose file is gone: they enrol every unit.
    """
    connection.execute(DUCKDB_FUNCTIONS)
    connection.execute(PLAN_TABLES)
    connection.execute("CREATE OR REPLACE TEMPORARY TABLE planned_digests (digest varchar)")
    connection.execute(
        "CREATE OR REPLACE TEMPORARY TABLE planned_units (digest varchar, experiment varchar, hash ubigint)"
    )
    gone = []
    for digest, plan in plans.items():
        short = digest[:DIGEST_LENGTH]
        connection.execute("INSERT INTO planned_digests VALUES (?)", [short])
        for one in plan.experiments:
            experiment = one
            if one.enrolled is not None and not one.killed:
                try:
                    units = EnrolledUnits(folder / one.enrolled, one.salt)
                except TastemakerError:
                    gone.append(f"{one.name} in the plan {short}")
                    experiment = msgspec.structs.replace(one, enrolled=None, enrolment=BUCKETS)
                else:
                    _load_units(connection, short, one.name, units)
            for table, row in _rows(short, plan, experiment):
                connection.execute(_INSERTS[table], row)
    return gone


def _load_units(connection: DuckDBPyConnection, digest: str, name: str, units: EnrolledUnits) -> None:
    connection.register("enrolled_hashes", {"hash": np.asarray(units.hashes)})
    connection.execute("INSERT INTO planned_units SELECT ?, ?, hash FROM enrolled_hashes", [digest, name])
    connection.unregister("enrolled_hashes")


def load_plan_postgres(connection: Connection, digest: str, plan: ControlPlan) -> str:
    """Make the function, and the temporary tables of a plan, in Postgres.

    Args:
        connection: Where; the function and the tables end with its session.
        digest: The plan's digest, by which logged assignments name it.
        plan: The plan whose variants, claims and holdouts the tables get.

    Returns:
        `ASSIGNMENTS` for this connection.
    """
    connection.exec_driver_sql(POSTGRES_FUNCTIONS)
    connection.exec_driver_sql(PLAN_TABLES)
    for experiment in plan.experiments:
        for table, row in _rows(digest[:DIGEST_LENGTH], plan, experiment):
            connection.exec_driver_sql(_INSERTS[table].replace("?", "%s"), row)
    # Functions of a session are found by their full name only.
    return ASSIGNMENTS.replace("experiment_bucket(", "pg_temp.experiment_bucket(")


def replay(
    connection: DuckDBPyConnection, exposed: DuckDBPyRelation, plans: Mapping[str, ControlPlan], folder: Path
) -> ReplayResult:
    """Compute each logged assignment again, and return those that come out otherwise.

    Args:
        connection: That of the exposures.
        exposed: Exposures as `tastemaker.event_log.exposures.exposures` returns them: without forced units.
        plans: All plans that were in force, by digest.
        folder: The plans' folder, in which the files of enrolled units are.
    """
    unchecked = _prepare(connection, exposed, plans, folder)
    rows = connection.execute(_REPLAY).fetchall()
    (count,) = connection.execute("SELECT count(*) FROM exposed").fetchall()[0]
    return ReplayResult(count, [Disagreement(*row) for row in rows], unchecked)


def count_disagreements(
    connection: DuckDBPyConnection, exposed: DuckDBPyRelation, plans: Mapping[str, ControlPlan], folder: Path
) -> dict[str, int]:
    """Return how many logged exposures come out otherwise when their assignment is computed again.

    Args:
        connection: That of the exposures. It gets temporary tables.
        exposed: Exposures as `tastemaker.event_log.exposures.exposures` returns them: without forced units.
        plans: All plans that were in force, by digest.
        folder: The plans' folder, in which the files of enrolled units are.

    Returns:
        Reason -> number of exposures, by the name of the reason; empty where all agree.
    """
    _prepare(connection, exposed, plans, folder)
    counted = f"SELECT reason, count(*) FROM ({_REPLAY}) GROUP BY reason ORDER BY ALL"  # noqa: S608 - our own
    return dict(connection.execute(counted).fetchall())


def _prepare(
    connection: DuckDBPyConnection, exposed: DuckDBPyRelation, plans: Mapping[str, ControlPlan], folder: Path
) -> list[str]:
    """Make the view `exposed` and the tables of the plans that it names; return what can't be checked."""
    exposed.create_view("exposed", replace=True)
    named = {
        digest for (digest,) in connection.execute("SELECT DISTINCT plan_digest FROM exposed").fetchall()
    }
    return load_plans(
        connection, {name: plan for name, plan in plans.items() if name[:DIGEST_LENGTH] in named}, folder
    )


def _rows(
    digest: str, plan: ControlPlan, experiment: PlannedExperiment
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the name of a table and a row of it; nothing of a killed experiment."""
    if experiment.killed:
        return
    space = next(one for one in plan.namespaces if one.name == experiment.namespace)
    salt, name = experiment.salt, experiment.name
    for draw in experiment.draws:
        buckets = sum(end - start for start, end in draw.variants.values())
        columns = (
            *(name, draw.epoch, space.unit, space.salt, f"{salt}/enrol", draw.first, draw.end),
            *(None if experiment.enrolled is None else f"{salt}/enrolled", f"{salt}/variant/{draw.epoch}"),
        )
        for variant, (start, end) in draw.variants.items():
            share = (end - start) / buckets
            yield "planned_variants", (digest, *columns, variant, start, end, share)
    for start, end in experiment.claim:
        yield "planned_claims", (digest, name, start, end)
    for held in plan.holdouts:
        if not held.namespaces or space.name in held.namespaces:
            yield "planned_holdouts", (digest, name, held.unit, held.salt, held.share)
