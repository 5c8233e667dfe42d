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

_NAMES = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_FORMS = {name[:letters]: str(n) for n, name in enumerate(_NAMES, 1) for letters in (3, len(name))}
_MONTHS = f"MAP {_FORMS | {'sept': '9'}}"
"""SQL for the number of a month from its name or its first three letters."""
_OFFSETS = {
    **dict.fromkeys(("Z", "UT", "UTC", "GMT", "WET"), "+00"),
    "EST": "-05",
    "EDT": "-04",
    "CDT": "-05",
    "MST": "-07",
    "MDT": "-06",
    "PST": "-08",
    "PDT": "-07",
    "WEST": "+01",
    "CET": "+01",
    "CEST": "+02",
    "EET": "+02",
    "EEST": "+03",
    "MSK": "+03",
    "SAST": "+02",
    "HKT": "+08",
    "JST": "+09",
    "KST": "+09",
    "AEST": "+10",
    "AEDT": "+11",
}
_ZONES = f"MAP {_OFFSETS}"
"""SQL: zones that are one offset. BST, CST and IST are not here: each is the name of several zones."""
_WEEKDAY = "(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[.]?,?[ ]+)?"
_CLOCK = (
    "(?:(?:[ ]*,?[ ]+(?:at[ ]+)?|t|:)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    "(?:[ \u00a0\u202f]*([ap])[.]?m[.]?)?)?"
)
_OFFSET = "[+-][0-9]{2}(?::?[0-9]{2})?"
_IN_BRACKETS = r"[ ]*[\[(][^\])]*[\])]"
_ZONE = f"(?:[ ]*((?:utc|gmt)?{_OFFSET}|[a-z]{{1,5}})(?:{_IN_BRACKETS})?)?"
_REST = _CLOCK + _ZONE
_DAY = "([0-9]{1,2})(?:st|nd|rd|th)?"
_MONTH = "([^-0-9 /.,:]{3,12})"
_NUMERIC = f"(?i){_WEEKDAY}([0-9]{{1,4}})([-/.])([0-9]{{1,2}})[-/.]([0-9]{{1,4}})[.]?{_REST}"
_DAY_NAME = f"(?i){_WEEKDAY}{_DAY}(?:[-/. ]+| of ){_MONTH}[-/., ]+([0-9]{{4}}|[0-9]{{2}}){_REST}"
_NAME_DAY = f"(?i){_WEEKDAY}{_MONTH}[-/. ]+{_DAY}[-/., ]+([0-9]{{4}}){_REST}"
_PATTERNS = "['%a %b %d %H:%M:%S %Y', '%a %b %d %H:%M:%S %z %Y', '%Y-%m-%dT%H', '%Y-%m-%d %H']"


def iso(text: str) -> str:
    """Return SQL for a time in ISO 8601, extended or basic (20240131T150405).

    A blank before the zone and a zone's name are read, too. Other text is null.
    """
    name = "upper(regexp_extract(p, '[0-9][ ]*([A-Za-z]{1,5})$', 1))"
    zoned = f"regexp_replace(p, '[ ]*[A-Za-z]+$', {_ZONES}[{name}])"
    closed = f"regexp_replace(p, '([0-9])[ ]+({_OFFSET})$', '\\1\\2')"
    timestamp = f"try_cast(CASE WHEN {name} = '' THEN {closed} ELSE {zoned} END AS TIMESTAMPTZ)"
    is_iso = f"regexp_matches({text}, '^[+-]?[0-9]{{4,8}}[-/\\\\ tT_]')"
    return f"CASE WHEN {is_iso} THEN {_once(_extended(text), timestamp)} END"


def _extended(text: str) -> str:
    """Return SQL that turns ISO's basic form into its extended one, and drops a zone's name in brackets."""
    minutes = "'^([0-9]{4})([0-9]{2})([0-9]{2})[tT _]([0-9]{2}):?([0-9]{2})', '\\1-\\2-\\3 \\4:\\5'"
    seconds = "'^([0-9-]{10} [0-9]{2}:[0-9]{2})([0-9]{2})', '\\1:\\2'"
    offset = f"'({_OFFSET}|[zZ]){_IN_BRACKETS}$', '\\1'"
    for change in (minutes, seconds, offset):
        text = f"regexp_replace({text}, {change})"
    return text


def in_order(text: str, order: Order) -> str:
    """Return SQL for a date in numbers in a given order; a year of two digits is between 1970 and 2069.

    Args:
        text: The SQL expression of the text.
        order: The order of day, month and year; "named" reads no date in numbers.
    """
    if order == "named":
        return "CAST(NULL AS TIMESTAMPTZ)"
    if order == "ymd":
        timestamp = _rewritten(
            text, _NUMERIC, "y", "s", "m", "d", where="length(p.y) = 2 AND length(p.d) <= 2"
        )
        # only years that an event can be of, else every date with two digits had three readings
        return f"CASE WHEN {timestamp} BETWEEN {EARLIEST} AND {LATEST} THEN {timestamp} END"
    day, month = ("d", "m") if order == "dmy" else ("m", "d")
    where = "length(p.y) IN (2, 4) AND length(p.d) <= 2 AND length(p.m) <= 2"
    return _rewritten(text, _NUMERIC, day, "s", month, "y", where=where)


def certain(text: str) -> str:
    """Return SQL for a date with a month's name, with the year first, or as C and Twitter write it."""
    readings = (
        _rewritten(text, _DAY_NAME, "d", "m", "y"),
        _rewritten(text, _NAME_DAY, "m", "d", "y"),
        _rewritten(text, _NUMERIC, "y", "s", "m", "d", where="length(p.y) = 4"),
        f"try_cast(try_strptime({text}, {_PATTERNS}) AS TIMESTAMPTZ)",
    )
    return f"coalesce({', '.join(readings)})"


def since_1970(number: str, unit: Unit | None = None) -> str:
    """Return SQL for the time that is a number of units after 1970 UTC.

    Args:
        number: The SQL expression of the number.
        unit: The unit; None: found by the size of the number.
    """
    if unit is not None:
        return f"CASE WHEN {number} BETWEEN 0 AND 9.3e18 THEN {_timestamp(number, unit)} END"
    cases = (
        f"WHEN {number} BETWEEN 0 AND {limit} THEN {_timestamp(number, unit)}"
        for unit, limit in LIMITS.items()
    )
    return f"CASE {' '.join(cases)} END"


def excel(number: str) -> str:
    """Return SQL for the time of a number of days since 1899-12-30, to a millisecond."""
    low, high = EXCEL_DAYS
    micros = f"try_cast(round(({number} - 25569) * 86400000) AS BIGINT) * 1000"
    timestamp = f"CAST(make_timestamp({micros}) AS TIMESTAMPTZ)"
    return f"CASE WHEN {number} >= {low} AND {number} < {high} THEN {timestamp} END"


def compact(number: str) -> str:
    """Return SQL for the time of a number yyyymmdd, yyyymmddhhmm or yyyymmddhhmmss."""
    digits = f"CAST(try_cast({number} AS BIGINT) AS VARCHAR)"
    forms = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    cases = (f"WHEN {width} THEN try_strptime({digits}, '{form}')" for width, form in forms.items())
    timestamp = f"CAST(CASE length({digits}) {' '.join(cases)} END AS TIMESTAMPTZ)"
    is_date = f"{number} = trunc({number}) AND {number} BETWEEN 19000101 AND 21001231235959"
    return f"CASE WHEN {is_date} THEN {timestamp} END"


def unknown_zone(text: str) -> str:
    """Return SQL: whether a time ends in the name of a zone with several offsets, such as BST."""
    name = f"upper(regexp_extract({text}, ':[0-9]{{2}}(?:[.,][0-9]+)?[ ]*([A-Za-z]{{2,5}})$', 1))"
    return _once(name, f"p NOT IN ('', 'AM', 'PM') AND {_ZONES}[p] IS NULL")


def unknown_month(text: str) -> str:
    """Return SQL: whether a date has a word, between day and year or first, that is not an English month."""
    first = f"regexp_extract({text}, '{_NAME_DAY}', 1)"
    word = f"lower(coalesce(nullif(regexp_extract({text}, '{_DAY_NAME}', 2), ''), {first}))"
    return _once(word, f"p <> '' AND {_MONTHS}[p] IS NULL")


def plausible(timestamp: str) -> str:
    """Return SQL: whether the time is plausible for an event."""
    return f"({timestamp}) BETWEEN {EARLIEST} AND {LATEST}"


def _timestamp(number: str, unit: Unit) -> str:
    micros = f"{number} * {MICROSECONDS[unit]}"
    # Not CAST, though NaN is beyond every limit: DuckDB may cast before it looks at the condition.
    timestamp = f"make_timestamp(try_cast(round({micros}) AS BIGINT)) AT TIME ZONE 'UTC'"
    return f"(CASE WHEN {micros} < 2.5e17 THEN {timestamp} END)"


def _rewritten(text: str, pattern: str, *date: str, where: str = "true") -> str:
    """Return SQL that casts the parts of a pattern, put into ISO's order; `date` names the first parts."""
    keys = ", ".join(f"'{part}'" for part in (*date, "h", "mi", "sec", "f", "ap", "z"))
    month = "p.m" if "s" in date else f"{_MONTHS}[lower(p.m)]"
    century = "CASE WHEN CAST(p.y AS INTEGER) < 70 THEN '20' ELSE '19' END"
    year = f"CASE WHEN length(p.y) = 4 THEN p.y ELSE {century} || p.y END"
    half = "CASE WHEN lower(p.ap) = 'p' THEN 12 ELSE 0 END"
    hour = (
        "CASE WHEN p.ap = '' THEN CAST(p.h AS INTEGER) "
        f"WHEN CAST(p.h AS INTEGER) BETWEEN 1 AND 12 THEN CAST(p.h AS INTEGER) % 12 + {half} ELSE 99 END"
    )
    second = "CASE WHEN p.sec = '' THEN '00' ELSE p.sec END || CASE WHEN p.f = '' THEN '' ELSE '.' || p.f END"
    clock = f"CASE WHEN p.h = '' THEN '00:00:00' ELSE {hour} || ':' || p.mi || ':' || {second} END"
    zone = (
        f"CASE WHEN p.z = '' THEN '' WHEN regexp_matches(p.z, '[0-9]') "
        f"THEN regexp_replace(p.z, '^[A-Za-z]+', '') ELSE {_ZONES}[upper(p.z)] END"
    )
    written = f"{year} || '-' || {month} || '-' || p.d || ' ' || {clock} || {zone}"
    timestamp = f"CASE WHEN p.y <> '' AND {where} THEN try_cast({written} AS TIMESTAMPTZ) END"
    parts = f"regexp_extract({text}, '{pattern}', [{keys}])"
    matched = f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN {parts} END"
    return _once(matched, timestamp)


def _once(value: str, result: str) -> str:
    """Return `result` as SQL in which p stands for `value`, so that a long `value` is written only once."""
    return f"list_transform([{value}], lambda p: {result})[1]"
