"""Any file of events (CSV, TSV, JSON, Parquet, XLSX, also packed), with a column mapping in tastemaker.toml:

    [source]
    name = "table"
    path = "orders.csv"
    items = "products.csv"            # optional, and `users` likewise
    item_columns = ["brand"]          # optional: own columns of items to keep, for models that read content
    user_columns = ["segment"]        # optional: own columns of users to keep, for slices and such models
    timezone = "Europe/Berlin"        # of times that carry no zone
    columns = { user_id = "customer", item_id = "sku", occurred_at = "ordered", value = "amount" }

`user_id`, `item_id` and `occurred_at` are needed. Without `event_type` each event is a purchase (or what
`options.event_type` says); without `value` it counts 1; without `event_id` the id follows from the row's
content and how often the same content came before, so it stays when rows are added below.
"""

from __future__ import annotations

import os
from pathlib import Path

from tastemaker.data.sources._mapped import MappedRows
from tastemaker.data.sources._unread import refuse_unread
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings

READ = (
    "path", "items", "users", "columns", "item_columns", "user_columns", "timezone", "options",
    "encoding", "delimiter", "time_format", "decimal",
)  # fmt: skip


def open(settings: SourceSettings) -> MappedRows:
    """Read the file that `source.path` names."""
    if settings.path is None:
        raise SourceError("the source table needs a file", fix="set source.path in tastemaker.toml")
    refuse_unread(settings, *READ)
    place = os.fsencode(settings.path.resolve()).decode("utf-8", "backslashreplace")
    identity = f"table {place}"
    return MappedRows(settings, str(settings.path), name="table", identity=identity, fetch=_as_path)


def _as_path(named: str, folder: Path) -> Path:
    return Path(named)
