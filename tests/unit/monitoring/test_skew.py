"""Logged features against those computed again: each kind of difference is found, and nothing else."""

from __future__ import annotations

import doctest
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from sqlalchemy import Engine, insert, select

from support.feature_lakes import DAY, END, fill, user_id
from support.request_logs import request
from tastemaker.data.lake import Lake, file_metadata
from tastemaker.data.tables import EVENTS
from tastemaker.event_log.rows import request_rows
from tastemaker.features import recomputed
from tastemaker.features.names import USER_FEATURES
from tastemaker.features.snapshot_path import snapshot_path
from tastemaker.features.snapshots import write_snapshots
from tastemaker.features.users import user_features
from tastemaker.monitoring import skew
from tastemaker.monitoring.skew import VersionSkew, check_skew, record_cutoff
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import feature_cutoffs, skew_checks

NOW = datetime.now(UTC)
EARLIER = END - 7 * DAY
USERS = [user_id(number) for number in range(40)]
Values = dict[str, dict[str, float | None]]


class Home:
    """A lake, its snapshots and a database."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.lake, self.root, self.engine = Lake(folder / "lake"), folder / "features", engine

    def snapshots(self, cutoff: int, hours_ago: float) -> Values:
        """Record them, ready so many hours ago, and return the users' values."""
        write_snapshots(self.lake, self.root, {cutoff})
        path = snapshot_path(self.root, "users", cutoff)
        row = {
            "cutoff": datetime.fromtimestamp(cutoff, UTC),
            "fingerprint": file_metadata(path)["fingerprint"],
            "made_at": NOW - timedelta(hours=hours_ago),
        }
        with self.engine.begin() as connection:
            connection.execute(insert(feature_cutoffs), [row])
        return recomputed.stored(self.lake, path, USERS).values

    def log(
        self, values: Values, *, hours_ago: float = 0.1, users: Sequence[str] = USERS, **more: Any
    ) -> None:
        """Log a request per user that was given these values."""
        at = NOW.timestamp() - hours_ago * 3_600
        nothing = dict.fromkeys(USER_FEATURES)
        records = [
            request(
                number,
                user_id=user,
                occurred_at=at,
                model="ranker",
                version="v1",
                **{"features": values.get(user, nothing)} | more,
            )
            for number, user in enumerate(users)
        ]
        self.lake.write_day("requests", NOW.date(), request_rows(records), part=f"part-{hours_ago}")

    def check(self, **options: Any) -> VersionSkew:
        [found] = check_skew(self.lake, self.root, self.engine, **options)
        return found

    def add_event(self, user: str, before: int) -> None:
        """An event that comes late."""
        row = {
            "event_id": f"late-{user}",
            "user_id": user,
            "item_id": "item 0",
            "event_type": "purchase",
            "value": 1_000.0,
            "occurred_at": datetime.fromtimestamp(before - 60, UTC),
        }
        self.lake.write_day(
            "events", date(2020, 10, 1), pa.Table.from_pylist([row], EVENTS), part=f"late-{len(user)}"
        )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake and its snapshots at two cutoffs."""
    folder = tmp_path_factory.mktemp("written")
    lake = Lake(folder / "lake")
    fill(lake, events=1_500)
    write_snapshots(lake, folder / "features", {EARLIER, END})
    return folder


@pytest.fixture
def home(written: Path, tmp_path: Path) -> Iterator[Home]:
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    engine = open_engine(f"sqlite:///{tmp_path / 'database'}")
    yield Home(tmp_path, engine)
    engine.dispose()


def changed(values: Values, **features: Any) -> Values:
    return {user: found | features for user, found in values.items()}


def reasons(found: VersionSkew) -> set[tuple[str, str]]:
    return {(one.feature, one.reason) for one in found.differences}


def test_the_examples_in_docstrings_are_true() -> None:
    assert doctest.testmod(skew).failed == 0


def test_a_healthy_home_has_no_difference(home: Home) -> None:
    values = home.snapshots(END, hours_ago=5)
    home.log(values, users=[*USERS, "a new user"])
    found = home.check()
    assert (found.requests, found.feature_values) == (41, 41 * len(USER_FEATURES))
    assert (found.differences, dict(found.skipped)) == ([], {})
    with home.engine.connect() as connection:
        [row] = connection.execute(select(skew_checks)).all()
    assert (row.model, row.version, row.requests, row.differing) == ("ranker", "v1", 41, 0)


def test_sessions_and_requests_without_features_are_not_looked_at(home: Home) -> None:
    values = changed(home.snapshots(END, hours_ago=5), user_events_count=-1.0)
    home.log(values, kind="session")
    home.log(values, hours_ago=0.2, features=None)
    home.log(values, hours_ago=30)
    assert check_skew(home.lake, home.root, home.engine) == []


@pytest.mark.slow
def test_at_most_so_many_requests_are_looked_at_and_always_the_same(home: Home) -> None:
    home.log(changed(home.snapshots(END, hours_ago=5), user_events_count=-1.0))
    found = [home.check(requests=7) for _ in range(2)]
    assert [one.requests for one in found] == [7, 7]
    assert found[0].differences == found[1].differences


@pytest.mark.slow
def test_a_changed_definition_is_found_with_both_values(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    values = home.snapshots(END, hours_ago=5)
    home.log(values)

    def doubled(*tables: Any) -> ibis.Table:
        rows = user_features(*tables)
        return rows.mutate(user_events_count=rows.user_events_count * 2)

    monkeypatch.setattr(recomputed, "user_features", doubled)
    found = home.check()
    assert reasons(found) == {("user_events_count", "definition")}
    assert len(found.differences) == 40
    assert found.share == pytest.approx(1 / len(USER_FEATURES))
    for one in found.differences:
        user = USERS[int(one.request_id, 16)]
        assert one.logged == values[user]["user_events_count"]
        assert one.recomputed == 2 * float(values[user]["user_events_count"] or 0)
        assert one.cutoff == END
    examples = found.summary()["examples"]
    assert len(examples) == skew.EXAMPLES
    assert examples[0].keys() == {"feature", "request_id", "logged", "recomputed", "cutoff", "reason"}


@pytest.mark.slow
def test_an_online_store_that_was_not_written_is_found(home: Home) -> None:
    earlier = home.snapshots(EARLIER, hours_ago=30)
    current = home.snapshots(END, hours_ago=5)
    home.log(earlier)
    assert {reason for _, reason in reasons(home.check())} == {"stale"}
    home.log(current)
    assert home.check().differences == []


@pytest.mark.slow
def test_the_store_may_be_written_an_hour_after_the_snapshots(home: Home) -> None:
    earlier = home.snapshots(EARLIER, hours_ago=30)
    current = home.snapshots(END, hours_ago=5)
    home.log(earlier, hours_ago=4.5)
    home.log(current, hours_ago=4.6)
    home.log(earlier, hours_ago=6)
    assert home.check().differences == []
    home.log(current, hours_ago=6)
    assert home.check().differences, "the snapshots were not ready by then"


@pytest.mark.slow
def test_a_value_that_changed_on_its_way_is_found(home: Home) -> None:
    home.log(changed(home.snapshots(END, hours_ago=5), user_tempo_days=-3.0))
    found = home.check()
    assert reasons(found) == {("user_tempo_days", "serving")}
    assert len(found.differences) == 40


@pytest.mark.slow
def test_a_value_that_became_missing_is_found(home: Home) -> None:
    home.log(changed(home.snapshots(END, hours_ago=5), user_events_count=None))
    assert reasons(home.check()) == {("user_events_count", "serving")}


@pytest.mark.slow
def test_late_events_are_not_a_difference(home: Home) -> None:
    """One user's event comes late, and one new user: all users' share of a country changes."""
    home.log(home.snapshots(END, hours_ago=5))
    home.add_event(USERS[3], END)
    home.add_event("someone else", END)
    found = home.check()
    assert found.differences == []
    assert found.skipped.keys() == {"late"}
    assert 3 < found.skipped["late"] < 40 + len(USER_FEATURES)


@pytest.mark.slow
def test_late_events_do_not_hide_a_changed_value(home: Home) -> None:
    home.log(changed(home.snapshots(END, hours_ago=5), user_tempo_days=-3.0))
    home.add_event(USERS[3], END)
    assert reasons(home.check()) == {("user_tempo_days", "serving")}


@pytest.mark.slow
def test_a_store_that_was_not_read_in_time_is_counted_apart(home: Home) -> None:
    home.snapshots(END, hours_ago=5)
    home.log({})
    found = home.check()
    assert (found.requests, dict(found.skipped)) == (0, {"not_read": 40 * len(USER_FEATURES)})


def test_without_the_snapshot_of_that_time_nothing_is_compared(home: Home) -> None:
    values = home.snapshots(END, hours_ago=5)
    home.log(values)
    snapshot_path(home.root, "users", END).unlink()
    found = home.check()
    assert (found.requests, dict(found.skipped)) == (0, {"no_snapshot": 40 * len(USER_FEATURES)})


def test_the_same_snapshots_again_count_once(home: Home) -> None:
    write_snapshots(home.lake, home.root, {END})
    for _ in range(2):
        record_cutoff(home.engine, home.root, END)
    [ready] = skew.read_cutoffs(home.engine)
    assert ready.cutoff == END
    assert abs(ready.made_at - datetime.now(UTC).timestamp()) < 60
