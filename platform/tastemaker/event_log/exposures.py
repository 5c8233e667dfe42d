"""Exposures of units to the variants of experiments, from requests and from what callers report of flags.

An exposure is by the variant that was assigned, also where another one served. Forced ones are left out: a
person chose them. Shadow answers expose no unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_EXPOSURES = """
    WITH answered AS (
        SELECT experiment, epoch, coalesce(unit, user_id) AS unit, user_id, variant, variant_served,
            variant_probability, plan_digest, occurred_at, request_id
        FROM requests WHERE variant_probability IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY occurred_at) = 1
    ),
    reported AS (
        SELECT experiment, epoch, unit, user_id, variant, variant AS variant_served, variant_probability,
            plan_digest, least(occurred_at, received_at) AS occurred_at, NULL::VARCHAR AS request_id
        FROM exposures WHERE variant_probability IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY exposure_id ORDER BY received_at) = 1
    )
    FROM answered UNION ALL FROM reported
"""


def exposures(connection: DuckDBPyConnection) -> DuckDBPyRelation:
    """Return all exposures of all experiments, unread.

    Args:
        connection: Of the lake: it has the tables `requests` and `exposures`.

    Returns:
        Rows with experiment, epoch, unit, user_id (null where it is not known), variant, variant_served (null
        for a list of no variant), variant_probability, plan_digest, occurred_at, and request_id (null where a
        caller reported the exposure). An assignment without a unit is of the user.
    """
    return connection.sql(_EXPOSURES)
