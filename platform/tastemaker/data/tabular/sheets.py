"""XLSX: the first visible sheet's values as a Parquet file of text.

Of a formula the value counts that Excel saved with it. A cell with an error such as #N/A is empty. So is a
formula without a saved value, which programs write that do not compute: they are counted in a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

from tastemaker.data.tabular.delimited import distinct, repeated
from tastemaker.data.tabular.rows import write_text
from tastemaker.errors import SourceError

ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"})
_FORMULA = re.compile(rb"<f[ />]")
_CHUNK = 1 << 20


class Sheet(NamedTuple):
    """A table of a workbook that was written as a Parquet file."""

    path: Path
    facts: dict[str, Any]
    warnings: tuple[str, ...]


class _Cells(NamedTuple):
    """A table in a sheet."""

    header: list[str]
    places: list[int]
    """The columns that have a name."""
    rows: Iterator[tuple[Any, ...]]
    warnings: tuple[str, ...]


def unpack(path: Path, folder: Path, named: Path) -> Sheet:
    """Write the table of a workbook's first visible sheet, whose first line names the columns, as Parquet.

    Args:
        path: The workbook to read.
        folder: Where the Parquet file is written.
        named: The name of the workbook in messages.

    Returns:
        The Parquet file, the names of the sheets that were read and not read, and warnings.

    Raises:
        SourceError: The sheet can't be read as a table.
    """
    from openpyxl import load_workbook

    target = folder / f"sheet-{len(list(folder.glob('sheet-*')))}.parquet"
    try:
        with closing(load_workbook(path, read_only=True, data_only=True)) as book:
            sheet, *others = _visible(book)
            cells = _cells(sheet.iter_rows(values_only=True), named)
            write_text(target, cells.header, _values(cells))
            title, unread = sheet.title, [other.title for other in others]
            alike = ", ".join(other.title for other in others if _names(other) == _names(sheet))
        missing = _unsaved(path, cells.places) if _has_formulas(path) else []
    except SourceError:
        raise
    except Exception as error:  # whatever an odd workbook leads openpyxl to raise
        raise SourceError(
            f"{named} can't be read as a table: {' '.join(str(error).split())[:200]}",
            fix="open it in Excel and save it again as .xlsx, or as CSV in UTF-8",
        ) from error
    warnings = list(cells.warnings)
    if alike:
        warnings.append(
            f"of {named} the sheet {title} is read, and others with the same header are not: {alike}. Put "
            "all rows into one sheet, if they are one table"
        )
    if missing:
        warnings.append(
            f"{len(missing):,} formulas of {named} have no saved value, first in cell {missing[0]}: these "
            "cells count as empty. Open the file in Excel and save it, so that it computes them"
        )
    facts = {"sheet": title} | ({"sheets not read": unread} if unread else {})
    return Sheet(target, facts, tuple(warnings))


def _visible(book: Any) -> list[Any]:
    """Return the sheets that a person sees; all, if all are hidden."""
    return [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or list(book.worksheets)


def _names(sheet: Any) -> list[str]:
    """Return the texts of a sheet's first row."""
    first = next(sheet.iter_rows(max_row=1, values_only=True), ())
    return [str(name).strip() for name in first if name is not None]


def _cells(rows: Iterator[tuple[Any, ...]], named: Path) -> _Cells:
    first = next(rows, ())
    places = [place for place, name in enumerate(first) if name is not None and str(name).strip()]
    if not places:
        raise SourceError(f"{named}: the first sheet has no header line", fix="put column names in row 1")
    header = [str(first[place]) for place in places]
    return _Cells(distinct(header), places, rows, repeated(header, named))


def _values(cells: _Cells) -> Iterator[list[Any]]:
    """Yield the rows that are not empty, as wide as the header."""
    for row in cells.rows:
        values = [row[place] if place < len(row) else None for place in cells.places]
        values = [None if isinstance(value, str) and value.strip() in ERRORS else value for value in values]
        if any(value is not None for value in row):
            yield values


def _has_formulas(path: Path) -> bool:
    """Whether any sheet has one: looking twice at a sheet takes twice the time."""
    with ZipFile(path) as packed:
        for member in packed.namelist():
            if member.startswith("xl/worksheets/"):
                with packed.open(member) as sheet:
                    tail = b""
                    while chunk := sheet.read(_CHUNK):
                        if _FORMULA.search(tail + chunk):
                            return True
                        tail = chunk[-3:]
    return False


def _unsaved(path: Path, places: Iterable[int]) -> list[str]:
    """Return the cells of the first sheet, below the header, that hold a formula without a stored value."""
    from openpyxl import load_workbook
    from openpyxl.utils import get_column_letter

    wanted = list(places)
    with (
        closing(load_workbook(path, read_only=True)) as written,
        closing(load_workbook(path, read_only=True, data_only=True)) as saved,
    ):
        pairs = zip(
            _visible(written)[0].iter_rows(values_only=True),
            _visible(saved)[0].iter_rows(values_only=True),
            strict=True,
        )
        return [
            f"{get_column_letter(place + 1)}{number}"
            for number, (formulas, values) in enumerate(pairs, start=1)
            for place in wanted
            if number > 1 and place < len(formulas) and _is_formula(formulas[place]) and values[place] is None
        ]


def _is_formula(value: object) -> bool:
    return (isinstance(value, str) and value.startswith("=")) or type(value).__name__ in (
        "ArrayFormula",
        "DataTableFormula",
    )
