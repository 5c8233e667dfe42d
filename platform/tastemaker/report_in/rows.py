"""Checks of reported rows: each is accepted, or refused with its place, its field and the reason."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from tastemaker.api.report_schemas import (
    HealthReport,
    ReportedEvent,
    ReportedList,
    ReportedMeasurement,
    RowRefusal,
)
from tastemaker.api.schemas import HTTPError
from tastemaker.serving.http.parsing import Decoder
from tastemaker.serving.runtime.stored_ids import IdCheck

Kind = Literal["measurements", "impressions", "feedback", "health"]
Struct = TypeVar("Struct", bound=msgspec.Struct)

MAX_WINDOW = timedelta(days=400)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK_SKEW = timedelta(minutes=10)
"""How far a reporter's clock may be ahead of ours."""
MAX_AGE = timedelta(days=400)
"""How old a reported list or event may be."""
MAX_HEALTH_AGE = timedelta(days=1)
CONTENT_CHARACTERS = 2_000
"""What is kept of a refused row."""
_FREE_NAME = re.compile(r"x_[a-z0-9_]{1,98}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHARE = "share"


class RefusedRow(NamedTuple):
    """A row that is not accepted."""

    number: int
    """Its place in the report, from 0."""
    field: str | None
    reason: str
    content: str
    """The row as JSON, or its beginning."""
    model: str
    """The model that it names; empty if it names none."""

    def answer(self) -> RowRefusal:
        """Return what the reporter is sent of it."""
        return RowRefusal(self.number, self.reason, self.field)


@dataclass(frozen=True)
class AcceptedRow(Generic[Struct]):
    """A row that fits."""

    number: int
    row: Struct
    content: Any
    """As it was sent."""

    def refused(self, reason: str, field: str | None = None) -> RefusedRow:
        """Return it as a row that is refused after all.

        Args:
            reason: What is wrong, and what is allowed.
            field: The field at fault; None for the whole row.
        """
        return refusal(self.number, self.content, reason, field)


@dataclass
class Sifted(Generic[Struct]):
    """The rows of a report, sorted by what became of them."""

    accepted: list[AcceptedRow[Struct]]
    refused: list[RefusedRow]


class RowLimits(NamedTuple):
    """What rows are compared with."""

    now: datetime
    units: Mapping[str, str]
    """Name of a metric that has a definition -> its unit."""
    id_check: IdCheck
    """Refuses ids of users, items and events."""


def sift(kind: type[Struct], rows: Iterable[tuple[int, Any]], limits: RowLimits) -> Sifted[Struct]:
    """Check each row by itself.

    Args:
        kind: What rows are.
        rows: Place and content of each row, as JSON's types.
        limits: What they are compared with.

    Returns:
        The rows that fit and those that do not, each in the order of `rows`.
    """
    decode = Decoder(kind)
    found: Sifted[Struct] = Sifted([], [])
    for number, content in rows:
        try:
            row = decode(_encoded(content))
            _check(row, limits)
        except HTTPError as error:
            problem = error.problem
            found.refused.append(refusal(number, content, problem.detail, problem.field))
        else:
            found.accepted.append(AcceptedRow(number, row, content))
    return found


def refusal(number: int, content: Any, reason: str, field: str | None = None) -> RefusedRow:
    """Return why a row is refused, with as much of the row as is kept.

    Args:
        number: Its place in the report, from 0.
        content: The row, as JSON's types or as text that can't be read.
        reason: What is wrong, and what is allowed.
        field: The field at fault; None for the whole row.
    """
    shown = content if isinstance(content, str) else json.dumps(content, default=str)
    model = content.get("model") if isinstance(content, dict) else None
    named = storable(model)[:100] if isinstance(model, str) else ""
    return RefusedRow(number, field, storable(reason), storable(shown)[:CONTENT_CHARACTERS], named)


def storable(text: str) -> str:
    """Return the text without what databases or terminals can't take: controls, halves of surrogate pairs."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.encode(errors="replace").decode())


def utc_datetime(time: datetime | float) -> datetime:
    """Return a reported time in UTC. Raises HTTPError (400) at the ends of the calendar."""
    if not isinstance(time, datetime):
        return datetime.fromtimestamp(time, UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise HTTPError(HTTPStatus.BAD_REQUEST, f"{time.isoformat()} is not a time in UTC") from None


def _encoded(content: Any) -> bytes:
    """Return a row as JSON. Raises HTTPError (400) if a value has no form in JSON."""
    for field, value in content.items() if isinstance(content, dict) else ():
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, float) and not math.isfinite(one):
                raise _wrong(field, one, "must be a finite number")
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:
        raise HTTPError(HTTPStatus.BAD_REQUEST, "the row has half of a surrogate pair") from None
    except (TypeError, OverflowError, RecursionError) as error:
        raise HTTPError(HTTPStatus.BAD_REQUEST, f"the row is not JSON: {error}") from None


def _check(row: Any, limits: RowLimits) -> None:
    """Check what the types do not say. Raises HTTPError (400)."""
    match row:
        case ReportedMeasurement():
            _check_metric(row, limits.units)
            _check_window(row, limits.now)
            _check_interval(row)
        case HealthReport():
            _check_time("at", row.at, limits.now, MAX_HEALTH_AGE)
        case ReportedList() | ReportedEvent():
            limits.id_check.require_sound([row])
            _check_time("occurred_at", row.occurred_at, limits.now, MAX_AGE)


def _check_metric(row: ReportedMeasurement, units: Mapping[str, str]) -> None:
    unit = units.get(row.metric)
    if unit is None:
        if not _FREE_NAME.fullmatch(row.metric):
            allowed = "must be a name of GET /metrics, or x_ and lower case letters, digits and _"
            raise _wrong("metric", row.metric, allowed)
    elif row.unit != unit:
        raise _wrong("unit", row.unit, f"{row.metric} is in {unit!r}")
    elif unit == _SHARE and not all(0 <= one <= 1 for one in _figures(row)):
        raise _wrong("value", row.value, f"{row.metric} and its interval are shares, must be 0 to 1")


def _check_window(row: ReportedMeasurement, now: datetime) -> None:
    start, end = utc_datetime(row.window_start), utc_datetime(row.window_end)
    if not start < end:
        raise _wrong("window_end", end.isoformat(), f"must be after window_start, {start.isoformat()}")
    if end - start > MAX_WINDOW:
        allowed = f"the window has {(end - start).days} days, at most {MAX_WINDOW.days} are allowed"
        raise _wrong("window_end", end.isoformat(), allowed)
    if start < EARLIEST:
        raise _wrong("window_start", start.isoformat(), f"must be {EARLIEST.isoformat()} or later")
    if start > now + CLOCK_SKEW:
        raise _wrong("window_start", start.isoformat(), f"is in the future: it is {now.isoformat()}")


def _check_interval(row: ReportedMeasurement) -> None:
    if row.low is not None and row.low > row.value:
        raise _wrong("low", row.low, f"must be at most the value, {row.value:g}")
    if row.high is not None and row.high < row.value:
        raise _wrong("high", row.high, f"must be at least the value, {row.value:g}")


def _check_time(field: str, time: datetime | float, now: datetime, age: timedelta) -> None:
    at = utc_datetime(time)
    if at > now + CLOCK_SKEW:
        raise _wrong(field, at.isoformat(), f"is in the future: it is {now.isoformat()}")
    if at < now - age:
        raise _wrong(field, at.isoformat(), f"is more than {age.days} days old, which is the limit")


def _figures(row: ReportedMeasurement) -> list[float]:
    return [one for one in (row.value, row.low, row.high) if one is not None]


def _wrong(field: str, value: Any, allowed: str) -> HTTPError:
    return HTTPError(HTTPStatus.BAD_REQUEST, f"{field} = {value!r}: {allowed}", field=field, value=value)
