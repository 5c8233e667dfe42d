"""Any database that SQLAlchemy can reach:

    [source]
    name = "sql"
    events = "shop.order_lines"                                # a table, or a SELECT
    items = "SELECT sku, name, price FROM products"            # optional, and `users` likewise
    columns = { user_id = "customer", item_id = "sku", occurred_at = "ordered", title = "name" }

with TASTEMAKER_SOURCE__URL=postgresql+psycopg2://user:password@host/database.

Columns are mapped as in the source `table`. Rows come through a server-side cursor, a chunk at a time. A
SELECT is the truth from its first to its last day; days before and after stay in the lake as they are. To
read only what is new, select whole days,
`... WHERE ordered >= date_trunc('day', now()) - interval '7 days'`.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import sqlalchemy as sa

from tastemaker.data.sources._mapped import MappedRows
from tastemaker.data.sources._unread import refuse_unread
from tastemaker.data.tabular.rows import CHUNK_ROWS, write_text
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings
from tastemaker.util.atomic_files import sqlite_url

READ = (
    "url", "events", "items", "users", "columns", "item_columns", "user_columns", "timezone", "options",
    "time_format", "decimal",
)  # fmt: skip
_COLON = re.compile(r"(?<!:):(?=\w)")
"""What SQLAlchemy reads as a parameter; in a SELECT of the settings it is text."""
TABLE_NAME = re.compile(r"(?:(?P<schema>\w+)\.)?(?P<table>\w+)")


def open(settings: SourceSettings) -> MappedRows:
    """Read what `source.events` names from the database at `source.url`."""
    if settings.url is None or settings.events is None:
        raise SourceError(
            "the source sql needs a database and a table",
            fix="set TASTEMAKER_SOURCE__URL, and source.events in tastemaker.toml",
        )
    refuse_unread(settings, *READ)
    try:
        url = sa.make_url(settings.url)
    except sa.exc.ArgumentError as error:
        raise SourceError(
            "source.url is not a SQLAlchemy URL", fix="postgresql+psycopg2://user@host/database"
        ) from error
    identity = f"sql {url.host}:{url.port}/{url.database}"
    if url.get_backend_name() == "sqlite":
        url = _of_file(url, settings.url)
    return MappedRows(settings, settings.events, name="sql", identity=identity, fetch=partial(_download, url))


def _of_file(url: sa.URL, text: str) -> sa.URL:
    """Return the URL of SQLite's file, whose name may contain `?`, `#` and `%`.

    Raises SourceError for a missing file: SQLite would create an empty database.
    """
    name = text.partition(":///")[2]
    if url.database in (None, "", ":memory:") or url.database.startswith("file:"):
        return url
    if Path(url.database).is_file() and not Path(name).is_file():
        return url
    found = next((path for path in map(Path, (name, unquote(name))) if path.is_file()), None)
    if found is None:
        raise SourceError(
            f"source.url names the SQLite file {url.database}, and there is no such file in {Path.cwd()}",
            fix="check the path; an absolute one has four slashes: sqlite:////srv/shop.db",
        )
    return sa.make_url(sqlite_url(found))


def _download(url: sa.URL, query: str, folder: Path) -> Path:
    """Stream the rows of a table or SELECT into a Parquet file of text."""
    named = TABLE_NAME.fullmatch(query.strip())
    statement: sa.Executable = sa.text(_COLON.sub(r"\\:", query))
    if named:
        table = sa.table(named["table"], schema=named["schema"])
        statement = sa.select(sa.literal_column("*")).select_from(table)
    path = folder / f"query-{len(list(folder.glob('query-*')))}.parquet"
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            rows = connection.execution_options(yield_per=CHUNK_ROWS).execute(statement)
            write_text(path, list(rows.keys()), rows)
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise SourceError(
            f"{url.render_as_string(hide_password=True)} can't be read: {reason}",
            fix="check the address, the account's rights and source.events (a table, or a SELECT; a name "
            'with blanks in quotes: SELECT * FROM "my orders"); install the database\'s driver',
        ) from None  # the cause may quote the URL with its password
    return path
