"""Assignment in Postgres: the same buckets and variants as in Python."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from support.assigned_units import IDS, UNITS, assigned, rich_plan
from tastemaker.experiments.assignment import bucket
from tastemaker.experiments.assignment_sql import load_plan_postgres

pytestmark = pytest.mark.servers


def test_the_same_buckets_and_assignments(postgres_url: str) -> None:
    plan = rich_plan()
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        query = load_plan_postgres(connection, "f" * 64, plan)
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE units (user_id text, device_id text, session_id text, request_id text)"
        )
        connection.exec_driver_sql("INSERT INTO units VALUES (%s, %s, %s, %s)", UNITS)
        buckets = connection.exec_driver_sql(
            "SELECT user_id, pg_temp.experiment_bucket(%s, user_id) FROM units", ("ns-é",)
        ).all()
        found = connection.exec_driver_sql(query).all()
    engine.dispose()
    assert dict(row._tuple() for row in buckets) == {unit: bucket("ns-é", unit) for unit in IDS}
    expected = [
        ("f" * 16, one.experiment, one.epoch, one.variant, one.probability, one.unit)
        for one in assigned(plan)
    ]
    assert sorted(row._tuple() for row in found) == sorted(expected)
