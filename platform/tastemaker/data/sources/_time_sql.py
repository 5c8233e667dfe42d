"""SQL for DuckDB that reads one written form of time each: ISO 8601, dates in numbers, names of months,
counts.

Every function takes an expression and gives one of TIMESTAMPTZ, null where the value has not that form. Times
without a zone are in that of the connection.
"""

from __future__ import annotations

from typing import Literal

Order = Literal["dmy", "mdy", "ymd", "named"]
"""Of day, month and year in numbers where a year of four digits is not first. named: no such dates."""
Unit = Literal["seconds", "milliseconds", "microseconds", "nanoseconds"]

EARLIEST = "TIMESTAMPTZ '1990-01-01 00:00:00+00'"
LATEST = "(now() + INTERVAL 1 DAY)"
EXCEL_DAYS = (32_874, 73_051)
"""The serial days of 1990 to 2099."""

MICROSECONDS: dict[Unit, float] = {
    "seconds": 1_000_000.0,
    "milliseconds": 1_000.0,
    "microseconds": 1.0,
    "nanoseconds": 0.001,
}
LIMITS: dict[Unit, float] = {
    "seconds": 1e11,
    "milliseconds": 1e14,
    "microseconds": 1e17,
    "nanoseconds": 9.3e18,
}
"""A bare number up to here counts these units since 1970: seconds until the year 5138."""

NUMBER = "[0-9]+([.][0-9]*)?([eE][+]?[0-9]+)?"
"""What text of a bare number looks like."""

_MONTHS = "['jan','feb','mar','apr','may','jun','jul','aug','sep','oct','nov','dec']"
_WEEKDAY = "(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.]?,?[ ]+)?"
_CLOCK = (
    "(?:(?:[ ]*,?[ ]+(?:at[ ]+)?|t|:)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    "(?:[ \u00a0\u202f]*([ap])[.]?m[.]?)?)?"
)
_ZONE = "(?:[ ]*(z|utc|gmt|[+-][0-9]{2}(?::?[0-9]{2})?))?"
_REST = _CLOCK + _ZONE
_DAY = "([0-9]{1,2})(?:st|nd|rd|th)?"
_MONTH = "([a-z]{3,9})"
_NUMERIC = f"(?i){_WEEKDAY}([0-9]{{1,4}})([-/.])([0-9]{{1,2}})[-/.]([0-9]{{1,4}})[.]?{_REST}"
_DAY_NAME = f"(?i){_WEEKDAY}{_DAY}(?:[-/. ]+| of ){_MONTH}[-/., ]+([0-9]{{4}}|[0-9]{{2}}){_REST}"
_NAME_DAY = f"(?i){_WEEKDAY}{_MONTH}[-/. ]+{_DAY}[-/., ]+([0-9]{{4}}){_REST}"
_PATTERNS = "['%a %b %d %H:%M:%S %Y', '%a %b %d %H:%M:%S %z %Y', '%Y-%m-%dT%H', '%Y-%m-%d %H']"


def iso(text: str) -> str:
    """ISO 8601, with a year of four digits or more, and also with a blank before the zone."""
    closed = f"regexp_replace({text}, '([0-9])[ ]+([+-][0-9]{{2}}(:?[0-9]{{2}})?|[zZ])$', '\\1\\2')"
    either = f"coalesce(try_cast({text} AS TIMESTAMPTZ), try_cast({closed} AS TIMESTAMPTZ))"
    return f"CASE WHEN regexp_matches({text}, '^[+-]?[0-9]{{4,6}}[-/\\\\ ]') THEN {either} END"


def in_order(text: str, order: Order) -> str:
    """Dates in numbers in this order; two digits of a year are of 1970 to 2069."""
    if order == "named":
        return "CAST(NULL AS TIMESTAMPTZ)"
    if order == "ymd":
        moment = _rewritten(text, _NUMERIC, "y", "s", "m", "d", where="length(p.y) = 2 AND length(p.d) <= 2")
        # only years that an event can be of, else every date with two digits had three readings
        return f"CASE WHEN {moment} BETWEEN {EARLIEST} AND {LATEST} THEN {moment} END"
    day, month = ("d", "m") if order == "dmy" else ("m", "d")
    where = "length(p.y) IN (2, 4) AND length(p.d) <= 2 AND length(p.m) <= 2"
    return _rewritten(text, _NUMERIC, day, "s", month, "y", where=where)


def certain(text: str) -> str:
    """Dates with a month's name, with the year first, or as C and Twitter write them."""
    readings = (
        _rewritten(text, _DAY_NAME, "d", "m", "y"),
        _rewritten(text, _NAME_DAY, "m", "d", "y"),
        _rewritten(text, _NUMERIC, "y", "s", "m", "d", where="length(p.y) = 4"),
        f"try_cast(try_strptime({text}, {_PATTERNS}) AS TIMESTAMPTZ)",
    )
    return f"coalesce({', '.join(readings)})"


def since_1970(number: str, unit: Unit | None = None) -> str:
    """A number of units since 1970 UTC; by its size where no unit is given."""
    if unit is not None:
        return f"CASE WHEN {number} BETWEEN 0 AND 9.3e18 THEN {_moment(number, unit)} END"
    cases = (
        f"WHEN {number} BETWEEN 0 AND {limit} THEN {_moment(number, unit)}" for unit, limit in LIMITS.items()
    )
    return f"CASE {' '.join(cases)} END"


def excel(number: str) -> str:
    """Days since 1899-12-30, to a millisecond."""
    low, high = EXCEL_DAYS
    micros = f"CAST(round(({number} - 25569) * 86400000) AS BIGINT) * 1000"
    moment = f"CAST(make_timestamp({micros}) AS TIMESTAMPTZ)"
    return f"CASE WHEN {number} >= {low} AND {number} < {high} THEN {moment} END"


def compact(number: str) -> str:
    """yyyymmdd, yyyymmddhhmm or yyyymmddhhmmss."""
    digits = f"CAST(CAST({number} AS BIGINT) AS VARCHAR)"
    forms = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    cases = (f"WHEN {width} THEN try_strptime({digits}, '{form}')" for width, form in forms.items())
    moment = f"CAST(CASE length({digits}) {' '.join(cases)} END AS TIMESTAMPTZ)"
    is_date = f"{number} = trunc({number}) AND {number} BETWEEN 19000101 AND 21001231235959"
    return f"CASE WHEN {is_date} THEN {moment} END"


def plausible(moment: str) -> str:
    """Whether an event can have happened then."""
    return f"({moment}) BETWEEN {EARLIEST} AND {LATEST}"


def _moment(number: str, unit: Unit) -> str:
    micros = f"{number} * {MICROSECONDS[unit]}"
    moment = f"make_timestamp(CAST(round({micros}) AS BIGINT)) AT TIME ZONE 'UTC'"
    return f"(CASE WHEN {micros} < 2.5e17 THEN {moment} END)"


def _rewritten(text: str, pattern: str, *date: str, where: str = "true") -> str:
    """The parts of a pattern, of which `date` names the first, put into ISO's order and cast."""
    keys = ", ".join(f"'{part}'" for part in (*date, "h", "mi", "sec", "f", "ap", "z"))
    month = "p.m" if "s" in date else f"CAST(list_position({_MONTHS}, lower(p.m[:3])) AS VARCHAR)"
    century = "CASE WHEN CAST(p.y AS INTEGER) < 70 THEN '20' ELSE '19' END"
    year = f"CASE WHEN length(p.y) = 4 THEN p.y ELSE {century} || p.y END"
    half = "CASE WHEN lower(p.ap) = 'p' THEN 12 ELSE 0 END"
    hour = (
        "CASE WHEN p.ap = '' THEN CAST(p.h AS INTEGER) "
        f"WHEN CAST(p.h AS INTEGER) BETWEEN 1 AND 12 THEN CAST(p.h AS INTEGER) % 12 + {half} ELSE 99 END"
    )
    second = "CASE WHEN p.sec = '' THEN '00' ELSE p.sec END || CASE WHEN p.f = '' THEN '' ELSE '.' || p.f END"
    clock = f"CASE WHEN p.h = '' THEN '00:00:00' ELSE {hour} || ':' || p.mi || ':' || {second} END"
    zone = "CASE WHEN lower(p.z) IN ('z', 'utc', 'gmt') THEN '+00' ELSE p.z END"
    written = f"{year} || '-' || {month} || '-' || p.d || ' ' || {clock} || {zone}"
    moment = f"CASE WHEN p.y <> '' AND {where} THEN try_cast({written} AS TIMESTAMPTZ) END"
    parts = f"regexp_extract({text}, '{pattern}', [{keys}])"
    matched = f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN {parts} END"
    return f"list_transform([{matched}], lambda p: {moment})[1]"
