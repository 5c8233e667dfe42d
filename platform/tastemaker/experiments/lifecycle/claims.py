"""Claims: the buckets of a namespace that belong to one experiment, so that two experiments share no unit.

Released buckets stay free for the namespace's cool-down, because people carry over what they saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from tastemaker.errors import TastemakerError
from tastemaker.experiments.plan import BUCKETS
from tastemaker.storage.tables import namespace_claims, namespaces

Range = tuple[int, int]


def claim(connection: Connection, namespace: str, experiment: str, size: int, now: datetime) -> None:
    """Give an experiment free buckets of a namespace.

    Claims of one namespace wait for each other, so that no two get the same buckets.

    Args:
        connection: Within the transaction of the change.
        namespace: The namespace's name.
        experiment: The experiment's name.
        size: How many buckets it needs.
        now: The time of the claim.

    Raises:
        TastemakerError: Too few buckets are free.
    """
    lock = update(namespaces).where(namespaces.c.name == namespace).values(name=namespaces.c.name)
    connection.execute(lock)
    table = namespace_claims.c
    rows = connection.execute(
        select(table.start, table.end, table.experiment, table.free_at).where(
            table.namespace == namespace, or_(table.free_at.is_(None), table.free_at > now)
        )
    ).all()
    chosen = first_free(((row.start, row.end) for row in rows), size)
    if chosen is None:
        free = BUCKETS - sum(row.end - row.start for row in rows)
        holders = {row.experiment: row.free_at for row in rows}
        smaller = f"give its design a claim of at most {free:,}, or " if free else "give its design "
        raise TastemakerError(
            f"{experiment} needs {size:,} buckets of the namespace {namespace}, but {free:,} are free: "
            + "; ".join(_held(name, until) for name, until in sorted(holders.items())),
            fix=f"{_waiting(rows, free, size)}{smaller}another namespace",
        )
    connection.execute(
        insert(namespace_claims),
        [
            {
                "namespace": namespace,
                "experiment": experiment,
                "start": start,
                "end": end,
                "claimed_at": now,
            }
            for start, end in chosen
        ],
    )


def release(connection: Connection, experiment: str, now: datetime, *, cool_down: bool) -> None:
    """Release what an experiment claims.

    Args:
        connection: Within the transaction of the change.
        experiment: The experiment's name; one without a claim releases nothing.
        now: The time of the release.
        cool_down: Whether units were assigned, so that the buckets stay free for a while.
    """
    table = namespace_claims.c
    query = (
        select(table.namespace, namespaces.c.cool_down_seconds)
        .join(namespaces, namespaces.c.name == table.namespace)
        .where(table.experiment == experiment, table.released_at.is_(None))
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is not None:
        free_at = now + timedelta(seconds=row.cool_down_seconds if cool_down else 0)
        connection.execute(
            update(namespace_claims)
            .where(table.experiment == experiment, table.released_at.is_(None))
            .values(released_at=now, free_at=free_at)
        )


def claimed(connection: Connection, experiment: str) -> tuple[Range, ...]:
    """Return the ranges [start, end) that an experiment has claimed and not released, ascending.

    Args:
        connection: Of the metadata database.
        experiment: The experiment's name.
    """
    table = namespace_claims.c
    query = (
        select(table.start, table.end)
        .where(table.experiment == experiment, table.released_at.is_(None))
        .order_by(table.start)
    )
    return tuple((row.start, row.end) for row in connection.execute(query))


def first_free(taken: Iterable[Range], size: int, buckets: int = BUCKETS) -> list[Range] | None:
    """Return the first free ranges with `size` buckets together; None if there are too few.

    Args:
        taken: Ranges [start, end) that are not free.
        size: How many buckets are needed.
        buckets: How many there are.

    >>> first_free([(0, 10), (15, 20)], 8, 100)
    [(10, 15), (20, 23)]
    """
    chosen: list[Range] = []
    place = 0
    for start, end in [*sorted(taken), (buckets, buckets)]:
        stop = min(start, place + size)
        if stop > place and size:
            chosen.append((place, stop))
            size -= stop - place
        place = max(place, end)
    return None if size else chosen


def _waiting(rows: Sequence[Row[Any]], free: int, size: int) -> str:
    """Return until when to wait for enough buckets that cool down, or which experiments to end."""
    for row in sorted((one for one in rows if one.free_at is not None), key=lambda one: one.free_at):
        free += row.end - row.start
        if free >= size:
            return f"wait until {row.free_at:%Y-%m-%d %H:%M} UTC, when {free:,} buckets are free; or "
    return "end an experiment that holds buckets, and wait for its cool-down; or "


def _held(experiment: str, free_at: datetime | None) -> str:
    return experiment if free_at is None else f"{experiment} (free from {free_at:%Y-%m-%d %H:%M} UTC)"
