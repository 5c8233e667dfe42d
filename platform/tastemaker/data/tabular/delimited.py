"""Delimited text (CSV, TSV) in UTF-8: detection of delimiter and header, and errors by line.

Every row has as many fields as the header, or the file is refused with the lines that have not: a parser that
guesses would drop or shift values.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import duckdb

from tastemaker.data.lake_files import literal
from tastemaker.errors import SourceError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE_BYTES = 1 << 20
SAMPLE_ROWS = 200
SHOWN_LINES = 5
MAX_FIELD = (1 << 31) - 1


class Form(NamedTuple):
    """Form of a file: delimiter, header and skipped lines."""

    path: Path
    named: Path
    """Name in messages."""
    delimiter: str
    columns: list[str]
    skipped: int
    """Number of lines before the header."""
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path, named: Path, delimiter: str | None) -> Form:
        """Detect the form of a file in UTF-8.

        Args:
            path: The file to look at, unpacked and in UTF-8.
            named: The name of the file in messages.
            delimiter: The delimiter; None: detected.

        Returns:
            The form, in which no two columns have the same name.

        Raises:
            SourceError: The file has no header line, or the delimiter is not one character.
        """
        sample = _sample(path)
        lines = sample.splitlines(keepends=True)
        skipped = next((n for n, line in enumerate(lines) if line.strip()), len(lines))
        if skipped < len(lines) and lines[skipped].lower().startswith("sep="):  # a hint of Excel to itself
            delimiter = delimiter or lines[skipped].rstrip("\r\n")[4:5] or None
            skipped += 1
        rest = "".join(lines[skipped:])
        chosen = _delimiter(rest) if delimiter is None else _allowed(delimiter)
        header = next(_records(rest, chosen), [])
        if not any(name.strip() for name in header):
            raise SourceError(f"{named} has no header line", fix="put the column names into its first line")
        return cls(path, named, chosen, distinct(header), skipped, repeated(header, named))

    @property
    def name(self) -> str:
        """The delimiter in words."""
        return DELIMITERS.get(self.delimiter, repr(self.delimiter))

    def read(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        """Return every column as text, null where a field is empty."""
        return connection.read_csv(
            literal(self.path),
            header=True,
            skiprows=self.skipped,
            auto_detect=False,
            columns=dict.fromkeys(self.columns, "VARCHAR"),
            delimiter=self.delimiter,
            quotechar='"',
            escapechar='"',
            strict_mode=True,
            hive_partitioning=False,
            compression="none",
        )

    def explain(self, error: duckdb.Error) -> SourceError:
        """Return an error with the numbers of the lines that DuckDB could not read."""
        ragged, open_quote = self._faults()
        if open_quote is not None and (not ragged or open_quote < ragged[0][0]):
            return self._error(
                f'line {open_quote}: a quote (") opens a field that does not end with one',
                'close the quote there, and write a quote within quotes as ""',
            )
        if not ragged:
            reason = " ".join(str(error).split())[:300]
            return self._error(f"it can't be read as a table: {reason}", "save it again as CSV in UTF-8")
        (line, found), *others = ragged
        more = f"; {len(others):,} more lines differ: " if others else ""
        more += ", ".join(f"line {line} ({fields})" for line, fields in others[:SHOWN_LINES])
        more += ", ..." if len(others) > SHOWN_LINES else ""
        return self._error(
            f"line {line}: {found} fields, while the header has {len(self.columns)}{more}",
            f"correct these lines at the source: a value that holds a {self.name} must be in quotes. If "
            "another character parts the fields, name it: source.delimiter",
        )

    def _faults(self) -> tuple[list[tuple[int, int]], int | None]:
        """Return lines with another number of fields than the header; and the line where a quote stays open.

        Returns:
            (line, number of fields) of each; the line of the quote, None if all quotes are closed.
        """
        width = len(self.columns)
        ragged: list[tuple[int, int]] = []
        try:
            for line, fields in self._numbered():
                ends_open = len(fields) == width + 1 and fields[-1] == ""  # which DuckDB lets pass, too
                if fields and len(fields) != width and not ends_open:
                    ragged.append((line, len(fields)))
        except _QuoteError as broken:
            return ragged, broken.line
        return ragged, None

    def _error(self, problem: str, fix: str) -> SourceError:
        return SourceError(f"{self.named}, {problem}", fix=fix)

    def _numbered(self) -> Iterator[tuple[int, list[str]]]:
        """Each record with the number of the line that it begins on. Raises _QuoteError."""
        csv.field_size_limit(MAX_FIELD)
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            for _ in islice(file, self.skipped):
                pass
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            while True:
                line = self.skipped + reader.line_num + 1
                try:
                    fields = next(reader, None)
                except csv.Error:
                    raise _QuoteError(line) from None
                if fields is None:
                    return
                yield line, fields


class _QuoteError(Exception):
    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(line)


def _sample(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
    return head.decode("utf-8-sig", "ignore")  # the last character may be cut


def _allowed(delimiter: str) -> str:
    chosen = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    if len(chosen) != 1 or chosen in '"\r\n':
        raise SourceError(
            f"source.delimiter is {delimiter!r}, must be one character", fix='write ",", ";", "|" or "tab"'
        )
    return chosen


def _delimiter(sample: str) -> str:
    """Return the delimiter by which most rows are as wide as the header; of equals, that with most fields."""

    def fit(delimiter: str) -> tuple[bool, float, int]:
        header, *rows = [*islice(filter(None, _records(sample, delimiter)), SAMPLE_ROWS)] or [[]]
        same = sum(len(row) == len(header) for row in rows)
        return len(header) > 1, same / max(len(rows), 1), len(header)

    return max(DELIMITERS, key=fit)


def _records(sample: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the records of a sample, as far as they can be parsed."""
    try:
        yield from csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    except csv.Error:
        return


def repeated(header: Sequence[str], named: Path) -> tuple[str, ...]:
    """Return a warning if two columns have the same name, in whatever case; else nothing.

    Args:
        header: The columns' names, as the file has them.
        named: The name of the file in messages.
    """
    counts = Counter(name.strip().lower() for name in header if name.strip())
    again = [name for name, n in counts.items() if n > 1]
    if not again:
        return ()
    return (
        f"{named} has more than one column {', '.join(again)}: the first is read under this name, the next "
        f"as {again[0]}_1. Check that the first is what you mean",
    )


def distinct(header: Sequence[str]) -> list[str]:
    """Return distinct names for the columns, without blanks around them.

    Names are compared without letter case, as in SQL. A repeated name gets a number.
    """
    names: list[str] = []
    taken: set[str] = set()
    for place, given in enumerate(header):
        name = stem = given.strip().strip("\ufeff") or f"column{place}"
        n = 0
        while name.lower() in taken:
            n += 1
            name = f"{stem}_{n}"
        taken.add(name.lower())
        names.append(name)
    return names
