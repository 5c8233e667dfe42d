"""Source of tables in memory, with the same mapping and validation as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tastemaker.data.lake_files import open_duckdb
from tastemaker.data.sources._mapped import MappedRows
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings


def is_frame(thing: object) -> bool:
    """Return whether an object is a table of pandas, polars, pyarrow or a library that exports Arrow."""
    return isinstance(thing, pa.Table) or hasattr(thing, "__arrow_c_stream__")


def frame_source(settings: SourceSettings, events: str, frames: Mapping[str, object]) -> MappedRows:
    """Return a source of tables in memory.

    Args:
        settings: The settings of the source.
        events: The name of the table of events.
        frames: Tables by the names that `events` and `settings` use; other names are paths.
    """
    tables = {name: _as_table(name, frame) for name, frame in frames.items()}

    def fetch(named: str, folder: Path) -> Path:
        if named not in tables:
            return Path(named)
        path = folder / f"{named.split()[-1]}.parquet"
        with open_duckdb() as connection:  # it supports more of Arrow's types than Arrow's own writer
            connection.from_arrow(tables[named]).write_parquet(str(path))
        return path

    return MappedRows(settings, events, name="table", identity="tables in memory", fetch=fetch)


def _as_table(name: str, frame: Any) -> pa.Table:
    """Return a table as Arrow. Raises SourceError for a column that mixes types, or a duplicated one."""
    names = [str(each) for each in getattr(frame, "columns", ())] if not isinstance(frame, pa.Table) else []
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise SourceError(
            f"{name} has two columns {', '.join(twice)}", fix="rename one of them, or leave it out"
        )
    try:
        if type(frame).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(frame, preserve_index=False)
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise SourceError(
            f"{name} can't be read as a table: {' '.join(str(error).split())[:300]}",
            fix="give each column one type: text, numbers or times",
        ) from error
