"""What events look like as a whole, and whether the tables' ids meet: numbers, and warnings that follow from
them."""

from __future__ import annotations

from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from tastemaker.data.lake_files import quoted
from tastemaker.data.validation.items_and_users import KEYS
from tastemaker.util.canonical_texts import BLANKS

MAX_USER_SHARE = 1 / 3
"""A user with this share of all events is probably a till, a test account or a crawler."""
MIN_EVENTS = 100
"""With fewer events, shares are not checked."""
MAX_UNKNOWN_SHARE = 0.1
"""Of the ids that events name, this share may be unknown to the table of items or users."""
MAX_UNUSED_SHARE = 0.5
"""Of the ids in a table of items or users, this share may have no event: no shop sells its whole list."""

MAX_ALIKE_SHARE = 0.01
"""Of the ids that events name, this share may differ from another in nothing but how it is written."""

QUANTILES = ("min", "25 %", "median", "75 %", "99 %", "max")

_SUMMARY = """
SELECT min(occurred_at)::VARCHAR, max(occurred_at)::VARCHAR, count(*), count(DISTINCT user_id),
    count(DISTINCT item_id), quantile_disc(value, [0.0, 0.25, 0.5, 0.75, 0.99, 1.0])
FROM events
"""

_TYPES = "SELECT event_type, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC, 1"

_TOP_USER = """
SELECT user_id, count(*) AS n, sum(n) OVER ()::BIGINT AS total FROM events
GROUP BY user_id ORDER BY n DESC, user_id LIMIT 1
"""

_COVERAGE = """
WITH named AS (SELECT DISTINCT KEY AS id FROM events),
listed AS (SELECT DISTINCT KEY AS id FROM accepted),
only_named AS (FROM named ANTI JOIN listed USING (id)),
only_listed AS (FROM listed ANTI JOIN named USING (id))
SELECT (SELECT count(*) FROM named), (SELECT count(*) FROM listed), (SELECT count(*) FROM only_named),
    (SELECT list(id ORDER BY id)[:3] FROM only_named), (SELECT list(id ORDER BY id)[:3] FROM only_listed),
    (SELECT count(*) FROM only_named WHERE NUMBER IN (SELECT NUMBER FROM only_listed)),
    (SELECT count(*) FROM only_named WHERE lower(id) IN (SELECT lower(id) FROM only_listed))
""".replace("NUMBER", "regexp_replace(id, '^0+([0-9]+)$', '\\1')")

_ALIKE = """
WITH named AS (SELECT DISTINCT KEY AS id FROM events),
bare AS (
    SELECT id, regexp_replace(lower(translate(id, $wide, $digits)), $blanks, '', 'g') AS text FROM named
),
groups AS (
    SELECT count(*) AS n, list(id ORDER BY id)[:2] AS ids
    FROM bare GROUP BY regexp_replace(text, '^[+]?0*([0-9]+)$', '\\1') HAVING n > 1
)
SELECT (SELECT count(*) FROM named), sum(n)::BIGINT, min(ids) FROM groups
"""
_ALIKE_FORMS = {
    "wide": "".join(chr(0xFF10 + digit) for digit in range(10)),
    "digits": "0123456789",
    "blanks": f"[{BLANKS}]",
}


class Coverage(NamedTuple):
    """Overlap of the ids that events name with those of the table of items or users."""

    table: str
    in_events: int
    """Number of distinct ids that events name."""
    in_table: int
    """Number of distinct ids in the table."""
    unknown: int
    """Number of ids of events that the table does not have."""
    unknown_examples: list[str]
    unused_examples: list[str]
    """Ids of the table that no event names."""
    same_number: int
    """Unknown ids that the table has with other leading zeros, such as 00027 and 27."""
    same_letters: int
    """Unknown ids that the table has in other letter case."""

    @property
    def in_both(self) -> int:
        """Number of distinct ids that both have."""
        return self.in_events - self.unknown

    def facts(self) -> dict[str, int]:
        """Return the counts, for the report."""
        return {"in events": self.in_events, f"in {self.table}": self.in_table, "in both": self.in_both}

    def warnings(self, *, hidden: bool = False) -> list[str]:
        """Return warnings of these counts; `hidden`: without examples."""
        if self.in_events == 0:
            return []
        if self.unknown > MAX_UNKNOWN_SHARE * self.in_events:
            return [
                f"{self.unknown:,} of {self.in_events:,} {self.table} that events name are not in the table "
                f"{self.table}, which has {self.in_table:,}{self._examples(hidden)}. {self._advice()}"
            ]
        unused = self.in_table - self.in_both
        if unused > MAX_UNUSED_SHARE * self.in_table:
            return [
                f"{unused:,} of {self.in_table:,} ids in the table {self.table} have no event"
                f"{self._examples(hidden)}. Check that both come from the same shop and period."
            ]
        return []

    def _examples(self, hidden: bool) -> str:
        if hidden or not (self.unknown_examples or self.unused_examples):
            return ""
        sides = (("events have", self.unknown_examples), (f"{self.table} have", self.unused_examples))
        return ": " + "; ".join(f"{side} {', '.join(map(repr, ids))}" for side, ids in sides if ids)

    def _advice(self) -> str:
        if self.same_number:
            return (
                f"{self.same_number:,} of them meet without leading zeros: if 00027 and 27 are the same, set "
                'source.ids = "numbers".'
            )
        if self.same_letters:
            return f"{self.same_letters:,} of them meet in other letter case: write both alike at the source."
        return (
            f"Map the column that events use to {KEYS[self.table]}; ids must be written alike in both tables."
        )


def describe(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return period, counts, events by type and quantiles of the value of the view `events`; {} if empty."""
    (row,) = connection.execute(_SUMMARY).fetchall()
    first, last, events, users, items, quantiles = row
    if events == 0:
        return {}
    kinds = connection.execute(_TYPES).fetchall()
    return {
        "period": {"first": first, "last": last},
        "events": events,
        "users": users,
        "items": items,
        "events by type": dict(kinds),
        "value": dict(zip(QUANTILES, quantiles, strict=True)),
    }


def top_user_warnings(connection: duckdb.DuckDBPyConnection, *, hidden: bool = False) -> tuple[str, ...]:
    """Return a warning if one user has a third of all events; else nothing.

    Args:
        connection: Of a database with `events`; fewer than `MIN_EVENTS` are not checked.
        hidden: Whether the warning leaves out the user's id.
    """
    row = connection.execute(_TOP_USER).fetchone()
    if row is None or row[2] < MIN_EVENTS or row[1] < MAX_USER_SHARE * row[2]:
        return ()
    user, count, total = row
    who = "one user" if hidden else f"the user {user!r}"
    return (
        f"{who} has {count:,} of {total:,} events ({count / total:.0%}): if that is not a person but a till, "
        "a test account or a placeholder for anonymous sales, leave these rows out at the source.",
    )


def id_coverage(connection: duckdb.DuckDBPyConnection, table: str, accepted: pa.Table) -> Coverage:
    """Return the overlap of the ids of the view `events` with those of the accepted rows.

    Args:
        connection: A connection with the view `events`.
        table: items or users.
        accepted: The accepted rows of that table.
    """
    connection.register("accepted", accepted)
    query = _COVERAGE.replace("KEY", quoted(KEYS[table]))
    (row,) = connection.execute(query).fetchall()
    named, listed, unknown, unknown_ids, unused_ids, numbers, letters = row
    return Coverage(table, named, listed, unknown, unknown_ids or [], unused_ids or [], numbers, letters)


def alike_warnings(
    connection: duckdb.DuckDBPyConnection, table: str, *, hidden: bool = False
) -> tuple[str, ...]:
    """Return a warning if many ids of the view `events` differ only in spelling; empty if not.

    Args:
        connection: A connection with the view `events`.
        table: items or users.
        hidden: Leave out the examples.
    """
    query = _ALIKE.replace("KEY", quoted(KEYS[table]))
    (row,) = connection.execute(query, _ALIKE_FORMS).fetchall()
    named, alike, examples = row
    if not alike or alike <= MAX_ALIKE_SHARE * named:
        return ()
    such = "" if hidden else f", such as {' and '.join(map(repr, examples))}"
    return (
        f"{alike:,} of {named:,} {table} that events name differ from another only in letter case, leading "
        f"zeros, blanks or the width of digits{such}: if they are the same, write them alike at the source; "
        'source.ids = "numbers" drops leading zeros.',
    )
