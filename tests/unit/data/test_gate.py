"""The gate: each rule finds just the rows that break it, and every row is on one side or the other."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.tables import EVENTS, ITEMS, QUARANTINE, USERS, nullable
from tastemaker.data.validation.gate import GateCounts, check_batch
from tastemaker.errors import GateError
from tastemaker.html import index
from tastemaker_expectations.gate import GreatExpectationsGate

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
SOUND: dict[str, Any] = {
    "event_id": "e",
    "user_id": "u",
    "item_id": "i",
    "event_type": "view",
    "value": 1.0,
    "occurred_at": NOW - timedelta(days=1),
    "request_id": None,
    "position": None,
}
SOUND_ITEM: dict[str, Any] = {
    "item_id": "i",
    "title": None,
    "category": None,
    "price": 1.0,
    "first_seen_at": NOW,
}


@pytest.fixture(scope="session")
def gate() -> GreatExpectationsGate:
    return GreatExpectationsGate("table", now=NOW)


def chunk(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{**SOUND, **row} for row in rows], nullable(EVENTS))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({}, []),
        ({"user_id": "ü" * 100, "position": 0, "value": 0.0}, []),
        ({"occurred_at": NOW + timedelta(minutes=10)}, []),
        ({"event_id": None}, ["event_id_missing"]),
        ({"event_id": " \u3000"}, ["event_id_missing"]),
        ({"event_id": "x" * 201}, ["event_id_too_long"]),
        ({"user_id": ""}, ["user_id_missing"]),
        ({"user_id": "ü" * 100 + "x"}, ["user_id_too_long"]),
        ({"item_id": None}, ["item_id_missing"]),
        ({"item_id": "😀" * 51}, ["item_id_too_long"]),
        ({"event_type": None}, ["event_type_missing"]),
        ({"user_id": "u\0x"}, ["id_with_nul"]),
        ({"item_id": "\0"}, ["id_with_nul"]),
        ({"event_type": "buy\0"}, ["id_with_nul"]),
        ({"user_id": "1.23457E+12"}, ["id_inexact"]),
        ({"item_id": "9007199254740993.0"}, ["id_inexact"]),
        ({"user_id": "9007199254740993", "item_id": "1E5"}, []),
        ({"value": None}, ["value_unreadable"]),
        ({"value": math.nan}, ["value_unreadable"]),
        ({"value": math.inf}, ["value_unreadable"]),
        ({"value": -0.01}, ["value_negative"]),
        ({"occurred_at": None}, ["occurred_at_unreadable"]),
        ({"occurred_at": datetime(1970, 1, 1, tzinfo=UTC)}, ["occurred_at_too_early"]),
        ({"occurred_at": NOW + timedelta(minutes=10, seconds=1)}, ["occurred_at_in_future"]),
        ({"occurred_at": datetime(9998, 12, 31, tzinfo=UTC)}, ["occurred_at_in_future"]),
        ({"occurred_at": datetime(1, 1, 2, tzinfo=UTC)}, ["occurred_at_too_early"]),
        ({"position": -1}, ["position_negative"]),
        ({"value": -1.0, "user_id": None}, ["user_id_missing", "value_negative"]),
    ],
)
def test_each_rule_of_events(gate: GreatExpectationsGate, change: dict[str, Any], rules: list[str]) -> None:
    verdict = gate.check("events", chunk({}, change, {}))
    assert len(verdict.accepted) == (2 if rules else 3)
    assert verdict.counts == ({rules[0]: 1} if rules else {})
    if rules:
        (row,) = verdict.quarantined.to_pylist()
        assert (row["rule"], row["failed_rules"], row["source"]) == (rules[0], rules, "table")
        when = change.get("occurred_at", SOUND["occurred_at"])
        assert row["day"] == (when and when.date())
        assert json.loads(row["raw"])["user_id"] == change.get("user_id", "u")
    assert verdict.quarantined.schema.equals(QUARANTINE)


def test_repetitions_are_marked_by_whoever_saw_the_rest(gate: GreatExpectationsGate) -> None:
    rows = chunk({}, {}).append_column("event_id_was_seen", pa.array([False, True]))
    assert gate.check("events", rows).counts == {"event_id_repeated": 1}


def test_raw_columns_are_what_is_kept(gate: GreatExpectationsGate) -> None:
    raw = '"quoted", ünï\n'
    rows = chunk({"value": -1.0}).append_column("raw_own name", pa.array([raw]))
    assert json.loads(gate.check("events", rows).quarantined["raw"][0].as_py()) == {"own name": raw}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"price": None, "title": "Tëa"}, []),
        ({"item_id": " "}, ["item_id_missing"]),
        ({"price": -1.0}, ["price_impossible"]),
        ({"price": math.nan}, ["price_impossible"]),
    ],
)
def test_each_rule_of_items(gate: GreatExpectationsGate, change: dict[str, Any], rules: list[str]) -> None:
    rows = pa.Table.from_pylist([{**SOUND_ITEM, **change}], nullable(ITEMS))
    assert list(gate.check("items", rows).counts) == rules


def test_a_repeated_user(gate: GreatExpectationsGate) -> None:
    rows = pa.Table.from_pylist([{"user_id": "u", "country": one} for one in (None, "FR")], nullable(USERS))
    marked = rows.append_column("user_id_was_seen", pa.array([False, True]))
    assert gate.check("users", marked).counts == {"user_id_repeated": 1}


def test_the_shops_own_columns_of_users(gate: GreatExpectationsGate) -> None:
    """One value that is too long sets its user aside, whatever the others are."""
    own = [
        [("segment", "gold"), ("note", "é" * 100)],
        [("segment", "gold"), ("note", "é" * 100 + "x")],
        [("segment", None)],
        [],
        None,
    ]
    people = [{"user_id": f"u{n}", "own": one} for n, one in enumerate(own)]
    verdict = gate.check("users", pa.Table.from_pylist(people, nullable(USERS)))
    assert verdict.counts == {"own_column_too_long": 1}
    assert verdict.accepted["own"].to_pylist() == [one for n, one in enumerate(own) if n != 1]
    raw = json.loads(verdict.quarantined["raw"][0].as_py())
    assert raw["own"] == {"segment": "gold", "note": "é" * 100 + "x"}


def test_the_shops_own_columns_of_items(gate: GreatExpectationsGate) -> None:
    """A description may be longer than what names a group of users."""
    own = [[("description", "é" * 32_768)], [("description", "é" * 32_768 + "x")], None]
    goods = [{"item_id": f"i{n}", "own": one} for n, one in enumerate(own)]
    verdict = gate.check("items", pa.Table.from_pylist(goods, nullable(ITEMS)))
    assert verdict.counts == {"own_column_too_long": 1}
    assert verdict.accepted["item_id"].to_pylist() == ["i0", "i2"]


@pytest.mark.parametrize("table", ["events", "items", "users"])
def test_an_empty_chunk_passes(gate: GreatExpectationsGate, table: str) -> None:
    schema = nullable({"events": EVENTS, "items": ITEMS, "users": USERS}[table])
    assert gate.check(table, schema.empty_table()).counts == {}


texts = st.none() | st.text(max_size=3) | st.sampled_from(["x" * 200, "x" * 201, "é" * 101])


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "event_id": texts,
                "user_id": texts,
                "value": st.none() | st.floats(),
                "occurred_at": st.none() | st.just(NOW) | st.just(NOW + timedelta(days=1)),
            }
        ),
        min_size=1,
        max_size=30,
    )
)
def test_every_row_is_on_one_side(gate: GreatExpectationsGate, rows: list[dict[str, Any]]) -> None:
    """Against the rules written in plain Python, row by row."""

    def is_id(text: str | None) -> bool:
        return text is not None and text.strip() != "" and len(text.encode()) <= 200

    sound = [
        is_id(row["event_id"])
        and is_id(row["user_id"])
        and row["value"] is not None
        and 0 <= row["value"] < math.inf
        and row["occurred_at"] == NOW
        for row in rows
    ]
    whole = chunk(*rows)
    verdict = gate.check("events", whole)
    assert verdict.accepted.equals(whole.filter(pa.array(sound)))
    assert sum(verdict.counts.values()) == len(verdict.quarantined) == sound.count(False)


def test_every_rule_says_what_is_wrong_and_what_to_do(gate: GreatExpectationsGate) -> None:
    own = GreatExpectationsGate("online_retail", now=NOW)
    for rules in (*(gate.rules(table) for table in ("events", "items", "users")), own.rules("events")):
        assert len({rule.name for rule in rules}) == len(rules)
        assert all(rule.meaning.endswith(".") and rule.fix.endswith(".") for rule in rules)
    assert own.rules("events")[-len(gate.rules("events")) :] == gate.rules("events")
    assert own.version != gate.version


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        (GateCounts(0, 0, {}), "events is empty: 0 rows"),
        (GateCounts(9, 0, {"value_negative": 2, "user_id_missing": 7}), "every row of events (9 of 9)"),
        (GateCounts(1000, 499, {"value_negative": 501}), "50.1% of the rows of events (501 of 1,000)"),
    ],
)
def test_a_batch_is_refused_in_plain_words(
    gate: GreatExpectationsGate, counts: GateCounts, problem: str
) -> None:
    with pytest.raises(GateError) as caught:
        check_batch("events", counts, gate.rules("events"))
    assert problem in caught.value.problem
    assert caught.value.fix


def test_half_a_batch_may_be_bad_and_catalogues_may_be_empty(gate: GreatExpectationsGate) -> None:
    check_batch("events", GateCounts(1000, 500, {"value_negative": 500}), gate.rules("events"))
    check_batch("items", GateCounts(), gate.rules("items"))


@pytest.mark.slow
def test_docs_speak_of_all_chunks(tmp_path: Path) -> None:
    gate = GreatExpectationsGate("table", now=NOW)
    gate.check("events", chunk({}, {"value": -1.0}))
    gate.check("events", chunk({"value": -1.0}, {"value": -1.0}))
    (page,) = gate.write_docs(tmp_path)
    details = page.with_name("table-events-details.html").read_text()
    assert "3 unexpected values found. 75% of 4 total rows" in details
    assert "<title>Data check in detail: events of table</title>" in details
    head = index.head_of(page)
    assert head is not None
    assert head.rows.startswith("4 rows checked, 20")
    assert head.summary.endswith("(3).")
    assert details.count("http://") + details.count("https://") == 0
