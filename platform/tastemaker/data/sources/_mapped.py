"""Rows of any table, mapped to canonical columns: what the sources `table` and `sql` share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tastemaker.data.sources._files import read_file, unreadable
from tastemaker.data.sources._mapping import project
from tastemaker.data.sources._own import project_own, refuse_unsound_own_columns
from tastemaker.data.sources._staging import Staging, as_raw
from tastemaker.data.tables import EVENTS, ITEMS, OWN, USERS, nullable
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings

REQUIRED = ("user_id", "item_id", "occurred_at")
OPTIONS = ("event_type",)

Fetch = Callable[[str, Path], Path]
"""From what the settings name and a folder for temporary files to a file that can be read."""


class MappedRows:
    """Events, items and users, mapped to canonical columns in a temporary database."""

    def __init__(
        self, settings: SourceSettings, events: str, *, name: str, identity: str, fetch: Fetch
    ) -> None:
        refuse_unknown_options(settings.options, OPTIONS)
        refuse_unknown_columns(settings.columns, settings.user_columns)
        refuse_unsound_own_columns(settings)
        self.name = name
        self.identity = identity
        self._settings = settings
        self._fetch = fetch
        self._staging = Staging()
        self._keep_events(events)

    def _keep_events(self, what: str) -> None:
        self._set_zone()
        own = self._read(what)
        mapping = self._settings.columns
        mapped = project(own, EVENTS, mapping, required=REQUIRED, what=what)
        columns = set(own.columns)
        absent = {name for name in EVENTS.names if mapping.get(name, name) not in columns}
        rows = own.project(f"row_number() OVER () AS row, {mapped}, {as_raw(own)}")
        try:
            self._staging.keep(self._with_defaults(rows, absent))
        except duckdb.Error as error:
            raise unreadable(what, error) from error
        self._staging.connection.execute("SET TimeZone='UTC'")

    def _with_defaults(self, rows: duckdb.DuckDBPyRelation, absent: set[str]) -> duckdb.DuckDBPyRelation:
        """Fill the optional columns that the source does not have at all."""
        event_type = str(self._settings.options.get("event_type", "purchase")).replace("'", "''")
        if "event_type" in absent:
            rows = rows.project(f"* REPLACE ('{event_type}' AS event_type)")
        if "value" in absent:
            rows = rows.project("* REPLACE (CAST(1 AS DOUBLE) AS value)")
        if "event_id" in absent:
            content = "md5(concat_ws(chr(31), user_id, item_id, event_type, value, epoch_us(occurred_at)))"
            nth = "row_number() OVER (PARTITION BY event_id ORDER BY row)"
            rows = rows.project(f"* REPLACE ({content} AS event_id)")
            rows = rows.project(f"* REPLACE (event_id || '-' || {nth} AS event_id)")
        return rows

    def days(self) -> dict[date, str]:
        return self._staging.days()

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        return self._staging.read(days, rows)

    def items(self) -> pa.Table:
        return self._catalogue(self._settings.items, ITEMS, "item_id")

    def users(self) -> pa.Table:
        return self._catalogue(self._settings.users, USERS, "user_id")

    def _catalogue(self, named: str | None, schema: pa.Schema, key: str) -> pa.Table:
        """The items or the users, if the settings name where they are."""
        if named is None:
            return nullable(schema).empty_table()
        self._set_zone()
        own = self._read(named)
        known = {name: column for name, column in self._settings.columns.items() if column in own.columns}
        canonical = pa.schema([field for field in schema if field.name != OWN])
        columns = project(own, canonical, known, required=(key,), what=named)
        if OWN in schema.names:
            columns += ", " + project_own(own, self._settings.user_columns, known, named)
        found = own.project(columns).to_arrow_table()
        self._staging.connection.execute("SET TimeZone='UTC'")
        return found.cast(nullable(schema))

    def _read(self, named: str) -> duckdb.DuckDBPyRelation:
        folder = self._staging.folder
        return read_file(self._staging.connection, self._fetch(named, folder), folder)

    def _set_zone(self) -> None:
        try:
            self._staging.connection.execute("SET TimeZone=?", [self._settings.timezone])
        except duckdb.Error as error:
            raise SourceError(
                f"source.timezone is {self._settings.timezone!r}, which is no time zone",
                fix='use a name such as "UTC" or "Europe/Berlin"',
            ) from error


def refuse_unknown_options(options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise SourceError for an option that nothing reads."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise SourceError(
            f"source.options has no option {', '.join(unknown)}", fix=f"the options are: {', '.join(known)}"
        )


def refuse_unknown_columns(mapping: Mapping[str, str], user_columns: tuple[str, ...]) -> None:
    """Raise SourceError for a mapping of a column that no canonical table has, nor the shop's own."""
    canonical = dict.fromkeys(name for name in (*EVENTS.names, *ITEMS.names, *USERS.names) if name != OWN)
    unknown = [name for name in mapping if name not in (*canonical, *user_columns)]
    if unknown:
        raise SourceError(
            f"source.columns maps {', '.join(unknown)}, which is no canonical column",
            fix=f"the canonical columns are: {', '.join(canonical)}; write canonical = own. A column of "
            "users that is the shop's own is named in source.user_columns, too",
        )
