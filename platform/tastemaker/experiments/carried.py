"""Names in a design that the log does not carry: no unit meets such a rule, and such a slice is empty.

Facts of targeting are the named values of requests' contexts, slices are columns of users. Both may be
mistyped, or come with the next release of the shop's own code: so they are warnings, not faults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import quoted
from tastemaker.data.tables import OWN, USERS
from tastemaker.experiments.design import Design
from tastemaker.experiments.targeting import compiled
from tastemaker.util.counted import counted
from tastemaker.util.spelling import did_you_mean

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DAYS = 7
"""The log of so many days is looked at."""
NEWEST = 10_000
"""At most so many of its requests."""
KIND = "kind"
"""The fact that each request has."""
_NO_TEXTS = "user_id", OWN

_REQUESTS = """
    SELECT kind, context FROM requests WHERE occurred_at BETWEEN $since AND $now
    ORDER BY occurred_at DESC LIMIT $newest
"""
_OWN_COLUMNS = "SELECT DISTINCT unnest(map_keys(own)) FROM users"


def uncarried(lake: Lake, design: Design, now: datetime) -> list[str]:
    """Return what a design names and the log does not carry, each in words with what to do.

    Of a flag of the shop's own code, the facts of targeting are not logged: nothing is said of them.

    Args:
        lake: Holds requests and users.
        design: Gives the slices, the targeting and the variants.
        now: When the last days of the log, which are looked at, end.
    """
    with lake.connect() as connection:
        found = list(_slices(connection, design.slices))
        if design.targeting and any(one.model for one in design.variants.values()):
            found += _targeting(connection, design, now)
    return found


def _targeting(connection: DuckDBPyConnection, design: Design, now: datetime) -> Iterator[str]:
    """Yield which facts no request has, or that no request meets all rules."""
    period = {"since": now - timedelta(days=DAYS), "now": now, "newest": NEWEST}
    facts = [_facts(*row) for row in connection.execute(_REQUESTS, period).fetchall()]
    names = ", ".join(dict.fromkeys(rule.fact for rule in design.targeting))
    if not facts:
        yield (
            f"No request was logged in the last {DAYS} days, so nothing shows that requests carry {names}, "
            "which its targeting needs."
        )
        return
    known = {name for one in facts for name in one}
    logged = f"the newest {counted(len(facts), 'request')} of the last {DAYS} days"
    unknown = [name for name in dict.fromkeys(rule.fact for rule in design.targeting) if name not in known]
    for name in unknown:
        fix = did_you_mean(name, known, f"they carry {', '.join(sorted(known))}")
        yield f"No unit is enrolled: its targeting needs {name!r}, which none of {logged} carries: {fix}"
    admits = compiled(design.targeting)
    if not unknown and admits is not None and not any(map(admits, facts)):
        yield f"No unit is enrolled: none of {logged} meets all rules of its targeting, by {names}."


def _facts(kind: str | None, context: str | None) -> dict[str, Any]:
    """Return the facts of a logged request, as the controller had them."""
    known = None if context is None else json.loads(context)
    named = known if isinstance(known, dict) else {}
    return {name: value for name, value in named.items() if value is not None} | {KIND: kind or "recommend"}


def _slices(connection: DuckDBPyConnection, slices: Sequence[str]) -> Iterator[str]:
    """Yield the slices of which no user has a value."""
    if not slices:
        return
    own = {name for (name,) in connection.execute(_OWN_COLUMNS).fetchall()}
    columns = [name for name in USERS.names if name not in _NO_TEXTS]
    counts = ", ".join(f"count({quoted(name)})" for name in columns)
    filled = connection.execute(f"SELECT {counts} FROM users").fetchall()[0]  # noqa: S608 - our own
    known = own | {name for name, count in zip(columns, filled, strict=True) if count}
    for name in slices:
        if name not in known and name != "user_id":
            has = f"they have {', '.join(sorted(known))}" if known else "there are none"
            fix = did_you_mean(name, known, has)
            yield f"The slice {name!r} is empty, as no user has a value of it: {fix}"
