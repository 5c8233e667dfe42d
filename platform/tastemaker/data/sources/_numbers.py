"""Forms of numbers: the decimal sign, detected from the whole column or requested from the settings."""

from __future__ import annotations

from typing import Literal, NamedTuple

import duckdb

from tastemaker.errors import SourceError
from tastemaker.util.canonical_texts import trimmed_sql

Decimal = Literal[".", ","]

MAX_STRAY = 0.1
"""If a larger share of a column has no certain reading, the column is refused; else these rows are
quarantined."""

MIN_THOUSANDS = 0.01
"""A form of at most this share of the numbers is not reported."""

_SPACES = "'\u2019 \u00a0\u202f"
"""Thousands separators besides dot and comma."""
_CURRENCY = "[$\u00a2-\u00a5\u20a0-\u20cf]|^[+-]?[0-9.,]+ ?[A-Z]{3}$|^[A-Z]{3} ?[+-]?[0-9.,]+$"


class NumberForm(NamedTuple):
    """Form of a column of numbers."""

    decimal: Decimal | None = None
    """None: a plain number with a dot, without thousands separators."""

    def facts(self) -> str:
        """Return the form in words."""
        return {None: "plain", ".": "decimal dot, thousands parted", ",": "decimal comma"}[self.decimal]

    def sql(self, name: str, own_type: str, kind: str) -> str:
        """Return SQL for the numbers of a column; null where a value is not a number.

        Args:
            name: The column's name as SQL writes it.
            own_type: The column's type in DuckDB.
            kind: The type of the result.
        """
        if self.decimal is None or own_type != "VARCHAR":
            return f"try_cast({name} AS {kind})"
        return f"try_cast({_number(trimmed_sql(name), self.decimal)} AS {kind})"


class _Seen(NamedTuple):
    rows: int
    plain: int
    """Numbers without any sign but a minus: equal in every form."""
    dot: int
    """Numbers in the form with a decimal dot; likewise comma."""
    comma: int
    either: int
    ambiguous: str | None
    currency: int
    with_currency: str | None
    only_dot: str | None
    only_comma: str | None


def find_form(rows: duckdb.DuckDBPyRelation, name: str, column: str, what: str) -> NumberForm:
    """Detect the form of a column of text with values that are not plain numbers.

    Args:
        rows: The rows, with all columns as text.
        name: The column's name as SQL writes it.
        column: The column's name.
        what: The name of the table in messages.

    Raises:
        SourceError: Several readings remain, or values have a sign of a currency. The message names the
            column, an example and the setting.
    """
    seen = _look(rows, name)
    if seen.currency > MAX_STRAY * seen.rows:
        raise SourceError(
            f"{what}: {seen.currency:,} values of the column {column} have a sign of currency, such as "
            f"{seen.with_currency!r}",
            fix="write bare numbers in one currency at the source, or map another column",
        )
    full = [decimal for decimal, count in ((".", seen.dot), (",", seen.comma)) if count == seen.either]
    if seen.either == 0:
        return NumberForm()
    if len(full) == 1:
        return NumberForm("." if full[0] == "." else ",")
    if seen.either - seen.plain <= MAX_STRAY * seen.rows:
        return NumberForm()
    setting = 'source.decimal = "," or "."'
    if full:
        raise SourceError(
            f"{what}: the column {column} has numbers that can be read in two ways, such as "
            f"{seen.ambiguous!r}",
            fix=f"say what parts off decimals: {setting}",
        )
    if min(seen.either - seen.dot, seen.either - seen.comma) < MAX_STRAY * seen.either:
        return NumberForm("." if seen.dot > seen.comma else ",")
    raise SourceError(
        f"{what}: the column {column} has numbers with a decimal dot, such as {seen.only_dot!r}, and others "
        f"with a decimal comma, such as {seen.only_comma!r}",
        fix=f"write them alike at the source; to read one kind and set the other aside: {setting}",
    )


def thousands_warning(rows: duckdb.DuckDBPyRelation, name: str, column: str, what: str) -> str:
    """Return a warning of a column of plain numbers in which every dot may separate thousands, as in 1.250.

    The warning is empty where a value has other decimals.

    Args:
        rows: The rows, with all columns as text.
        name: The column's name as SQL writes it.
        column: The column's name.
        what: The name of the table in messages.
    """
    values = rows.project(f"{trimmed_sql(name)} AS t").filter("t <> ''")
    perhaps = "regexp_full_match(t, '[+-]?[1-9][0-9]{0,2}[.][0-9]{3}')"
    ((n, dotted, thousands, example),) = values.aggregate(
        f"count(*), count(*) FILTER (contains(t, '.')), count(*) FILTER ({perhaps}), "
        f"any_value(t) FILTER ({perhaps})"
    ).fetchall()
    if thousands < dotted or thousands <= MIN_THOUSANDS * n:
        return ""
    return (
        f"{what}: {thousands:,} values of the column {column} have three decimals, such as {example!r}, "
        'and none has another number of them. If the dot parts thousands: source.decimal = ","'
    )


def _look(rows: duckdb.DuckDBPyRelation, column: str) -> _Seen:
    values = rows.project(f"{trimmed_sql(column)} AS t").filter("t <> ''")
    parsed = values.project(
        f"t, {_number('t', '.')} AS dot, {_number('t', ',')} AS comma, {_is_currency('t')} AS money"
    )
    (found,) = parsed.aggregate(
        "count(*), count(*) FILTER (dot = comma), count(dot), count(comma), "
        "count(*) FILTER (dot IS NOT NULL OR comma IS NOT NULL), any_value(t) FILTER (dot <> comma), "
        "count(*) FILTER (money), any_value(t) FILTER (money), "
        "any_value(t) FILTER (dot IS NOT NULL AND comma IS NULL), "
        "any_value(t) FILTER (comma IS NOT NULL AND dot IS NULL)"
    ).fetchall()
    return _Seen(*found)


def _number(text: str, decimal: Decimal) -> str:
    """Return SQL for the number as plain text; null where it has another form."""
    thousands = ("," if decimal == "." else ".") + _SPACES
    signs = f"[{thousands}]".replace("'", "''")
    point = "[.]" if decimal == "." else ","
    whole = (
        f"[+-]?([0-9]+|[0-9]{{1,3}}({signs}[0-9]{{3}})+)({point}[0-9]*)?([eE][+-]?[0-9]+)?|[+-]?{point}[0-9]+"
    )
    bare = f"regexp_replace({text}, '{signs}', '', 'g')"
    plain = f"replace({bare}, ',', '.')" if decimal == "," else bare
    return f"CASE WHEN regexp_full_match({text}, '{whole}') THEN {plain} END"


def _is_currency(text: str) -> str:
    return f"(regexp_matches({text}, '{_CURRENCY}') AND regexp_matches({text}, '[0-9]'))"
