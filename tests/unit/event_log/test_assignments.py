"""A request's experiment, epoch, variant and its probability, from the spool to the joined log."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.request_logs import NOON, click, fill, request, settings_of
from tastemaker.data.lake import Lake
from tastemaker.data.tables import ASSIGNMENT, REQUESTS
from tastemaker.errors import TastemakerError
from tastemaker.event_log.attribution import attribute
from tastemaker.event_log.drain import drain, read_log
from tastemaker.event_log.lookup import find
from tastemaker.event_log.records import MAX_EPOCH, Assignment, Record
from tastemaker.event_log.spool_file import FILE_NAME, create
from tastemaker.problem import EventReward, Objective, ProblemSpec

ASSIGNED = Assignment(
    "ranker-v2",
    epoch=3,
    variant="treatment",
    probability=0.1,
    served="control",
    plan="0123456789abcdef",
    unit="user-1",
)
FORCED = Assignment("ranker-v2", epoch=3, variant="control")
VALID: dict[str, Any] = {"experiment": "e", "epoch": 0, "variant": "v", "probability": 1.0}
CLICKS = ProblemSpec(name="shop", objectives=(Objective(name="clicks", events={"click": EventReward()}),))
NONE = dict.fromkeys(ASSIGNMENT.names)
"""The columns of a request that no experiment assigned."""


def columns(rows: pa.Table) -> list[dict[str, Any]]:
    """The rows' columns of the assignment."""
    found: list[dict[str, Any]] = rows.select(ASSIGNMENT.names).to_pylist()
    return found


def test_an_assignment_reaches_the_lake_and_the_joined_log(tmp_path: Path) -> None:
    settings, lake = settings_of(tmp_path), Lake(tmp_path / "lake")
    fill(
        settings.spool,
        [request(1, assignment=ASSIGNED), request(2), request(3, assignment=FORCED), click(1)],
    )
    drain(settings.spool, lake)
    expected = [
        {
            "experiment": "ranker-v2",
            "epoch": 3,
            "variant": "treatment",
            "variant_probability": 0.1,
            "variant_served": "control",
            "plan_digest": "0123456789abcdef",
            "unit": "user-1",
        },
        NONE,
        NONE | {"experiment": "ranker-v2", "epoch": 3, "variant": "control"},
    ]
    assert columns(read_log(lake)) == expected
    shown = attribute(lake, CLICKS).impressions
    assert columns(shown) == [row for row in expected for _ in range(2)], "two items per request"


@pytest.mark.parametrize("assignment", [None, ASSIGNED, FORCED])
def test_a_request_is_found_with_its_assignment(tmp_path: Path, assignment: Assignment | None) -> None:
    settings, wanted = settings_of(tmp_path), request(1, assignment=assignment)
    fill(settings.spool, [wanted])
    assert find(wanted.request_id, settings) == wanted, "in the spool"
    drain(settings.spool, Lake(settings.lake))
    assert find(wanted.request_id, settings) == wanted, "in the lake"


def test_an_interleaved_list_has_the_team_of_each_item(tmp_path: Path) -> None:
    settings, lake = settings_of(tmp_path), Lake(tmp_path / "lake")
    mixed = request(1, assignment=ASSIGNED, teams=["treatment", ""])
    fill(settings.spool, [mixed, request(2)])
    assert find(mixed.request_id, settings) == mixed, "in the spool"
    drain(settings.spool, lake)
    assert find(mixed.request_id, settings) == mixed, "in the lake"
    shown = attribute(lake, CLICKS).impressions
    assert shown["team"].to_pylist() == ["treatment", "", None, None]
    with lake.connect() as connection:
        rows = connection.sql("SELECT item_id, team, unit FROM impressions ORDER BY request_id, position")
        assert rows.fetchall() == [
            ("tea", "treatment", "user-1"),
            ("cup", "", "user-1"),
            ("tea", None, None),
            ("cup", None, None),
        ]


@pytest.mark.parametrize(
    "lacking",
    [(*ASSIGNMENT.names, "teams"), (*ASSIGNMENT.names[4:], "teams")],
    ids=["without assignments", "with assignments that have no unit"],
)
def test_records_and_files_of_an_earlier_release_lack_what_came_later(
    tmp_path: Path, lacking: tuple[str, ...]
) -> None:
    settings, lake = settings_of(tmp_path), Lake(tmp_path / "lake")
    _write_old_day(lake, request(1), lacking)
    _spool_old(settings.spool, request(2))
    fill(settings.spool, [request(3, assignment=ASSIGNED)])
    assert find(request(2).request_id, settings) == request(2), "in the spool"
    drain(settings.spool, lake)
    found = read_log(lake)
    assert found["user_id"].to_pylist() == ["user-1", "user-2", "user-3"]
    assert columns(found)[:2] == [NONE, NONE]
    assert columns(found)[2]["experiment"] == "ranker-v2"
    for number in (1, 2):
        assert find(request(number).request_id, settings) == request(number), "in the lake"


def test_an_assignment_of_an_earlier_release_is_read_without_a_unit(tmp_path: Path) -> None:
    settings, lake = settings_of(tmp_path), Lake(tmp_path / "lake")
    old = Assignment("ranker-v2", epoch=3, variant="treatment", probability=0.1)
    columns_of_old = {"experiment": "ranker-v2", "epoch": 3, "variant": "treatment"}
    lacking = (*ASSIGNMENT.names[4:], "teams")
    _write_old_day(lake, request(1), lacking, columns_of_old | {"variant_probability": 0.1})
    assert find(request(1).request_id, settings) == request(1, assignment=old)
    assert columns(read_log(lake)) == [NONE | columns_of_old | {"variant_probability": 0.1}]


def _write_old_day(
    lake: Lake, record: Record, lacking: tuple[str, ...], assigned: dict[str, Any] | None = None
) -> None:
    """Write a day of requests with the Arrow schema of a release before."""
    old = pa.schema([field for field in REQUESTS if field.name not in lacking])
    row = {name: getattr(record, name) for name in old.names if hasattr(record, name)} | {
        "occurred_at": datetime.fromtimestamp(record.occurred_at, UTC),
        "context": msgspec.json.encode(record.context).decode(),
        "features": msgspec.json.encode(record.features).decode(),
        "item_ids": [item.item_id for item in record.items],
        "scores": [item.score for item in record.items],
        "propensities": [item.propensity for item in record.items],
        **(assigned or {}),
    }
    path = lake.path("requests", date(2026, 3, 1), part="served-old")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row], schema=old), path)


def _spool_old(folder: Path, record: Record) -> None:
    """Spool a record as the release before encoded it."""
    create(folder / FILE_NAME)
    fields = msgspec.to_builtins(record)
    del fields["assignment"], fields["teams"]
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        connection.execute(
            "INSERT INTO records (kind, key, stored_at, record) VALUES ('request', ?, ?, ?)",
            (record.request_id, NOON, msgspec.msgpack.encode(fields)),
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"probability": 0.0}, "probability is 0.0, must be above 0"),
        ({"probability": -0.5}, "probability is -0.5"),
        ({"probability": math.nextafter(1, 2)}, "at most 1"),
        ({"probability": math.nan}, "probability is nan"),
        ({"epoch": -1}, "epoch is -1, must be 0 to"),
        ({"epoch": MAX_EPOCH + 1}, "epoch is 9223372036854775808"),
        ({"experiment": ""}, "experiment ''"),
        ({"variant": ""}, "variant ''"),
    ],
)
def test_an_assignment_that_can_not_be_logged_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TastemakerError, match=message) as caught:
        Assignment(**VALID | fields)
    assert caught.value.fix


def test_the_greatest_epoch_fits_the_tables(tmp_path: Path) -> None:
    fill(tmp_path, [request(1, assignment=Assignment("e", MAX_EPOCH, "v", 1.0))])
    lake = Lake(tmp_path / "lake")
    drain(tmp_path, lake)
    assert read_log(lake)["epoch"].to_pylist() == [MAX_EPOCH]
