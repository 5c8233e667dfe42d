"""Namespaces and holdouts, as they are stored."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Table, func, insert, or_, select, update

from tastemaker.errors import TastemakerError
from tastemaker.experiments.design_checks import require_free, require_name
from tastemaker.experiments.plan import BUCKETS, Holdout, Namespace, Unit
from tastemaker.storage.tables import experiments, holdouts, namespaces
from tastemaker.util.spelling import did_you_mean


class StoredNamespace(NamedTuple):
    """A namespace with how long its released buckets stay free, and how many experiments it has had."""

    name: str
    unit: Unit
    salt: str
    cool_down_seconds: int
    created_at: datetime
    experiments: int = 0


class StoredHoldout(NamedTuple):
    """A holdout with its purpose and its time."""

    name: str
    unit: Unit
    salt: str
    share: int
    namespaces: Sequence[str]
    reason: str
    starts_at: datetime
    ends_at: datetime | None
    """None: it has not been ended."""


def new_salt(name: str) -> str:
    """Return a salt for the hashes of a namespace, holdout or experiment; each call returns another one."""
    return f"{name[:80]}-{secrets.token_hex(8)}"


def add_namespace(
    connection: Connection, name: str, unit: Unit, cool_down_seconds: int, now: datetime
) -> None:
    """Store a new namespace.

    Args:
        connection: Within a transaction.
        name: The namespace's name.
        unit: What is assigned.
        cool_down_seconds: How long released buckets stay free.
        now: When it is made.

    Raises:
        TastemakerError: There is one of this name, or it has other signs than names have.
    """
    _require_new(connection, namespaces, name)
    salt = new_salt(name)
    row = StoredNamespace(name, unit, salt, cool_down_seconds, now)._asdict()
    del row["experiments"]
    connection.execute(insert(namespaces).values(row))


def list_namespaces(connection: Connection) -> list[StoredNamespace]:
    """Return all namespaces by name."""
    count = (
        select(func.count())
        .where(experiments.c.namespace == namespaces.c.name)
        .scalar_subquery()
        .label("count")
    )
    rows = connection.execute(select(namespaces, count).order_by(namespaces.c.name))
    return [
        StoredNamespace(row.name, row.unit, row.salt, row.cool_down_seconds, row.created_at, row[-1])
        for row in rows
    ]


def require_namespace(connection: Connection, name: str) -> StoredNamespace:
    """Return a namespace by its name.

    Args:
        connection: Of the metadata database.
        name: The namespace's name.

    Raises:
        TastemakerError: There is none of this name.
    """
    known = {one.name: one for one in list_namespaces(connection)}
    if name not in known:
        make = f"make it: tastemaker experiment namespaces add {name}"
        raise TastemakerError(f"there is no namespace {name!r}", fix=did_you_mean(name, known, make))
    return known[name]


def add_holdout(
    connection: Connection,
    name: str,
    *,
    unit: Unit,
    share: int,
    covers: Sequence[str],
    reason: str,
    now: datetime,
) -> None:
    """Store a new holdout, which begins at once.

    Args:
        connection: Within a transaction.
        name: The holdout's name.
        unit: What is held out.
        share: How many of the 1,000,000 buckets.
        covers: Names of the namespaces that it covers; all if empty.
        reason: What it is for.
        now: When it begins.

    Raises:
        TastemakerError: There is one of this name, a namespace is unknown or has another unit, the share is
            not between 1 and half of the buckets, or there is no reason.
    """
    _require_new(connection, holdouts, name)
    if unit == "request":
        raise TastemakerError("a request can't be held out", fix="use user, device or session")
    if not 1 <= share <= BUCKETS // 2:
        raise TastemakerError(
            f"the share of holdout {name} is {share:,} of 1,000,000 buckets, must be 1 to 500,000",
            fix="such as 0.05, which is 50,000 buckets",
        )
    if not reason.strip():
        raise TastemakerError("a holdout needs a reason", fix="say in a few words what it is for")
    for namespace in covers:
        found = require_namespace(connection, namespace)
        if found.unit != unit:
            raise TastemakerError(
                f"holdout {name} holds out a {unit}, the namespace {namespace} assigns a {found.unit}",
                fix=f"use the unit {found.unit}, or leave the namespace out",
            )
    salt = new_salt(name)
    row = StoredHoldout(name, unit, salt, share, list(covers), reason.strip(), now, None)
    connection.execute(insert(holdouts).values(row._asdict()))


def end_holdout(connection: Connection, name: str, now: datetime) -> None:
    """End a holdout now.

    Args:
        connection: A transaction of the metadata database.
        name: The holdout's name.
        now: The time of the change.

    Raises:
        TastemakerError: There is no holdout of this name, or it has ended.
    """
    table = holdouts.c
    ended = connection.execute(
        update(holdouts).where(table.name == name, table.ends_at.is_(None)).values(ends_at=now)
    )
    if not ended.rowcount:
        open_ones = [one.name for one in list_holdouts(connection) if one.ends_at is None]
        otherwise = f"open holdouts: {', '.join(open_ones) or 'none'}"
        raise TastemakerError(
            f"there is no open holdout {name!r}", fix=did_you_mean(name, open_ones, otherwise)
        )


def list_holdouts(connection: Connection) -> list[StoredHoldout]:
    """Return all holdouts by name, ended ones, too."""
    rows = connection.execute(select(holdouts).order_by(holdouts.c.name)).mappings()
    return [StoredHoldout(**row) for row in rows]


def planned_namespaces(connection: Connection) -> tuple[Namespace, ...]:
    """Return all namespaces as the plan file has them."""
    return tuple(Namespace(one.name, one.unit, one.salt) for one in list_namespaces(connection))


def planned_holdouts(connection: Connection, now: datetime) -> tuple[Holdout, ...]:
    """Return the holdouts in force as the plan file has them.

    Args:
        connection: Of the metadata database.
        now: Holdouts that end later are in force.
    """
    in_force = or_(holdouts.c.ends_at.is_(None), holdouts.c.ends_at > now)
    rows = connection.execute(select(holdouts).where(in_force).order_by(holdouts.c.name))
    return tuple(Holdout(row.name, row.unit, row.salt, row.share, tuple(row.namespaces)) for row in rows)


def _require_new(connection: Connection, table: Table, name: str) -> None:
    kind = table.name[:-1]
    require_name(kind, name)
    known = connection.execute(select(table.c.name).order_by(table.c.name)).scalars()
    require_free(f"a {kind}", name, known, "give it another name")
