"""Landing and validating: only what is new, whatever is interrupted, in any order, by any number of runs."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import Engine, create_engine, select

from tastemaker.data.ingest import land
from tastemaker.data.lake import UNDATED, Lake
from tastemaker.data.sources import open_source
from tastemaker.data.tables import EVENTS, ITEMS, USERS, nullable
from tastemaker.data.validation.gate import GateCounts, RowChecks
from tastemaker.data.validation.publishing import Published, pending_days, stage_days, validate_and_publish
from tastemaker.errors import GateError, SourceError
from tastemaker.settings import SourceSettings
from tastemaker.storage.tables import ingested_days, metadata
from tastemaker_expectations.gate import GreatExpectationsGate

START = datetime(2024, 1, 1, 12, tzinfo=UTC)


class Shelf:
    """A source whose rows lie in a dictionary."""

    name = "shelf"
    identity = "shelf"
    readings = ()

    def __init__(
        self, rows: dict[date, list[dict[str, Any]]], items: list[dict[str, Any]] | None = None
    ) -> None:
        self.rows = rows
        self.known_items = items or []
        self.read_days: list[date] = []

    def days(self) -> dict[date, str]:
        return {day: repr(rows) for day, rows in sorted(self.rows.items())}

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        wanted = sorted(self.rows if days is None else days)
        self.read_days += wanted
        everything = [row for day in wanted for row in self.rows[day]]
        for start in range(0, len(everything), rows):
            yield pa.Table.from_pylist(everything[start : start + rows], nullable(EVENTS))

    def items(self) -> pa.Table:
        return pa.Table.from_pylist(self.known_items, nullable(ITEMS))

    def users(self) -> pa.Table:
        return nullable(USERS).empty_table()


def event(id_: str, day: int = 0, **changes: Any) -> dict[str, Any]:
    at = START + timedelta(days=day)
    row = {
        "event_id": id_,
        "user_id": "u",
        "item_id": "i",
        "event_type": "view",
        "value": 1.0,
        "occurred_at": at,
    }
    return {**row, **changes}


def day(number: int) -> date:
    return (START + timedelta(days=number)).date()


@pytest.fixture(scope="module")
def gate() -> GreatExpectationsGate:
    return GreatExpectationsGate("shelf")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{tmp_path / 'metadata.db'}")
    metadata.create_all(engine)
    return engine


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def ids(lake: Lake) -> set[str]:
    return set(lake.read("events").column("event_id").to_pylist())


def test_only_changed_days_are_read_again(lake: Lake, engine: Engine, gate: GreatExpectationsGate) -> None:
    shelf = Shelf({day(n): [event(f"e{n}", n), event(f"f{n}", n)] for n in range(3)})
    assert land(shelf, lake).days == (day(0), day(1), day(2))
    assert validate_and_publish("shelf", lake, gate, engine).days == (day(0), day(1), day(2))
    written = {path: path.stat().st_mtime_ns for path in (*lake.files("events"), *lake.files("items"))}
    shelf.read_days.clear()
    assert land(shelf, lake)[:3] == ((), 3, 0)
    again = validate_and_publish("shelf", lake, gate, engine)
    assert (again.days, again.tables["events"].read, again.total.read) == ((), 0, 6)
    assert shelf.read_days == []
    assert {path: path.stat().st_mtime_ns for path in written} == written
    shelf.rows[day(1)] = [event("new", 1)]
    assert land(shelf, lake).days == validate_and_publish("shelf", lake, gate, engine).days == (day(1),)
    assert ids(lake) == {"e0", "f0", "new", "e2", "f2"}
    with engine.connect() as connection:
        rows = connection.execute(select(ingested_days.c.day, ingested_days.c.rows_accepted)).fetchall()
    assert sorted(map(tuple, rows)) == [(day(0), 2), (day(1), 1), (day(2), 2)]


def test_days_can_be_filled_in_one_by_one(lake: Lake, engine: Engine, gate: GreatExpectationsGate) -> None:
    shelf = Shelf({day(n): [event(f"e{n}", n)] for n in range(4)})
    for n in (2, 0):
        land(shelf, lake, days=[day(n)])
        assert validate_and_publish("shelf", lake, gate, engine, days=[day(n)]).days == (day(n),)
    assert ids(lake) == {"e0", "e2"}
    land(shelf, lake)
    assert validate_and_publish("shelf", lake, gate, engine).days == (day(1), day(3))


@pytest.mark.parametrize("chunk_rows", [1, 3, 1000])
def test_repetitions_are_found_across_days_and_chunks(
    lake: Lake, engine: Engine, gate: GreatExpectationsGate, chunk_rows: int
) -> None:
    shelf = Shelf(
        {day(0): [event("a"), event("b"), event("a", value=2.0)], day(1): [event("b", 1), event("ü", 1)]}
    )
    land(shelf, lake, chunk_rows=chunk_rows)
    result = validate_and_publish("shelf", lake, gate, engine, chunk_rows=chunk_rows)
    assert result.total.quarantined == {"event_id_repeated": 2}
    assert result.total.read == result.total.accepted + result.total.refused == 5
    events = lake.read("events").to_pylist()
    assert [(row["event_id"], row["value"]) for row in events] == [("a", 1.0), ("b", 1.0), ("ü", 1.0)]


def test_the_order_of_days_makes_no_difference(tmp_path: Path, gate: GreatExpectationsGate) -> None:
    """Ids that repeat over ten days, landed and validated in three orders, once all at once."""
    rng = random.Random(0)
    shelf = Shelf({day(n): [event(f"e{rng.randrange(60)}", n) for _ in range(12)] for n in range(10)})
    outcomes: list[tuple[pa.Table, GateCounts]] = []
    for order in ([list(range(10))], [[n] for n in range(10)], [[n] for n in reversed(range(10))]):
        root = tmp_path / str(len(outcomes))
        root.mkdir()
        lake, engine = Lake(root / "lake"), create_engine(f"sqlite:///{root / 'metadata.db'}")
        metadata.create_all(engine)
        for step in order:
            land(shelf, lake, days=[day(n) for n in step])
            result = validate_all_bad_too(lake, gate, engine)
        outcomes.append((lake.read("events").sort_by("event_id"), result.total))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def validate_all_bad_too(lake: Lake, gate: GreatExpectationsGate, engine: Engine) -> Published:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tastemaker.data.validation.gate.MAX_QUARANTINED_SHARE", 1.0)
        return validate_and_publish("shelf", lake, gate, engine)


class Breaking:
    """A gate that dies at its n-th chunk of events."""

    def __init__(self, gate: GreatExpectationsGate, chunks: int) -> None:
        self.gate, self.chunks = gate, chunks
        self.version, self.rules = gate.version, gate.rules

    def check(self, table: str, chunk: pa.Table) -> RowChecks:
        if table == "events":
            self.chunks -= 1
            if self.chunks < 0:
                raise OSError("killed")
        return self.gate.check(table, chunk)


def test_a_run_that_died_is_resumed(lake: Lake, engine: Engine, gate: GreatExpectationsGate) -> None:
    shelf = Shelf({day(n): [event(f"e{n}", n), event(f"bad{n}", n, value=-1.0)] for n in range(4)})
    shelf.rows[day(3)].append(event("e0", 3, value=5.0))
    land(shelf, lake)
    with pytest.raises(OSError, match="killed"):
        validate_and_publish("shelf", lake, Breaking(gate, 3), engine, chunk_rows=2)
    assert lake.read("events").num_rows == 0, "nothing is let in before the batch has passed"
    assert not list(lake.root.rglob("*.tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tastemaker.data.validation.gate.MAX_QUARANTINED_SHARE", 0.6)
        result = validate_and_publish("shelf", lake, Breaking(gate, 3), engine, chunk_rows=2)
    assert result.days == tuple(day(n) for n in range(4))
    assert result.total.quarantined == {"event_id_repeated": 1, "value_negative": 4}
    assert ids(lake) == {"e0", "e1", "e2", "e3"}
    assert lake.read("quarantine").num_rows == 5


def test_days_that_several_processes_staged_are_published_as_if_one_had(
    tmp_path: Path, gate: GreatExpectationsGate
) -> None:
    """Also if one of them is killed in between, and where a row of one day repeats an event of another."""
    rows = {
        day(n): [
            *(event(f"{letter}{n}", n) for letter in "abc"),
            event("same", n),
            event(f"x{n}", n, user_id=""),
        ]
        for n in range(9)
    }
    found = []
    for name in ("once", "staged"):
        lake, engine = Lake(tmp_path / name), create_engine(f"sqlite:///{tmp_path / name}.db")
        metadata.create_all(engine)
        land(Shelf(rows), lake)
        if name == "staged":

            def dies_on_the_third(stage: str, done: int, total: int) -> None:
                if done == 3:
                    raise InterruptedError

            with pytest.raises(InterruptedError):
                stage_days(
                    "shelf", lake, gate, engine,
                    days=[day(n) for n in range(5)], chunk_rows=3, progress=dies_on_the_third,
                )  # fmt: skip
            assert list(pending_days("shelf", lake, gate, engine)) == [day(n) for n in range(3, 9)]
            for part in ([day(3), day(4)], [day(n) for n in range(5, 9)]):
                stage_days("shelf", lake, gate, engine, days=part)
            assert pending_days("shelf", lake, gate, engine) == {}
            assert lake.files("events") == [], "nothing is published yet"
        published = validate_and_publish("shelf", lake, gate, engine)
        with engine.connect() as connection:
            ingested = connection.execute(
                select(ingested_days).with_only_columns(ingested_days.c.day, ingested_days.c.digest)
            ).all()
        tables = {
            table: sorted(map(str, lake.read(table).to_pylist()))
            for table in ("events", "quarantine", "items")
        }
        found.append((published, tables, sorted(map(tuple, ingested))))
    assert found[0] == found[1]
    assert found[0][0].total.accepted == 28
    assert found[0][0].total.refused == 17


def test_a_late_change_of_one_day_is_all_that_is_pending(
    lake: Lake, engine: Engine, gate: GreatExpectationsGate
) -> None:
    shelf = Shelf({day(n): [event(f"e{n}", n)] for n in range(6)})
    land(shelf, lake)
    validate_and_publish("shelf", lake, gate, engine)
    written = {path: path.stat().st_mtime_ns for path in lake.files("events")}
    shelf.rows[day(2)].append(event("late", 2))
    land(shelf, lake)
    assert pending_days("shelf", lake, gate, engine) == {day(2): 2}
    stage_days("shelf", lake, gate, engine, days=[day(n) for n in range(6)])
    assert validate_and_publish("shelf", lake, gate, engine).days == (day(2),)
    changed = [path for path, at in written.items() if path.stat().st_mtime_ns != at]
    assert changed == [lake.path("events", day(2), part="shelf")]


def test_a_refused_batch_changes_nothing(lake: Lake, engine: Engine, gate: GreatExpectationsGate) -> None:
    shelf = Shelf({day(0): [event("a")]})
    land(shelf, lake)
    validate_and_publish("shelf", lake, gate, engine)
    shelf.rows[day(1)] = [event(f"x{n}", 1, user_id=None) for n in range(5)]
    land(shelf, lake)
    for _ in range(2):
        with pytest.raises(GateError, match="every row of events") as caught:
            validate_and_publish("shelf", lake, gate, engine)
        assert "user_id_missing (5 rows)" in caught.value.problem
        assert ids(lake) == {"a"}
        assert lake.read("quarantine").num_rows == 0
    shelf.rows[day(1)] = [event("b", 1)]
    land(shelf, lake)
    assert validate_and_publish("shelf", lake, gate, engine).days == (day(1),)
    assert ids(lake) == {"a", "b"}


def test_chosen_days_before_and_after_all_others_are_refused(lake: Lake) -> None:
    shelf = Shelf({day(3): [event("a", 3)], day(5): [event("b", 5)]})
    for chosen in ([day(2)], [day(6), day(7)]):
        with pytest.raises(SourceError, match=f"its days are {day(3)} to {day(5)}"):
            land(shelf, lake, days=chosen)
    assert land(shelf, lake, days=[day(4)]).days == (), "a day without events is one all the same"
    assert land(shelf, lake, days=[day(5), day(6)]).days == (day(5),)


def test_an_empty_source_is_refused(lake: Lake, engine: Engine, gate: GreatExpectationsGate) -> None:
    land(Shelf({}), lake)
    with pytest.raises(GateError, match="events is empty"):
        validate_and_publish("shelf", lake, gate, engine)


def test_rows_without_a_time_are_kept_to_show(
    lake: Lake, engine: Engine, gate: GreatExpectationsGate
) -> None:
    shelf = Shelf({UNDATED: [event("lost", occurred_at=None)], day(0): [event("a"), event("b")]})
    land(shelf, lake)
    result = validate_and_publish("shelf", lake, gate, engine)
    assert (result.total.accepted, result.total.quarantined) == (2, {"occurred_at_unreadable": 1})
    assert lake.read("quarantine").column("day").to_pylist() == [None]


def test_every_event_has_its_item_and_user(lake: Lake, engine: Engine, gate: GreatExpectationsGate) -> None:
    first = START - timedelta(days=9)
    known: list[dict[str, Any]] = [
        {"item_id": "i", "title": "known", "price": 2.0},
        {"item_id": "shelved", "title": "never sold", "first_seen_at": first},
        {"item_id": "i", "title": "known again"},
    ]
    shelf = Shelf({day(n): [event(f"e{n}", n, item_id=f"{'ij'[n]}")] for n in range(2)}, known)
    land(shelf, lake)
    result = validate_and_publish("shelf", lake, gate, engine)
    assert result.tables["items"].quarantined == {"item_id_repeated": 1}
    items = {row["item_id"]: row for row in lake.read("items").to_pylist()}
    assert {key: (row["title"], row["first_seen_at"]) for key, row in items.items()} == {
        "i": ("known", START),
        "j": (None, START + timedelta(days=1)),
        "shelved": ("never sold", first),
    }
    (user,) = lake.read("users").to_pylist()
    assert user == {"user_id": "u", "country": None, "first_seen_at": START, "own": None}


def test_users_of_sources_with_other_own_columns_stand_in_one_table(
    lake: Lake, engine: Engine, gate: GreatExpectationsGate
) -> None:
    """One was landed before there were own columns; u stands in two, and the first counts."""
    land(Shelf({day(0): [event("e")]}), lake)
    earlier = pa.table({"user_id": ["v"], "country": ["FR"], "first_seen_at": [START]})
    lake.write("landed_users", earlier, part="a earlier")
    for part, own in (("b", [("segment", "gold")]), ("c", [("plan", "free"), ("age", None)])):
        rows = [{"user_id": one, "own": own} for one in ("u", part)]
        lake.write("landed_users", pa.Table.from_pylist(rows, nullable(USERS)), part=part)
    counts = validate_and_publish("shelf", lake, gate, engine).tables["users"]
    assert (counts.accepted, counts.quarantined) == (4, {"user_id_repeated": 1})
    owned = {row["user_id"]: row["own"] for row in lake.read("users").to_pylist()}
    gold = [("segment", "gold")]
    assert owned == {"v": None, "u": gold, "b": gold, "c": [("plan", "free"), ("age", None)]}
    with lake.connect() as connection:
        query = "SELECT own['plan'] AS plan, count(*) FROM users GROUP BY plan ORDER BY plan"
        assert connection.sql(query).fetchall() == [("free", 1), (None, 3)]


def test_another_shop_is_not_mixed_in(lake: Lake) -> None:
    land(Shelf({day(0): [event("a")]}), lake)
    other = Shelf({day(0): [event("b")]})
    other.identity = "another"
    with pytest.raises(SourceError, match="already holds events of shelf") as caught:
        land(other, lake)
    assert "TASTEMAKER_HOME" in str(caught.value.fix)


def test_a_source_that_breaks_its_promise_is_named(lake: Lake) -> None:
    class Shuffled(Shelf):
        def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
            yield from super().read(days, rows)
            yield from super().read(days, rows)

    with pytest.raises(SourceError, match="gave 2024-01-01 twice"):
        land(Shuffled({day(0): [event("a")], day(1): [event("b", 1)]}), lake)


def test_two_runs_at_once(lake: Lake, engine: Engine, gate: GreatExpectationsGate) -> None:
    shelf = Shelf({day(n): [event(f"e{n}", n)] for n in range(5)})
    outcomes: list[int] = []

    def run() -> None:
        landed = land(shelf, lake)
        outcomes.append(len(landed.days) + 100 * len(validate_and_publish("shelf", lake, gate, engine).days))

    runs = [threading.Thread(target=run) for _ in range(2)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    assert sum(outcomes) == 505, "each day is landed once and admitted once"
    assert ids(lake) == {f"e{n}" for n in range(5)}


def test_the_simulated_shop_passes_whole(lake: Lake, engine: Engine) -> None:
    options = {"n_days": 12, "n_users": 60, "n_items": 40, "events_per_day": 50}
    source = open_source(SourceSettings(name="simulated", options=options))
    landed = land(source, lake)
    result = validate_and_publish("simulated", lake, GreatExpectationsGate("simulated"), engine)
    assert result.total.refused == 0
    assert result.total.accepted == landed.rows == lake.read("events").num_rows > 0
    longer = open_source(SourceSettings(name="simulated", options={**options, "n_days": 14}))
    assert len(land(longer, lake).days) == 2
    with pytest.raises(SourceError, match="would be mixed"):
        land(open_source(SourceSettings(name="simulated", options={**options, "seed": 1})), lake)
    with pytest.raises(SourceError, match=r"n_users = 0"):
        open_source(SourceSettings(name="simulated", options={"n_users": 0}))
