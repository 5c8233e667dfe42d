"""UCI Online Retail (doi.org/10.24432/C5BW33): every line of a British gift wholesaler's web shop.

Reads Parquet, CSV or XLSX in the UCI columns. What a line means is worked out over the whole file:

- `InvoiceDate` carries no zone; the shop is British, so it is read as Europe/London.
- `StockCode` differs in case only by slips of the keyboard (85123A, 85123a): `item_id` is its upper case.
- `event_id` is invoice, stock code and the line's number among the lines with both, in the file's order, so
  it stays when lines are added below.
- A line that equals an earlier one in all eight columns is an exact duplicate.
- A cancellation (invoice C...) takes its quantity from the latest earlier purchase line of the same customer
  and item that still has as much. A purchase's value is what is left of its quantity times its unit price.
- A product's code is five digits, perhaps with letters, or DCGS...; POST, DOT, M, D, S, C2, B, BANK CHARGES,
  AMAZONFEE, CRUK, PADS and gift_... are postage, fees, adjustments, samples and vouchers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from tastemaker.data.sources import Reading
from tastemaker.data.sources._own import refuse_own_columns
from tastemaker.data.sources._staging import Staging, as_raw, as_text
from tastemaker.data.sources._unread import refuse_unread
from tastemaker.data.tables import ITEMS, USERS, completed
from tastemaker.data.tabular import read_table
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings
from tastemaker.snapshot.canonical_ids import canonical_sql

COLUMNS = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip
ZONE = "Europe/London"
PRODUCT_CODE = "[0-9]{5}[A-Z]*|DCGS[0-9A-Z]+"

LINES = """
SELECT
    row,
    InvoiceNo || '-' || StockCode || '-' || row_number() OVER (PARTITION BY InvoiceNo, StockCode ORDER BY row)
        AS event_id,
    {customer} AS user_id,
    {stock_code} AS item_id,
    'purchase' AS event_type,
    coalesce(
        try_cast(InvoiceDate AS TIMESTAMP),
        try_strptime(InvoiceDate, ['%m/%d/%Y %H:%M', '%m/%d/%Y %H:%M:%S'])
    ) AT TIME ZONE ? AS occurred_at,
    CAST(NULL AS VARCHAR) AS request_id,
    CAST(NULL AS INTEGER) AS position,
    try_cast(try_cast(Quantity AS DOUBLE) AS BIGINT) AS quantity,
    try_cast(UnitPrice AS DOUBLE) AS unit_price,
    coalesce(starts_with(InvoiceNo, 'C'), false) AS is_cancellation,
    coalesce(regexp_full_match({stock_code}, ?), false) AS is_product,
    row_number() OVER (
        PARTITION BY InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country
        ORDER BY row
    ) > 1 AS is_duplicate
FROM lines
"""

RETURNABLE = """
SELECT row, user_id, item_id, quantity, is_cancellation
FROM typed
SEMI JOIN (SELECT user_id, item_id FROM typed WHERE is_cancellation) USING (user_id, item_id)
WHERE NOT is_duplicate AND CASE WHEN is_cancellation THEN quantity < 0 ELSE quantity > 0 END
ORDER BY user_id, item_id, occurred_at, row
"""

STAGED = """
SELECT
    typed.*,
    round((quantity - coalesce(cancelled_quantity, 0)) * unit_price, 2) AS value,
    coalesce(cancelled_quantity, 0) AS cancelled_quantity,
    coalesce(is_matched, false) AS is_matched,
    raw.* EXCLUDE (row)
FROM typed JOIN raw USING (row)
LEFT JOIN (SELECT purchase AS row, sum(quantity)::BIGINT AS cancelled_quantity FROM matches GROUP BY purchase)
    USING (row)
LEFT JOIN (SELECT cancellation AS row, true AS is_matched FROM matches) USING (row)
"""

CATALOGUE = """
WITH titles AS (
    SELECT DISTINCT ON (item_id) item_id, regexp_replace(trim(raw_Description), '\\s+', ' ', 'g') AS title
    FROM sold WHERE raw_Description IS NOT NULL
    GROUP BY ALL ORDER BY item_id, count(*) DESC, title
)
SELECT
    item_id,
    any_value(title) AS title,
    CAST(NULL AS VARCHAR) AS category,
    median(unit_price) FILTER (occurred_at >= last_sold_at - INTERVAL 30 DAY) AS price,
    min(occurred_at) AS first_seen_at
FROM sold LEFT JOIN titles USING (item_id)
GROUP BY item_id
ORDER BY item_id
"""

SOLD = """
SELECT *, max(occurred_at) OVER (PARTITION BY item_id) AS last_sold_at
FROM staged
WHERE is_product AND NOT is_cancellation AND NOT is_duplicate AND quantity > 0 AND unit_price > 0
    AND occurred_at IS NOT NULL
"""

CUSTOMERS = """
SELECT user_id, arg_max(raw_Country, row) AS country, min(occurred_at) AS first_seen_at
FROM staged WHERE user_id IS NOT NULL GROUP BY user_id ORDER BY user_id
"""


class Line(NamedTuple):
    """A line of the file: a purchase that may be cancelled, or a cancellation."""

    row: int
    user_id: str
    item_id: str
    quantity: int
    is_cancellation: bool


class Match(NamedTuple):
    """The quantity of a purchase that a cancellation takes back. Lines are numbered as in the file."""

    cancellation: int
    purchase: int
    quantity: int


def match(lines: Iterable[Line]) -> Iterator[Match]:
    """Match cancellations, oldest first, to purchases.

    A cancellation takes its whole quantity from the latest earlier purchase with at least that much left.
    It has no match if there is no such purchase.

    Args:
        lines: Lines grouped by user and item, oldest first in each group.
    """
    open_purchases: list[tuple[int, int]] = []
    group: tuple[str, str] | None = None
    for line in lines:
        if (line.user_id, line.item_id) != group:
            group, open_purchases = (line.user_id, line.item_id), []
        if not line.is_cancellation:
            open_purchases.append((line.row, line.quantity))
            continue
        for i in range(len(open_purchases) - 1, -1, -1):
            purchase, left = open_purchases[i]
            if left >= -line.quantity:
                open_purchases[i] = (purchase, left + line.quantity)
                yield Match(line.row, purchase, -line.quantity)
                break


class OnlineRetail:
    """The source `online_retail`: UCI's file, typed and annotated, in a temporary database."""

    name = "online_retail"
    identity = "online_retail"

    def __init__(self, path: Path, settings: SourceSettings) -> None:
        """Read the file into a temporary database, which is deleted with this object.

        Args:
            path: The file: Parquet, CSV or XLSX, also packed.
            settings: The encoding and delimiter of a text file, and the options of the source.

        Raises:
            SourceError: The file can't be read, or lacks a column of UCI's.
        """
        self._staging = Staging()
        connection = self._staging.connection
        table = read_table(
            connection, path, self._staging.folder, encoding=settings.encoding, delimiter=settings.delimiter
        )
        self.readings = [Reading("events", str(path), table.facts, table.warnings)]
        lines = table.rows
        missing = [name for name in COLUMNS if name not in lines.columns]
        if missing:
            raise SourceError(
                f"{path} has no column {', '.join(missing)}; it has {', '.join(lines.columns)}",
                fix="give the file as UCI published it, or use the source `table` and a column mapping",
            )
        numbered = lines.project(", ".join(COLUMNS)).project("row_number() OVER () AS row, *")
        try:
            numbered.project(f"row, {as_text(lines.project(', '.join(COLUMNS)))}").create("lines")
        except duckdb.Error as error:
            raise table.explain(error) from error
        text = connection.table("lines")
        text.project(f"row, {as_raw(text.project('* EXCLUDE (row)'))}").create("raw")
        connection.sql(_lines(settings), params=[ZONE, PRODUCT_CODE]).create("typed")
        returnable = map(Line._make, connection.sql(RETURNABLE).fetchall())
        connection.register("matches", _table(list(match(returnable))))
        self._staging.keep(connection.sql(STAGED))
        connection.sql(SOLD).create_view("sold")

    def days(self) -> dict[date, str]:
        return self._staging.days()

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of some days as tables, in the order of the days: see `Source.read`.

        Args:
            days: The days to read; None: all.
            rows: The maximal number of rows of a table.
        """
        return self._staging.read(days, rows)

    def items(self) -> pa.Table:
        """Return the products sold.

        Titles are the commonest descriptions; prices are medians over the last 30 days of a product's sales.
        """
        return completed(self._staging.connection.sql(CATALOGUE).to_arrow_table(), ITEMS).cast(ITEMS)

    def users(self) -> pa.Table:
        """Return the customers, with the country of their last line."""
        return completed(self._staging.connection.sql(CUSTOMERS).to_arrow_table(), USERS).cast(USERS)


def open(settings: SourceSettings) -> OnlineRetail:
    """Read the file that `source.path` names."""
    refuse_own_columns(settings)
    refuse_unread(settings, "path", "encoding", "delimiter")
    if settings.path is None:
        raise SourceError("the source online_retail needs a file", fix="set source.path in tastemaker.toml")
    return OnlineRetail(settings.path, settings)


def _lines(settings: SourceSettings) -> str:
    """LINES with ids in their canonical form."""
    return LINES.format(
        customer=canonical_sql("CustomerID", settings.ids, settings.missing_ids),
        stock_code=canonical_sql("upper(StockCode)", settings.ids, settings.missing_ids),
    )


def _table(matches: list[Match]) -> pa.Table:
    return pa.table(
        [
            pa.array(column, pa.int64())
            for column in (zip(*matches, strict=True) if matches else ([], [], []))
        ],
        names=Match._fields,
    )
