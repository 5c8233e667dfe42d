"""Reported feedback becomes events through validation, each once, and training data."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.request_logs import NOON, click, fill, request
from support.served_homes import events as shop_events
from support.served_homes import problem
from tastemaker.data.lake import Lake, by_day, parquet_writer
from tastemaker.data.tables import EVENTS, ITEMS
from tastemaker.data.validation.publishing import validate_and_publish
from tastemaker.dataset.dataset import Dataset
from tastemaker.event_log.drain import drain
from tastemaker.event_log.feedback_source import FEEDBACK_SOURCE, land_feedback
from tastemaker.event_log.records import Entry, ItemRecord, UserRecord
from tastemaker.features.fingerprint import fingerprint
from tastemaker.storage.engine import open_engine
from tastemaker_expectations.gate import GreatExpectationsGate

DAY = 86_400.0


class Home:
    """A home with events of a shop's source and of callers."""

    def __init__(self, path: Path) -> None:
        self.path, self.lake = path, Lake(path / "lake")
        self.engine = open_engine(f"sqlite:///{path / 'tastemaker.db'}")

    def run(self, logged: Iterable[Entry] = ()) -> dict[str, int]:
        """Log, drain, land and validate; return event id -> how often it is in the lake."""
        fill(self.path / "spool", list(logged))
        drain(self.path / "spool", self.lake)
        land_feedback(self.lake)
        for source in ("shop", FEEDBACK_SOURCE):
            if self.lake.files("landed_events", part=source):
                validate_and_publish(source, self.lake, GreatExpectationsGate(source), self.engine)
        counts: dict[str, int] = {}
        for row in self.lake.read("events").to_pylist():
            counts[row["event_id"]] = counts.get(row["event_id"], 0) + 1
        return counts

    def land(self, rows: pa.Table, name: str = "shop") -> None:
        """As the shop's source lands its days."""
        for day, some in by_day(rows.sort_by("occurred_at")):
            path = self.lake.path("landed_events", day, part=name)
            with parquet_writer(path, some.schema, {"identity": "shop", "digest": str(len(some))}) as writer:
                writer.write_table(some)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.land(shop_events())
    made.run()
    return made


def bought(name: str, **other: Any) -> Entry:
    """A purchase that a caller reports."""
    return click(name, **{"event_type": "purchase", "value": 3.0} | other)


def test_reported_events_are_learned_from_once(home: Home) -> None:
    before = Dataset.load(home.lake, problem())
    counts = home.run(
        [bought("a"), bought("b", item_id="cup", user_id=None, request_id=f"{1:032x}"), request(1)]
    )
    assert counts["click-a"] == counts["click-b"] == 1
    assert len(counts) == 602
    found = {row["event_id"]: row for row in home.lake.read("events").to_pylist()}
    assert found["click-b"]["user_id"] == "user-1", "the request's"
    assert found["click-b"]["request_id"] == f"{1:032x}"
    after = Dataset.load(home.lake, problem())
    assert after.events.count == before.events.count + 2
    assert after.data_hash != before.data_hash
    assert home.run([bought("a")]) == counts, "reported again"


def test_ids_of_callers_take_the_form_of_the_sources_own(home: Home) -> None:
    """What a caller writes as 27.0 is item 27; a word for a missing value is an id of nothing."""
    counts = home.run(
        [
            bought("float", user_id=" 7.0", item_id="27.00"),
            bought("missing", item_id="NULL"),
            ItemRecord("27.0", NOON, title="Cup"),
            UserRecord("7\u00a0", NOON, country="FR"),
        ]
    )
    found = {row["event_id"]: row for row in home.lake.read("events").to_pylist()}
    assert (found["click-float"]["user_id"], found["click-float"]["item_id"]) == ("7", "27")
    assert "click-missing" not in counts
    assert "item_id_missing" in home.lake.read("quarantine")["rule"].to_pylist()
    items = {row["item_id"]: row["title"] for row in home.lake.read("items").to_pylist()}
    users = {row["user_id"]: row["country"] for row in home.lake.read("users").to_pylist()}
    assert (items["27"], users["7"]) == ("Cup", "FR")
    assert not {"27.0", "27.00"} & items.keys()
    assert not {" 7.0", "7.0", "7\u00a0"} & users.keys()


def test_impressions_alone_change_nothing_that_is_learned_from(home: Home) -> None:
    before = Dataset.load(home.lake, problem()).data_hash
    home.run([request(1), click("seen", event_type="impression", request_id=f"{1:032x}")])
    assert Dataset.load(home.lake, problem()).data_hash == before


def test_every_landed_event_is_accepted_or_quarantined_and_nothing_else_is_an_event(home: Home) -> None:
    requests = [request(number, user_id="ann") for number in range(20)]
    seen = [click(f"seen-{one.request_id}", event_type="impression") for one in requests]
    home.run([*requests, *seen, *(bought(str(number)) for number in range(9)), bought("bad", value=-1.0)])
    landed, accepted, refused = (
        sum(pq.read_metadata(path).num_rows for path in home.lake.files(table, part=part))
        for table, part in (("landed_events", "*"), ("events", "*"), ("quarantine", FEEDBACK_SOURCE))
    )
    assert (landed, accepted, refused) == (610, 609, 1)
    sources = {path.stem for path in home.lake.files("events")}
    assert sources == {"shop", FEEDBACK_SOURCE}


def test_impressions_that_an_earlier_release_wrote_among_the_events_are_not_learned_from(
    home: Home,
) -> None:
    dataset = Dataset.load(home.lake, problem())
    before = dataset.data_hash, fingerprint(home.lake, dataset.end)
    rows = [row | {"event_id": f"{number:032x}:0"} for number, row in enumerate(shop_events(50).to_pylist())]
    for event_type in ("impression", "purchase"):  # by the file, whatever it holds
        some = pa.Table.from_pylist([row | {"event_type": event_type} for row in rows], schema=EVENTS)
        for day, of_day in by_day(some.sort_by("occurred_at")):
            home.lake.write_day("events", day, of_day, part=f"served-0123456789abcdef-{len(event_type):012d}")
    assert (Dataset.load(home.lake, problem()).data_hash, fingerprint(home.lake, dataset.end)) == before
    assert {path.stem for path in home.lake.files("events")} == {"shop"}


def test_an_event_that_the_shops_source_has_too_is_the_sources(home: Home) -> None:
    counts = home.run(
        [bought("a"), bought("event-5"), bought("b", received_at=NOON + DAY, occurred_at=NOON + DAY)]
    )
    assert counts["event-5"] == 1
    late = shop_events(1).to_pylist()[0]
    late |= {"event_id": "click-a", "occurred_at": datetime.fromtimestamp(NOON, UTC), "value": 99.0}
    home.land(pa.Table.from_pylist([late], schema=EVENTS))
    assert home.run() == counts
    (found,) = [row for row in home.lake.read("events").to_pylist() if row["event_id"] == "click-a"]
    assert found["value"] == 99


def test_what_can_not_be_an_event_is_kept_but_not_learned_from(home: Home) -> None:
    counts = home.run(
        [
            bought("orphan", user_id=None, request_id="unknown"),
            bought("negative", value=-1.0),
            *(bought(str(number)) for number in range(5)),
            bought("ahead", occurred_at=NOON + 90 * DAY),
        ]
    )
    assert {name for name in counts if name.startswith("click")} == {
        *(f"click-{number}" for number in range(5)),
        "click-ahead",
    }
    times = {row["event_id"]: row["occurred_at"].timestamp() for row in home.lake.read("events").to_pylist()}
    assert times["click-ahead"] == NOON, "it can't have happened after it was reported"
    reasons = home.lake.read("quarantine")["rule"].to_pylist()
    assert "value_negative" in reasons
    assert len(home.lake.read("feedback")) == 8


def test_items_and_users_that_no_source_has_enter_the_catalogue_as_last_reported(home: Home) -> None:
    home.run(
        [
            ItemRecord("new", NOON, title="Old name", price=1.0),
            ItemRecord("new", NOON + 60, title="New name"),
            ItemRecord("item-00", NOON, title="Known by its events"),
            UserRecord("dora", NOON, country="CZ"),
        ]
    )
    items = {row["item_id"]: row for row in home.lake.read("items").to_pylist()}
    assert (items["new"]["title"], items["new"]["price"]) == ("New name", None)
    assert items["new"]["first_seen_at"].timestamp() == NOON
    assert items["item-00"]["title"] == "Known by its events"
    users = {row["user_id"]: row for row in home.lake.read("users").to_pylist()}
    assert (users["dora"]["country"], users["dora"]["own"]) == ("CZ", None)


def test_a_model_sees_reported_items_in_the_state_of_the_cutoff(home: Home) -> None:
    """Of an item that a source lands later, that row alone counts: it has no history."""
    reported = [
        ItemRecord("27.0", NOON, title="Cup"),
        ItemRecord("27", NOON + 60, title="Red cup", price=2.0),
    ]
    home.run(reported)

    def title(end: float) -> str:
        items = Dataset.load(home.lake, problem()).training(int(end)).items
        return items.titles[items.ids.index("27")]

    assert [title(NOON + 30), title(NOON + 61), title(NOON + DAY)] == ["Cup", "Red cup", "Red cup"]
    row = {"item_id": "27", "title": "Mug", "first_seen_at": datetime.fromtimestamp(NOON, UTC)}
    home.lake.write("landed_items", pa.Table.from_pylist([row], schema=ITEMS), part="shop")
    home.run()
    assert [title(NOON + 30), title(NOON + DAY)] == ["Mug", "Mug"]


def test_training_data_holds_what_was_shown_and_what_came_of_it(home: Home) -> None:
    assert Dataset.load(home.lake, problem()).training().feedback is None
    home.run(
        [
            request(1, user_id="ann"),
            bought("a", request_id=f"{1:032x}", received_at=NOON + 9, occurred_at=NOON + 9),
        ]
    )
    dataset = Dataset.load(home.lake, problem())
    feedback = dataset.training().feedback
    assert feedback is not None
    assert feedback.rewards.tolist() == [1.0, 0.0]
    assert feedback.propensities.tolist() == [0.25, 0.125]
    names = dataset.cut().item_ids.decode(feedback.items[:1])
    assert names == ["tea"]
    assert dataset.training(int(NOON)).feedback is None, "not shown yet"
    early = dataset.training(int(NOON) + 5).feedback
    assert early is not None
    assert early.rewards.tolist() == [0.0, 0.0], "not bought yet"
