"""Rows of any table, mapped to canonical columns: the common part of the sources `table` and `sql`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tastemaker.data.lake_files import quoted
from tastemaker.data.sources import Reading
from tastemaker.data.sources._mapping import (
    NUMBERS,
    TIMES,
    Forms,
    doubtful,
    found_forms,
    number_warnings,
    own_columns,
    project,
)
from tastemaker.data.sources._own import Owned, owned, project_own, refuse_unsound_own_columns
from tastemaker.data.sources._staging import Staging, as_raw, as_text
from tastemaker.data.tables import EVENTS, ITEMS, OWN, USERS, nullable
from tastemaker.data.tabular import Table, read_table
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings

REQUIRED = ("user_id", "item_id", "occurred_at")
OPTIONS = ("event_type",)

Fetch = Callable[[str, Path], Path]
"""Function from a name in the settings and a folder for temporary files to a file that can be read."""


class MappedRows:
    """Source with events, items and users mapped to canonical columns in a temporary database."""

    def __init__(
        self, settings: SourceSettings, events: str, *, name: str, identity: str, fetch: Fetch
    ) -> None:
        refuse_unknown_options(settings.options, OPTIONS)
        refuse_unknown_columns(settings.columns, (*settings.item_columns, *settings.user_columns))
        refuse_unsound_own_columns(settings)
        self.name = name
        self.identity = identity
        self.readings: list[Reading] = []
        self._settings = settings
        self._fetch = fetch
        self._staging = Staging()
        self._keep_events(events)

    def _keep_events(self, what: str) -> None:
        with self._zone():
            table = self._read(what)
            own = own_columns(table.rows.columns, EVENTS, self._settings.columns, REQUIRED, what)
            forms = Forms.of(self._settings)
            self._stage(table, own, forms)
            unread = [
                name for name, condition in doubtful(own, "raw_").items() if self._any_staged(condition)
            ]
            raw = ", ".join(f"{quoted('raw_' + name)} AS {quoted(name)}" for name in own.values())
            texts = self._staging.staged.project(raw)
            found = found_forms(texts, own, forms, unread, what) if unread else forms
            warnings = self._number_warnings(table, texts, own, found, what)
            if found != forms:
                self._stage(table, own, found)
        self._note("events", what, table, own, found, warnings)

    def _number_warnings(
        self, table: Table, texts: duckdb.DuckDBPyRelation, own: Mapping[str, str], forms: Forms, what: str
    ) -> tuple[str, ...]:
        kinds = dict(zip(table.rows.columns, map(str, table.rows.types), strict=True))
        written = {name: column for name, column in own.items() if kinds[column] == "VARCHAR"}
        return number_warnings(texts, written, forms, what)

    def _stage(self, table: Table, own: Mapping[str, str], forms: Forms) -> None:
        mapped = project(table.rows, EVENTS, own, forms)
        rows = table.rows.project(f"row_number() OVER () AS row, {mapped}, {as_raw(table.rows)}")
        try:
            self._staging.keep(self._with_defaults(rows, set(EVENTS.names) - own.keys()))
        except duckdb.Error as error:
            raise table.explain(error) from error

    def _any_staged(self, condition: str) -> bool:
        return self._staging.staged.filter(condition).limit(1).fetchall() != []

    def _with_defaults(self, rows: duckdb.DuckDBPyRelation, absent: set[str]) -> duckdb.DuckDBPyRelation:
        """Fill the optional columns that the source lacks."""
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
        return self._catalogue(self._settings.items, owned(self._settings)[0])

    def users(self) -> pa.Table:
        return self._catalogue(self._settings.users, owned(self._settings)[1])

    def _catalogue(self, named: str | None, kept: Owned) -> pa.Table:
        """Return the items or the users, if the settings name them."""
        schema = kept.schema
        if named is None:
            return nullable(schema).empty_table()
        with self._zone():
            table = self._read(named)
            known = {
                name: column
                for name, column in self._settings.columns.items()
                if column in table.rows.columns
            }
            canonical = pa.schema([field for field in schema if field.name != OWN])
            own = own_columns(table.rows.columns, canonical, known, (kept.key,), named)
            others = ", " + project_own(table.rows, kept, known, named)
            try:
                forms = self._catalogue_forms(table, canonical, own, named)
                texts = table.rows.project(as_text(table.rows))
                warnings = self._number_warnings(table, texts, own, forms, named)
                found = table.rows.project(
                    project(table.rows, canonical, own, forms) + others
                ).to_arrow_table()
            except duckdb.Error as error:
                raise table.explain(error) from error
        if len(found) == 0:
            raise SourceError(
                f"{named} has no rows: what is known of {kept.table} would be lost, such as the categories "
                "by which they are blocked",
                fix=f"export it again; or take source.{kept.table} out of tastemaker.toml",
            )
        mapped = own | {name: known.get(name, name) for name in kept.names}
        self._note(kept.table, named, table, mapped, forms, warnings)
        return found.cast(nullable(schema))

    def _catalogue_forms(self, table: Table, schema: pa.Schema, own: Mapping[str, str], named: str) -> Forms:
        """Return the forms of its times and numbers."""
        forms = Forms.of(self._settings)
        raw = table.rows.project(f"{project(table.rows, schema, own, forms)}, {as_raw(table.rows)}")
        unread = [
            name
            for name, condition in doubtful(own, "raw_").items()
            if raw.filter(condition).limit(1).fetchall() != []
        ]
        texts = table.rows.project(as_text(table.rows))
        return found_forms(texts, own, forms, unread, named) if unread else forms

    def _note(
        self,
        table: str,
        named: str,
        read: Table,
        own: Mapping[str, str],
        forms: Forms,
        warnings: tuple[str, ...],
    ) -> None:
        """Return facts of how the table was read."""
        written = {
            column: (forms.times if name in TIMES else forms.number(name)).facts()
            for name, column in own.items()
            if name in (*TIMES, *NUMBERS)
        }
        facts = {
            **read.facts,
            "columns": dict(own),
            "columns not mapped": [name for name in read.rows.columns if name not in own.values()],
            "written as": written,
        }
        self.readings = [reading for reading in self.readings if reading.table != table]
        self.readings.append(Reading(table, named, facts, (*read.warnings, *warnings)))

    def _read(self, named: str) -> Table:
        folder, settings = self._staging.folder, self._settings
        return read_table(
            self._staging.connection,
            self._fetch(named, folder),
            folder,
            encoding=settings.encoding,
            delimiter=settings.delimiter,
        )

    @contextmanager
    def _zone(self) -> Iterator[None]:
        """Read times without a zone in the time zone of the settings, within the block."""
        connection = self._staging.connection
        try:
            connection.execute("SET TimeZone=?", [self._settings.timezone])
        except duckdb.Error as error:
            raise SourceError(
                f"source.timezone is {self._settings.timezone!r}, which is not a time zone",
                fix='use a name such as "UTC" or "Europe/Berlin"',
            ) from error
        yield
        connection.execute("SET TimeZone='UTC'")


def refuse_unknown_options(options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise SourceError for an option that is not read."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise SourceError(
            f"source.options has no option {', '.join(unknown)}", fix=f"the options are: {', '.join(known)}"
        )


def refuse_unknown_columns(mapping: Mapping[str, str], kept: tuple[str, ...]) -> None:
    """Raise SourceError for a mapping of a column that is neither canonical nor custom."""
    canonical = dict.fromkeys(name for name in (*EVENTS.names, *ITEMS.names, *USERS.names) if name != OWN)
    unknown = [name for name in mapping if name not in (*canonical, *kept)]
    if unknown:
        raise SourceError(
            f"source.columns maps {', '.join(unknown)}, which is not a canonical column",
            fix=f"the canonical columns are: {', '.join(canonical)}; write canonical = own. A column that is "
            "the shop's own is named in source.item_columns or source.user_columns, too",
        )
