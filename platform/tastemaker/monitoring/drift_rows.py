"""Rows of the four comparisons of a drift report, by day.

    users      who comes: one row per request
    features   what is asked for: one row per request, with the user features that the model was given
    lists      what is shown: one row per item of a list
    choices    what users choose: one row per event

`requests_of_interest`, the requests whose rows are wanted, and `activity`, the days on which users came, are
temporary tables of the connection. Requests of anonymous sessions, and those that name the only items that
may be shown, have no like in the training data, and are left out. Time is counted in days on which the lake
has events or requests (`calendar`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa

from tastemaker.monitoring.drift_sides import Side

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DAY = "day"
LOOK_BACK_DAYS = 28
"""How far back a user's last visit, and the categories that the user chose before, are looked for."""
LIST_LENGTH = 10
"""Positions of a list that are compared."""
ROWS_PER_DAY: Final[dict[Side, int]] = {"users": 500, "features": 300, "lists": 100, "choices": 1_000}
"""Most requests, lists or events of a day that are compared; of more, a fixed sample."""

LIST_ROWS = pa.schema([(DAY, pa.date32()), ("item_id", pa.string()), ("score", pa.float64())])
"""Items of lists before they are described."""

_CALENDAR = """
    CREATE OR REPLACE TEMP TABLE calendar AS
    SELECT day, row_number() OVER (ORDER BY day) AS number FROM (
        SELECT DISTINCT occurred_at::DATE AS day FROM events
        UNION SELECT DISTINCT occurred_at::DATE FROM requests
    )
"""
_ACTIVITY = """
    CREATE OR REPLACE TEMP TABLE activity AS
    SELECT user_id, number FROM calendar JOIN (
        SELECT user_id, occurred_at::DATE AS day FROM events WHERE occurred_at::DATE BETWEEN $first AND $last
        UNION
        SELECT user_id, occurred_at::DATE FROM requests
        WHERE occurred_at::DATE BETWEEN $first AND $last AND coalesce(kind, 'recommend') = 'recommend'
    ) USING (day)
"""
_OF_INTEREST = """
    CREATE OR REPLACE TEMP TABLE requests_of_interest AS
    SELECT *, occurred_at::DATE AS day FROM requests
    WHERE list_contains($days, occurred_at::DATE) AND (version = $version OR model = $model)
        AND coalesce(kind, 'recommend') = 'recommend' AND candidates IS NULL
    QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY occurred_at) = 1
"""
_SAMPLE = """
    QUALIFY row_number() OVER (PARTITION BY day ORDER BY hash({key}), {key}) <= {most}
"""
_USERS = """
    SELECT r.day,
           CASE WHEN r.number - a.number <= $look_back THEN r.number - a.number END::DOUBLE
               AS user_recency_days,
           coalesce(r.number - a.number <= $look_back, FALSE)::VARCHAR AS user_returning,
           people.country AS user_country,
           hour(r.occurred_at)::DOUBLE AS hour_of_day{own}
    FROM (SELECT * FROM rows JOIN calendar USING (day)) AS r
    ASOF LEFT JOIN activity AS a ON r.user_id = a.user_id AND r.number > a.number
    LEFT JOIN users AS people ON people.user_id = r.user_id
"""
_CHOSEN = """
    CREATE OR REPLACE TEMP TABLE chosen AS
    SELECT e.user_id, i.category, c.number, count(*) AS n
    FROM events AS e JOIN items AS i USING (item_id) JOIN calendar AS c ON c.day = e.occurred_at::DATE
    WHERE e.occurred_at::DATE BETWEEN $first AND $last AND i.category IS NOT NULL GROUP BY ALL
"""
_CHOICES = """
    WITH numbered AS (
        SELECT row_number() OVER () AS row, r.day, calendar.number, r.user_id, i.price, i.category
        FROM rows AS r JOIN calendar USING (day) LEFT JOIN items AS i USING (item_id)
    )
    SELECT r.day, any_value(r.price) AS item_price, coalesce(any_value(r.category), 'none') AS item_category,
           CASE WHEN any_value(r.category) IS NOT NULL
                THEN coalesce(sum(c.n) FILTER (c.category = r.category), 0) / sum(c.n) END::DOUBLE
               AS category_share_before
    FROM numbered AS r LEFT JOIN chosen AS c
        ON c.user_id = r.user_id AND c.number < r.number AND r.number - c.number <= $look_back
    GROUP BY r.row, r.day
"""
_LISTS = """
    SELECT day, unnest(item_ids[:{k}]) AS item_id, unnest(scores[:{k}])::DOUBLE AS score
    FROM (SELECT * FROM requests_of_interest WHERE coalesce(stage, 'model') = 'model' {sample})
"""
_ITEMS = """
    SELECT r.day, p.popularity_percent AS item_popularity_percent, i.price AS item_price,
           coalesce(i.category, 'none') AS item_category, r.score
    FROM rows AS r LEFT JOIN items AS i USING (item_id) LEFT JOIN popularity AS p USING (item_id)
"""


def prepare(connection: DuckDBPyConnection, days: Sequence[date]) -> None:
    """Create `calendar`, `activity` and `chosen`, which cover the days and LOOK_BACK_DAYS before them.

    Days without any event or request do not count, as if no time had passed: data may end long before the
    service starts.

    Args:
        connection: The lake. It gets temporary tables, which replace those of an earlier call.
        days: The days whose rows will be read, at least one, in any order.
    """
    connection.execute(_CALENDAR)
    known = "SELECT day FROM calendar WHERE day <= ? ORDER BY day DESC LIMIT ?"
    before = connection.execute(known, [min(days), LOOK_BACK_DAYS + 1]).fetchall()
    window = {"first": before[-1][0] if before else min(days), "last": max(days)}
    connection.execute(_ACTIVITY, window)
    connection.execute(_CHOSEN, window)


def choose_requests(
    connection: DuckDBPyConnection, days: Sequence[date], *, model: str = "", version: str = ""
) -> None:
    """Create `requests_of_interest`: those on some days that a model, or one version, answered.

    Args:
        connection: The lake. It gets a temporary table, which replaces that of an earlier call.
        days: The days, UTC; none gives a table without rows.
        model: Name of a model, whose requests of all versions are chosen; empty: of none.
        version: Id of a version; empty: of none.
    """
    connection.execute(_OF_INTEREST, {"days": list(days), "model": model, "version": version})


def request_days(connection: DuckDBPyConnection) -> dict[date, int]:
    """Return the number of requests of interest by day, in the order of the days."""
    counted = "SELECT day, count(*) FROM requests_of_interest GROUP BY day ORDER BY day"
    return dict(connection.execute(counted).fetchall())


def event_days(connection: DuckDBPyConnection) -> dict[date, int]:
    """Return the number of events by day."""
    counted = "SELECT occurred_at::DATE AS day, count(*) FROM events GROUP BY day"
    return dict(connection.execute(counted).fetchall())


def users_of_requests(connection: DuckDBPyConnection, own: Sequence[str]) -> pa.Table:
    """Return the rows of `users` of the requests of interest.

    Args:
        connection: The lake, prepared.
        own: The shop's own columns of users that are compared.
    """
    sample = _SAMPLE.format(key="request_id", most=ROWS_PER_DAY["users"])
    rows = f"SELECT day, user_id, occurred_at FROM requests_of_interest {sample}"  # noqa: S608 - constants
    return described_users(connection, connection.sql(rows).to_arrow_table(), own)


def events_of(connection: DuckDBPyConnection, days: Sequence[date]) -> pa.Table:
    """Return a sample of the events of some days, the same each time.

    Args:
        connection: To the lake, which has the table `events`.
        days: The days, UTC.

    Returns:
        `day`, `user_id`, `item_id` and `occurred_at` of at most `ROWS_PER_DAY["choices"]` events a day.
    """
    sample = _SAMPLE.format(key="event_id", most=ROWS_PER_DAY["choices"])
    rows = (
        "SELECT occurred_at::DATE AS day, user_id, item_id, occurred_at FROM events "  # noqa: S608 - constants
        f"WHERE list_contains($days, occurred_at::DATE) {sample}"
    )
    return connection.sql(rows, params={"days": list(days)}).to_arrow_table()


def described_users(connection: DuckDBPyConnection, rows: pa.Table, own: Sequence[str]) -> pa.Table:
    """Return rows of `users` for visits: what is known of each user at that time.

    Args:
        connection: The lake, prepared for the days of the visits.
        rows: `day`, `user_id` and `occurred_at` of each visit.
        own: The shop's own columns of users that are compared.

    Returns:
        `day`, `user_recency_days` (null if the user did not come within LOOK_BACK_DAYS), `user_returning`,
        `user_country`, `hour_of_day` (UTC), and `user_NAME` for each own column: one row per visit, in no
        particular order.
    """
    names = [f"user_own_{number}" for number in range(len(own))]
    columns = "".join(f", people.own[$own_{number}] AS {name}" for number, name in enumerate(names))
    params = {f"own_{number}": column for number, column in enumerate(own)}
    with _registered(connection, rows):
        query = connection.sql(_USERS.format(own=columns), params={"look_back": LOOK_BACK_DAYS, **params})
        found = query.to_arrow_table()
    return found.rename_columns([*found.column_names[: -len(own) or None], *(f"user_{name}" for name in own)])


def choices(connection: DuckDBPyConnection, rows: pa.Table) -> pa.Table:
    """Return rows of `choices` for events.

    Args:
        connection: The lake, prepared for the days of the events.
        rows: What `events_of` returned.

    Returns:
        One row per event: `day`, `item_price`, `item_category` and `category_share_before`, the share (0 to
        1) of the user's choices of the LOOK_BACK_DAYS before that were in the same category, null without
        any.
    """
    with _registered(connection, rows):
        return connection.sql(_CHOICES, params={"look_back": LOOK_BACK_DAYS}).to_arrow_table()


def features_of_requests(connection: DuckDBPyConnection, names: Sequence[str]) -> pa.Table:
    """Return the rows of `features` of the requests of interest, NaN for a missing value.

    Args:
        connection: The lake, prepared.
        names: The features that the model reads.
    """
    sample = _SAMPLE.format(key="request_id", most=ROWS_PER_DAY["features"])
    logged = f"SELECT day, features FROM requests_of_interest WHERE features IS NOT NULL {sample}"  # noqa: S608
    table = connection.sql(logged).to_arrow_table()
    given = [msgspec.json.decode(text) for text in table["features"].to_pylist()]
    columns = {name: pa.array([one.get(name) for one in given], pa.float64()) for name in names}
    return pa.table({DAY: table[DAY], **columns})


def lists_of_requests(connection: DuckDBPyConnection) -> pa.Table:
    """Return the items of the model's lists among the requests of interest, to be described."""
    sample = _SAMPLE.format(key="request_id", most=ROWS_PER_DAY["lists"])
    return connection.sql(_LISTS.format(k=LIST_LENGTH, sample=sample)).to_arrow_table().cast(LIST_ROWS)


def described_items(connection: DuckDBPyConnection, rows: pa.Table, popularity: pa.Table) -> pa.Table:
    """Return rows of `lists`.

    Args:
        connection: To the lake, which has the table `items`.
        rows: `day`, `item_id` and `score`.
        popularity: `item_id` and `popularity_percent`, as of the training.
    """
    connection.register("popularity", popularity)
    with _registered(connection, rows):
        return connection.sql(_ITEMS).to_arrow_table()


class _registered:
    """A table that queries know as `rows`, within a block."""

    def __init__(self, connection: DuckDBPyConnection, rows: pa.Table) -> None:
        self._connection, self._rows = connection, rows

    def __enter__(self) -> None:
        self._connection.register("rows", self._rows)

    def __exit__(self, *error: object) -> None:
        self._connection.unregister("rows")
