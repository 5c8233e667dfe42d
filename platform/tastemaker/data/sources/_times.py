"""Forms of times: detected if the whole column has one reading, else requested from the settings.

ISO 8601, and seconds, milli-, micro- and nanoseconds since 1970, are read as they are. Other forms are:
day or month first, names of months, 12 hours, yyyymmdd, serial days of a spreadsheet. A value that the
column's form does not cover has no time, and the gate puts its row into quarantine.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import duckdb

from tastemaker.data.sources._time_sql import (
    NUMBER,
    Order,
    Unit,
    certain,
    compact,
    excel,
    in_order,
    iso,
    plausible,
    since_1970,
    unknown_month,
    unknown_zone,
)
from tastemaker.errors import SourceError
from tastemaker.util.canonical_texts import trimmed_sql

Count = Literal["epoch", "compact", "excel"] | Unit
"""What a bare number counts; epoch: units since 1970, by its size."""

MAX_STRAY = 0.1
"""Where more than this share of a column has no certain reading, it is refused; below, these rows are set
aside."""

NUMBERS = frozenset(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE"))
NUMBERS |= {"INTEGER", "UINTEGER"}
FRACTIONS = frozenset({"FLOAT", "DOUBLE"})


class TimeForm(NamedTuple):
    """Form of a column of times."""

    order: Order | None = None
    """None: only ISO 8601 and bare numbers are read."""
    number: Count = "epoch"
    pattern: str | None = None
    """A pattern of strptime, in place of all else."""

    def facts(self) -> str:
        """Return the form in words."""
        if self.pattern is not None:
            return self.pattern
        if self == TimeForm("named"):
            return "names of months, or the year first"
        return next((word for word, form in WORDS.items() if form == self), "ISO 8601 or units since 1970")

    def sql(self, name: str, own_type: str) -> str:
        """Return SQL for the times of the column `name`, TIMESTAMPTZ; null where a value has another form."""
        if own_type == "VARCHAR" and self.pattern is None:
            soon = f"try_cast({name} AS TIMESTAMPTZ)"  # what most columns hold, and far cheaper than the rest
            others = _bounded(self._of_text(trimmed_sql(name)))
            # A zone in letters needs a look: to DuckDB, BST is the time of Bangladesh.
            return f"CASE WHEN {_is_year(soon)} AND ord(right({name}, 2)) < 65 THEN {soon} ELSE {others} END"
        if own_type == "VARCHAR":
            found = self._of_text(trimmed_sql(name))
        elif own_type in NUMBERS | FRACTIONS or own_type.startswith("DECIMAL"):
            found = self._of_number(f"CAST({name} AS DOUBLE)")
        else:
            found = f"try_cast({name} AS TIMESTAMPTZ)"
        return _bounded(found)

    def _of_text(self, text: str) -> str:
        if self.pattern is not None:
            pattern = self.pattern.replace("'", "''")
            return f"try_cast(try_strptime({text}, '{pattern}') AS TIMESTAMPTZ)"
        readings = [iso(text), self._of_number(_number(text))]
        if self.order is not None:
            readings += [in_order(text, self.order), certain(text)]
        return f"coalesce({', '.join(readings)})"

    def _of_number(self, number: str) -> str:
        if self.number == "excel":
            return excel(number)
        if self.number == "compact":
            return compact(number)
        return since_1970(number, None if self.number == "epoch" else self.number)


WORDS = {
    "day first": TimeForm("dmy"),
    "month first": TimeForm("mdy"),
    "year first": TimeForm("ymd"),
    "seconds": TimeForm(number="seconds"),
    "milliseconds": TimeForm(number="milliseconds"),
    "microseconds": TimeForm(number="microseconds"),
    "nanoseconds": TimeForm(number="nanoseconds"),
    "yyyymmdd": TimeForm(number="compact"),
    "excel": TimeForm(number="excel"),
}
"""Values of `source.time_format` besides patterns of strptime."""


def form_of(setting: str | None) -> TimeForm:
    """Return the form that `source.time_format` names. Raise SourceError if it does not name one."""
    if setting is None:
        return TimeForm()
    if setting in WORDS:
        return WORDS[setting]
    if "%" in setting:
        try:
            duckdb.execute("SELECT try_strptime('', ?)", [setting])
            return TimeForm(pattern=setting)
        except duckdb.Error:
            pass
    raise SourceError(
        f"source.time_format is {setting!r}, which is not a form of times",
        fix=f'write a pattern such as "%d/%m/%Y %H:%M", or one of: {", ".join(WORDS)}',
    )


class _Seen(NamedTuple):
    """Number of values of a column by form."""

    rows: int
    """Values that are not null."""
    any_order: int
    """Dates in numbers, without a year of four digits in front."""
    dmy: int
    """Of them, those that can be read with the day first; likewise the others."""
    mdy: int
    ymd: int
    dotted: int
    """Of them, those with dots, which everywhere have the day first."""
    differ: int
    """Of them, those whose readings differ."""
    ambiguous: str | None
    only_dmy: str | None
    only_mdy: str | None
    certain: int
    """Other dates that ISO 8601 does not cover and that have one reading."""
    epoch: int
    """Bare numbers that are plausible as units since 1970; likewise the others."""
    compact: int
    excel: int
    zones: int
    """Times in a zone that is not known to be one offset."""
    zone: str | None
    months: int
    """Dates with a month's name that is not English."""
    month: str | None


def find_form(rows: duckdb.DuckDBPyRelation, name: str, column: str, what: str) -> TimeForm:
    """Detect the form of a column of text that the default does not read.

    Args:
        rows: The rows, with all columns as text.
        name: The column's name as SQL writes it.
        column: The column's name.
        what: The name of the table in messages.

    Raises:
        SourceError: Several readings remain. The message names the column, an example and the setting.
    """
    seen = _look(rows, name)
    _refuse_words(seen, column, what)
    order: Order | None = None
    if seen.any_order or seen.certain:
        order = _order(seen, column, what) or "named"
    counts: dict[Count, int] = {"epoch": seen.epoch, "compact": seen.compact, "excel": seen.excel}
    return TimeForm(order, max(counts, key=lambda count: counts[count]))


def _look(rows: duckdb.DuckDBPyRelation, column: str) -> _Seen:
    values = rows.project(f"{trimmed_sql(column)} AS t").filter("t <> ''")
    values = values.project(f"t, {iso('t')} AS iso, {_number('t')} AS n")
    dates = {order: in_order("t", order) for order in ("dmy", "mdy", "ymd")} | {"certain": certain("t")}
    counts = {"epoch": since_1970("n"), "compact": compact("n"), "excel": excel("n")}
    columns = [
        f"CASE WHEN iso IS NULL AND n IS NULL THEN {date} END AS {order}" for order, date in dates.items()
    ]
    columns += [f"{plausible(timestamp)} AS {count}" for count, timestamp in counts.items()]
    columns += [
        f"iso IS NULL AND {unknown_zone('t')} AS zone",
        f"iso IS NULL AND {unknown_month('t')} AS month",
    ]
    parsed = values.project(f"t, {', '.join(columns)}").project(
        "*, coalesce(dmy, mdy, ymd) IS NOT NULL AS in_numbers, "
        "coalesce(dmy <> mdy, false) OR coalesce(dmy <> ymd, false) OR coalesce(mdy <> ymd, false) AS differ"
    )
    wanted = (
        "count(*)",
        "count(*) FILTER (in_numbers)",
        "count(dmy)",
        "count(mdy)",
        "count(ymd)",
        "count(*) FILTER (in_numbers AND regexp_matches(t, '^[0-9]+[.][0-9]+[.]'))",
        "count(*) FILTER (differ)",
        "any_value(t) FILTER (differ)",
        "any_value(t) FILTER (dmy IS NOT NULL AND mdy IS NULL)",
        "any_value(t) FILTER (mdy IS NOT NULL AND dmy IS NULL)",
        "count(certain)",
        "count(*) FILTER (epoch)",
        "count(*) FILTER (compact)",
        "count(*) FILTER (excel)",
        "count(*) FILTER (zone)",
        "any_value(t) FILTER (zone)",
        "count(*) FILTER (month)",
        "any_value(t) FILTER (month)",
    )
    (found,) = parsed.aggregate(", ".join(wanted)).fetchall()
    return _Seen(*found)


def _refuse_words(seen: _Seen, column: str, what: str) -> None:
    """Raise SourceError for words that say no certain zone or month, if they are more than stray values."""
    if seen.zones > MAX_STRAY * seen.rows:
        raise SourceError(
            f"{what}: {seen.zones:,} times in the column {column} name a zone that has not one offset "
            f"everywhere, such as {seen.zone!r}",
            fix="write an offset, such as +01:00; or name the zone and a pattern with these letters: "
            'source.timezone = "Europe/London", source.time_format = "%Y-%m-%d %H:%M:%S BST"',
        )
    if seen.months > MAX_STRAY * seen.rows:
        raise SourceError(
            f"{what}: {seen.months:,} dates in the column {column} have names of months that are not "
            f"English, such as {seen.month!r}",
            fix="write months as numbers at the source, such as 2024-05-31",
        )


def _order(seen: _Seen, column: str, what: str) -> Order | None:
    """Return the order in which all dates in numbers can be read; None if there are few or none."""
    counts: dict[Order, int] = {"dmy": seen.dmy, "mdy": seen.mdy, "ymd": seen.ymd}
    full = [order for order, count in counts.items() if count == seen.any_order]
    if len(full) == 1 or (full and seen.differ == 0 and seen.any_order):
        return full[0]
    if "dmy" in full and seen.dotted == seen.any_order > 0:
        return "dmy"
    if seen.any_order <= MAX_STRAY * seen.rows:
        return None
    setting = 'source.time_format = "day first" or "month first", or a pattern such as "%d/%m/%Y %H:%M"'
    if full:
        raise SourceError(
            f"{what}: {seen.any_order:,} times in the column {column} can be read with the day or the month "
            f"first, such as {seen.ambiguous!r}",
            fix=f"say which: {setting}",
        )
    raise SourceError(
        f"{what}: the column {column} has times that can only have the day first, such as {seen.only_dmy!r}, "
        f"and others that can only have the month first, such as {seen.only_mdy!r}",
        fix=f"write them alike at the source; to read one kind and set the other aside: {setting}",
    )


def _bounded(timestamp: str) -> str:
    return f"CASE WHEN {_is_year(timestamp)} THEN {timestamp} END"


def _is_year(timestamp: str) -> str:
    """Of four digits, which no date in two digits has."""
    return f"year({timestamp}) BETWEEN 1000 AND 9998"


def _number(text: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, '{NUMBER}') THEN try_cast({text} AS DOUBLE) END"
