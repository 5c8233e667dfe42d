"""Rewards of impressions and flags of feedback, against a join written with loops."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.request_logs import NOON, click, fill, request
from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import open_duckdb
from tastemaker.data.tables import EVENTS
from tastemaker.event_log.attribution import Attribution, as_feedback, attribute
from tastemaker.event_log.drain import drain
from tastemaker.event_log.log_join import credit_events, find_reward_events
from tastemaker.event_log.records import Entry, FeedbackRecord, Item, Record
from tastemaker.event_log.rows import feedback_rows, request_rows
from tastemaker.problem import EventReward, Objective, ProblemSpec
from tastemaker.snapshot.ids import IdIndex

HOUR, DAY = 3_600.0, 86_400.0
PROBLEM = ProblemSpec(
    name="shop",
    objectives=(
        Objective(name="money", share=0.75, events={"buy": EventReward(by_value=True, half_life_days=1)}),
        Objective(
            name="interest",
            share=0.25,
            events={"click": EventReward(weight=2, window_days=1), "buy": EventReward(window_days=2)},
        ),
    ),
)


def joined(
    records: Iterable[Entry], events: list[dict[str, Any]] | None = None, *, until: float = np.inf
) -> Attribution:
    """Through a spool and a lake."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        fill(Path(folder), list(records))
        drain(Path(folder), lake)
        if events:
            lake.write_day("events", datetime.fromtimestamp(NOON, UTC).date(), table(events), part="shop")
        return attribute(lake, PROBLEM, until=until)


def table(events: list[dict[str, Any]]) -> pa.Table:
    """As the gate lets them in."""
    rows = [event | {"occurred_at": datetime.fromtimestamp(event["occurred_at"], UTC)} for event in events]
    return pa.Table.from_pylist(rows, schema=EVENTS)


def shop(record: FeedbackRecord) -> dict[str, Any]:
    """The same event as the shop's own source has it."""
    return {name: getattr(record, name) for name in EVENTS.names}


def shown(name: int, at: float = 0, user: str = "ann", items: tuple[str, ...] = ("tea", "cup")) -> Record:
    """An answer `at` seconds after noon."""
    listed = [Item(item, 1.0, 0.5) for item in items]
    return request(name, occurred_at=NOON + at, user_id=user, items=listed)


def reported(
    name: str, kind: str, item: str, at: float, *, of: int | None = None, **other: Any
) -> FeedbackRecord:
    """Feedback of something that happened `at` seconds after noon, worth 8."""
    fields = {"event_type": kind, "item_id": item, "value": 8.0, "occurred_at": NOON + at, "user_id": "ann"}
    fields |= {"received_at": NOON + at, "request_id": None if of is None else f"{of:032x}"}
    return click(name, **fields | other)


def earned(events: Iterable[FeedbackRecord], lists: Iterable[Record], *, only_named: bool) -> list[Any]:
    """The rows of `earning`."""
    with open_duckdb() as connection:
        connection.register("events", EVENTS.empty_table())
        connection.register("logged", request_rows(list(lists)))
        connection.register("reported", feedback_rows(list(events)))
        find_reward_events(connection, PROBLEM)
        credit_events(connection, only_named=only_named)
        return sorted(connection.execute("SELECT * FROM earning").fetchall(), key=str)


@given(
    lists=st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.lists(st.sampled_from("xyz"), unique=True)),
        max_size=8,
    ),
    events=st.lists(
        st.tuples(
            st.integers(0, 12), st.sampled_from(["a", "b", None]), st.sampled_from("xyz"),
            st.sampled_from([None, 0, 1, 2, 99]), st.sampled_from(["click", "buy", "view"]),
        ),
        max_size=8,
    ),
)  # fmt: skip
def test_without_items_that_no_event_names_the_credits_are_the_same(
    lists: list[tuple[int, str, list[str]]], events: list[tuple[int, str | None, str, int | None, str]]
) -> None:
    """Whether an event names its list, its user, both or neither."""
    answers = [shown(name, at * HOUR, user, tuple(items)) for name, (at, user, items) in enumerate(lists)]
    feedback = [
        reported(str(name), kind, item, at * HOUR, of=of, user_id=user)
        for name, (at, user, item, of, kind) in enumerate(events)
    ]
    assert earned(feedback, answers, only_named=True) == earned(feedback, answers, only_named=False)


def flags(found: Attribution) -> dict[str, list[str]]:
    """Event id, without its prefix -> flags."""
    return {row["event_id"].removeprefix("click-"): row["flags"] for row in found.feedback.to_pylist()}


def test_each_flag_and_no_event_dropped() -> None:
    found = joined(
        [
            shown(1),
            reported("good", "click", "tea", HOUR, of=1),
            reported("organic", "click", "pot", HOUR),
            reported("no such request", "click", "tea", HOUR, of=99),
            reported("not in its list", "click", "pot", HOUR, of=1),
            reported("before it was shown", "click", "tea", -HOUR, of=1),
            reported("a little before, by another clock", "click", "tea", -60, of=1),
            reported("in our future", "click", "tea", HOUR + 700, of=1, received_at=NOON + HOUR),
            reported("a click's window is a day", "click", "tea", DAY + 1, of=1),
            reported("a purchase's is a week", "buy", "tea", 6 * DAY, of=1),
            reported("late by a week", "buy", "tea", 8 * DAY),
            reported("unknown type", "share", "tea", HOUR, of=1),
        ]
    )
    assert flags(found) == {
        "good": [],
        "organic": [],
        "no such request": ["orphan"],
        "not in its list": ["orphan"],
        "before it was shown": ["early"],
        "a little before, by another clock": [],
        "in our future": ["early"],
        "a click's window is a day": ["late"],
        "a purchase's is a week": [],
        "late by a week": ["late"],
        "unknown type": [],
    }
    summary = found.summary()
    assert (summary["feedback"], summary["orphan"], summary["early"], summary["late"]) == (11, 2, 2, 2)


def test_an_impression_is_counted_once_however_often_a_page_reports_it() -> None:
    seen = [reported(f"seen {number}", "impression", "tea", 10 + number, of=1) for number in range(3)]
    found = joined([shown(1), *seen, reported("c", "click", "tea", 20, of=1)])
    rows = found.impressions.to_pylist()
    assert [(row["item_id"], row["position"], row["reward"], row["events"]) for row in rows] == [
        ("tea", 0, 0.5, 1),
        ("cup", 1, 0.0, 0),
    ]
    assert rows[0]["reported_at"] == datetime.fromtimestamp(NOON + 10, UTC)
    assert rows[0]["delay_seconds"] == 20
    assert rows[1]["reported_at"] is None


@pytest.mark.slow
def test_an_event_counts_once_however_it_is_reported() -> None:
    event = reported("e", "click", "tea", HOUR, of=1)
    found = joined([shown(1), event, event], [shop(event)])
    assert found.impressions["reward"].to_pylist() == [0.5, 0.0]
    shops_alone = joined([shown(1)], [shop(event)])
    assert shops_alone.impressions["reward"].to_pylist() == [0.5, 0.0]


def test_an_event_without_a_user_is_of_the_requests_user() -> None:
    nameless = reported("n", "click", "cup", HOUR, of=1, user_id=None)
    found = joined([shown(1, user="bob"), nameless])
    assert found.impressions["reward"].to_pylist() == [0.0, 0.5]


@pytest.mark.slow
def test_only_events_before_the_cutoff_count() -> None:
    records: list[Entry] = [shown(1), shown(2, at=2 * HOUR), reported("c", "click", "tea", HOUR, of=1)]
    assert joined(records, until=NOON + HOUR).impressions["reward"].to_pylist() == [0.0, 0.0]
    later = joined(records, until=NOON + HOUR + 1).impressions
    assert later["reward"].to_pylist() == [0.5, 0.0]


def test_impressions_that_may_still_earn_are_flagged_open() -> None:
    found = joined([shown(1), shown(2, at=2 * DAY), reported("c", "click", "tea", 8 * DAY)])
    assert found.impressions["flags"].to_pylist() == [[], [], ["open"], ["open"]]


def test_an_empty_log_is_empty() -> None:
    found = joined([])
    assert (len(found.impressions), len(found.feedback), found.arrived_until) == (0, 0, None)
    assert found.summary()["reward"] == 0


def test_a_model_learns_from_impressions_with_their_propensities() -> None:
    records: list[Entry] = [
        shown(1),
        request(2, occurred_at=NOON + HOUR, user_id="unknown", items=[Item("new", 0.0, 0.25)]),
        reported("c", "click", "cup", HOUR, of=1),
    ]
    found = as_feedback(
        joined(records).impressions, IdIndex.build(["ann", "bob"]), IdIndex.build(["cup", "tea"])
    )
    assert found.users.tolist() == [0, 0, -1]
    assert found.items.tolist() == [1, 0, -1]
    assert found.positions.tolist() == [0, 1, 0]
    assert found.rewards.tolist() == [0.0, 0.5, 0.0]
    assert found.propensities.tolist() == [0.5, 0.5, 0.25]
    assert found.times.tolist() == [NOON, NOON, NOON + HOUR]
    assert found.context is None


@pytest.mark.slow
def test_contexts_of_equal_width_are_passed_to_models() -> None:
    records = [shown(1), shown(2, at=1)]
    numbered = [request(n, items=[Item("tea", 0, 1), Item("cup", 0, 1)], context=[n, 0.5]) for n in (1, 2)]
    ids = IdIndex.build(["tea"])
    context = as_feedback(joined(numbered).impressions, ids, ids).context
    assert context is not None
    assert context.tolist() == [[1.0, 0.5], [1.0, 0.5], [2.0, 0.5], [2.0, 0.5]]
    assert as_feedback(joined([*records, numbered[0]]).impressions, ids, ids).context is None


class Showing(NamedTuple):
    """An item of an answer."""

    request_id: str
    user: str
    item: str
    at: float


def expected(requests: list[Record], events: list[FeedbackRecord]) -> dict[tuple[str, str], float]:
    """Reward of each (request, item), by loops."""
    showings = [
        Showing(one.request_id, one.user_id, item.item_id, one.occurred_at)
        for one in requests
        for item in one.items
    ]
    users = {one.request_id: one.user_id for one in requests}
    rewards = {(one.request_id, one.item): 0.0 for one in showings}
    for event in {event.event_id: event for event in reversed(events)}.values():
        at = min(event.occurred_at, event.received_at)
        user = event.user_id or users.get(event.request_id or "")
        if event.request_id is not None:
            causes = [
                one for one in showings if (one.request_id, one.item) == (event.request_id, event.item_id)
            ]
        else:
            mine = [one for one in showings if (one.user, one.item) == (user, event.item_id) and one.at <= at]
            causes = sorted(mine, key=lambda one: one.at)[-1:]
        for cause in causes:
            delay = 0.0 if cause.at - 600 <= at <= cause.at else at - cause.at
            rewards[cause.request_id, cause.item] += worth(event, delay)
    return rewards


def worth(event: FeedbackRecord, delay: float) -> float:
    """The objectives' rewards of one event, `delay` seconds after its cause."""
    total = 0.0
    for objective in PROBLEM.objectives:
        reward = objective.events.get(event.event_type)
        if reward is not None and 0 <= delay <= reward.window_days * DAY:
            fading = 1 if reward.half_life_days is None else 2 ** (-delay / DAY / reward.half_life_days)
            total += objective.share * reward.weight * (event.value if reward.by_value else 1) * fading
    return total


USERS, ITEMS = st.sampled_from(["ann", "bob"]), st.sampled_from(["tea", "cup", "pot"])
SECONDS = st.integers(0, int(9 * DAY)).map(float)


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Record], list[FeedbackRecord]]:
    """Answers at different times, and events about them."""
    timestamps = draw(st.lists(SECONDS, max_size=6, unique=True))
    lists = st.lists(ITEMS, min_size=1, max_size=3, unique=True).map(tuple)
    requests = [shown(number, at, draw(USERS), draw(lists)) for number, at in enumerate(timestamps)]
    events = [
        reported(
            str(draw(st.integers(0, 9))),
            draw(st.sampled_from(["click", "buy", "view"])),
            draw(ITEMS),
            draw(SECONDS),
            of=draw(st.none() | st.integers(0, 6)),
            user_id=draw(USERS),
            value=draw(st.sampled_from([1.0, 2.5])),
            received_at=NOON + draw(SECONDS),
        )
        for _ in range(draw(st.integers(0, 10)))
    ]
    return requests, sorted(events, key=lambda event: event.received_at)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(log=logs(), split=st.integers(0, 10))
def test_rewards_are_those_of_a_join_by_loops(
    log: tuple[list[Record], list[FeedbackRecord]], split: int
) -> None:
    """Some of the events come by the shop's own source too, or by it alone."""
    requests, events = log
    firsts = list({event.event_id: event for event in reversed(events)}.values())
    by_shop = [event for event in firsts[:split] if event.occurred_at <= event.received_at]
    alone = by_shop[::2]
    rest = [event for event in events if event.event_id not in {one.event_id for one in alone}]
    found = joined([*requests, *rest], [shop(event) for event in by_shop])
    rewards = {(row["request_id"], row["item_id"]): row["reward"] for row in found.impressions.to_pylist()}
    assert rewards == pytest.approx(expected(requests, events))
    assert len(found.feedback) == len({event.event_id for event in rest}), "nothing is dropped"
