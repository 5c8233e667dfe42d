"""Reported rows: each is accepted or refused by itself, with its place, its field and the reason."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.reporting_homes import MIDNIGHT, NEXT, event, health, measurement, shown
from tastemaker.api.report_schemas import HealthReport, ReportedEvent, ReportedList, ReportedMeasurement
from tastemaker.report_in.rows import RowLimits, Sifted, sift
from tastemaker.serving.runtime.stored_ids import IdCheck
from tastemaker.snapshot.canonical_ids import MISSING_IDS

UNITS = {"ctr_list": "share", "lists_per_user_day": "lists"}
KINDS: dict[str, tuple[Any, Any]] = {
    "measurement": (ReportedMeasurement, measurement),
    "list": (ReportedList, shown),
    "event": (ReportedEvent, event),
    "health": (HealthReport, health),
}


def sifted(kind: str, *rows: Any) -> Sifted[Any]:
    return sift(KINDS[kind][0], enumerate(rows), RowLimits(datetime.now(UTC), UNITS, IdCheck(MISSING_IDS)))


def day(number: int) -> str:
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)).isoformat()


REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "NaN": ("measurement", {"value": math.nan}, "value", "must be a finite number"),
    "infinity": ("measurement", {"high": math.inf}, "high", "must be a finite number"),
    "a number as text": ("measurement", {"value": "0.1"}, "value", "Expected `float`"),
    "low above the value": ("measurement", {"low": 0.2}, "low", "must be at most the value, 0.1"),
    "high below the value": ("measurement", {"high": 0.05}, "high", "must be at least the value, 0.1"),
    "a reversed window": (
        "measurement", {"window_start": NEXT, "window_end": MIDNIGHT}, "window_end", "must be after",
    ),
    "an empty window": ("measurement", {"window_start": NEXT}, "window_end", "must be after"),
    "an overlong window": ("measurement", {"window_start": day(-500)}, "window_end", "at most 400"),
    "a window of the last century": (
        "measurement", {"window_start": "1999-01-01T00:00:00Z", "window_end": "1999-01-02T00:00:00Z"},
        "window_start", "must be 2000-01-01",
    ),
    "a window of the future": (
        "measurement", {"window_start": "2199-01-01T00:00:00Z", "window_end": "2199-01-02T00:00:00Z"},
        "window_start", "is in the future",
    ),
    "a time without zone": ("measurement", {"window_end": "2026-01-02T00:00:00"}, "window_end", "timezone"),
    "a date": ("measurement", {"window_end": "2026-01-02"}, "window_end", "RFC3339"),
    "the end of the calendar": ("measurement", {"window_end": "9999-12-31T23:59:59-14:00"}, "", "not a time"),
    "another unit": ("measurement", {"unit": "percent"}, "unit", "ctr_list is in 'share'"),
    "per cent": ("measurement", {"value": 11, "low": 9, "high": 12}, "value", "must be 0 to 1"),
    "an unknown metric": ("measurement", {"metric": "crt_list"}, "metric", "must be a name of GET /metrics"),
    "a free name with capitals": ("measurement", {"metric": "x_CTR"}, "metric", "lower case"),
    "a free name in markup": ("measurement", {"metric": "x_<b>"}, "metric", "lower case"),
    "a long name": ("measurement", {"model": "m" * 101}, "model", "length <= 100"),
    "no name": ("measurement", {"model": ""}, "model", "length >= 1"),
    "a line break": ("measurement", {"model": "a\n"}, "model", "matching regex"),
    "an escape": ("measurement", {"slice": "\x1b[31m"}, "slice", "matching regex"),
    "half a surrogate pair": ("measurement", {"model": "\ud800"}, "", "surrogate"),
    "users below zero": ("measurement", {"n": -1}, "n", ">= 0"),
    "an unknown field": ("measurement", {"source": "tastemaker"}, "source", "unknown field"),
    "a huge number": ("measurement", {"n": 10**400}, "n", "Expected `int`"),
    "a NUL in an id": ("list", {"user_id": "a\0"}, "user_id", "NUL"),
    "a long id": ("list", {"user_id": "ü" * 101}, "user_id", "202 bytes"),
    "a blank id": ("list", {"user_id": "\u200b "}, "user_id", "is blank"),
    "a word for a missing user": ("event", {"user_id": "null"}, "user_id", "word for a missing value"),
    "a word for a missing event": ("event", {"event_id": "NaN"}, "event_id", "word for a missing value"),
    "a score too few": ("list", {"scores": [1.0, 2.0]}, "", "`scores` has 2 values for 3 items"),
    "a NaN score": ("list", {"scores": [1.0, math.nan, 0.0]}, "scores", "finite"),
    "a propensity of 0": ("list", {"propensities": [1.0, 1.0, 0.0]}, "propensities[2]", "> 0"),
    "half an assignment": ("list", {"experiment": "e"}, "", "give both or none"),
    "an old list": ("list", {"occurred_at": 1_000_000_000}, "occurred_at", "more than 400 days old"),
    "a list of tomorrow": ("list", {"occurred_at": 32_503_680_000}, "occurred_at", "is in the future"),
    "an event of no user": ("event", {"request_id": None}, "user_id", "missing"),
    "more bad than all": ("health", {"bad": 101}, "", "more than the 100 answers"),
    "an old report": ("health", {"at": 1_700_000_000}, "at", "more than 1 days old"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "field", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_row_is_refused_and_the_good_ones_are_kept(
    kind: str, change: dict[str, Any], field: str, reason: str
) -> None:
    good = KINDS[kind][1]
    found = sifted(kind, good(), good() | change, good())
    assert [one.number for one in found.accepted] == [0, 2]
    [refused] = found.refused
    assert refused.number == 1
    assert (refused.field or "") == field
    assert reason in refused.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [None, 5, "text", [], {}, {"model": 3}], ids=repr)
def test_what_is_not_such_a_row_is_refused(kind: str, content: Any) -> None:
    found = sifted(kind, content)
    assert not found.accepted
    assert found.refused[0].reason


def test_times_are_iso_with_a_zone_or_seconds() -> None:
    found = sifted("list", shown(occurred_at="2026-11-01T12:00:00+02:00"), shown(occurred_at=1_793_527_200))
    first, second = (one.row.occurred_at for one in found.accepted)
    assert first.timestamp() == second


def test_free_metrics_have_any_unit() -> None:
    found = sifted("measurement", measurement(metric="x_basket_2", unit="GBP", value=80, low=70, high=90))
    assert len(found.accepted) == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_any_value_in_any_field_is_accepted_or_refused_with_a_reason(kind: str, data: st.DataObject) -> None:
    row = KINDS[kind][1]()
    field = data.draw(st.sampled_from(sorted(row)))
    found = sifted(kind, row, row | {field: data.draw(_JSON)}, row)
    assert [one.number for one in found.accepted] in ([0, 2], [0, 1, 2])
    assert len(found.accepted) + len(found.refused) == 3
    for one in found.refused:
        assert one.reason
        (one.reason + one.content + one.model).encode()
        assert "\0" not in one.reason + one.content + one.model


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_an_interval_is_accepted_exactly_if_it_holds_the_value(low: float, value: float, high: float) -> None:
    found = sifted("measurement", measurement(low=low, value=value, high=high))
    assert bool(found.accepted) == (low <= value <= high)


@given(st.integers(-1_000, 0), st.integers(-1_000, 0))
def test_a_window_is_accepted_exactly_if_it_is_ordered_and_not_overlong(first: int, last: int) -> None:
    found = sifted("measurement", measurement(window_start=day(first), window_end=day(last)))
    assert bool(found.accepted) == (0 < last - first <= 400)


def test_what_is_kept_of_a_row_is_json_again() -> None:
    [refused] = sifted("event", {"model": "<script>", "x": 1}).refused
    assert json.loads(refused.content) == {"model": "<script>", "x": 1}
    assert refused.model == "<script>"
