"""Rows of tables and files are taken over once each, and refused ones are kept with their reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Table, func, insert, select, text

from support.reporting_homes import MIDNIGHT, NEXT, event, health, measurement, shown
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain, read_feedback, read_log
from tastemaker.report_in import files, takeover
from tastemaker.report_in.intake import Intake
from tastemaker.report_in.takeover import take_over
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import (
    in_feedback,
    in_measurements,
    in_rejected,
    in_requests,
    measurements,
    report_counts,
    reported_health,
    reported_models,
)


class Home:
    """A home folder into whose tables and folders others write."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder, problem=folder / "problem.yaml")
        self.engine = open_engine(self.settings.metadata_url)

    def insert(self, table: Table, *rows: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            for row in rows:
                connection.execute(insert(table).values(source="bi", **row))

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(select(table))]

    def take(self) -> tuple[int, int, int]:
        return take_over(self.settings, self.engine)

    def file(self, name: str, rows: list[Any], source: str = "bi") -> Path:
        path = self.settings.report_in / source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def lake(self) -> Lake:
        lake = Lake(self.settings.lake)
        drain(self.settings.spool, lake)
        return lake


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    made.engine.dispose()


def as_text(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: json.dumps(row[name]) for name in ("item_ids", "scores") if name in row}


def test_inserted_rows_become_figures_lists_and_events(home: Home) -> None:
    home.insert(
        in_measurements, measurement(window_start=MIDNIGHT.replace("T", " ").replace(":00+00:00", "+00"))
    )
    home.insert(in_requests, as_text(shown(scores=[3, 2, 1])))
    home.insert(in_feedback, event())
    assert home.take() == (3, 0, 0)
    [figure] = home.rows(measurements)
    assert (figure["source"], figure["value"], figure["window_start"].isoformat()) == ("bi", 0.1, MIDNIGHT)
    lake = home.lake()
    [asked], [click] = read_log(lake).to_pylist(), read_feedback(lake).to_pylist()
    assert (asked["request_id"], asked["item_ids"], asked["scores"]) == ("bi/r0", ["a", "b", "c"], [3, 2, 1])
    assert click["request_id"] == "bi/r0"
    assert all(not home.rows(table) for table in (in_measurements, in_requests, in_feedback, in_rejected))
    assert home.take() == (0, 0, 0)


def test_wrong_rows_are_kept_with_the_reason_and_their_number(home: Home) -> None:
    home.insert(in_measurements, measurement(), measurement(low=0.5), {})
    home.insert(in_requests, shown(item_ids="[half"))
    home.insert(in_feedback, event(user_id="a\0b"))
    assert home.take() == (1, 4, 0)
    found = {(one["kind"], one["number"]): one["reason"] for one in home.rows(in_rejected)}
    assert found.keys() == {("measurements", 2), ("measurements", 3), ("impressions", 1), ("feedback", 1)}
    assert "must be at most the value" in found["measurements", 2]
    assert "Expected `array`" in found["impressions", 1]
    assert "NUL" in found["feedback", 1]
    assert all(not home.rows(table) for table in (in_measurements, in_requests, in_feedback))


def test_values_that_sqlite_stores_in_any_column_are_refused(home: Home) -> None:
    with home.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO in_feedback (event_id, item_id, event_type, user_id, occurred_at, value) VALUES"
                " ('a', x'00ff', 'click', 'u', :at, 1), ('b', 'i', 'click', 'u', :at, 'many'),"
                " ('c', 'i', 'click', 'u', 'yesterday', 1), ('d', 'i', 'click', 'u', :at, 1)"
            ),
            {"at": NEXT},
        )  # fmt: skip
    assert home.take() == (1, 3, 0)
    assert [one["field"] for one in home.rows(in_rejected)] == ["item_id", "value", "occurred_at"]
    assert {one["source"] for one in home.rows(in_rejected)} == {"sql"}


@pytest.mark.parametrize("source", ["tastemaker", "", "a\nb"])
def test_rows_of_no_allowed_source_are_refused(home: Home, source: str) -> None:
    with home.engine.begin() as connection:
        connection.execute(insert(in_measurements).values(measurement(source=source)))
        connection.execute(insert(in_feedback).values(event(source=source)))
    assert home.take() == (0, 2, 0)
    assert home.rows(measurements) == []
    assert all(one["field"] == "source" for one in home.rows(in_rejected))


def test_a_takeover_that_dies_loses_and_doubles_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "BATCH_ROWS", 10)
    home.insert(in_measurements, *(measurement(version=str(n), low=n // 20) for n in range(25)))
    home.insert(in_requests, *(as_text(shown(n)) for n in range(25)))
    deaths = iter(range(100))
    delete = takeover._delete

    def dying(*args: Any, **more: Any) -> None:
        delete(*args, **more)
        if next(deaths) % 2 == 0:
            raise RuntimeError("killed")

    monkeypatch.setattr(takeover, "_delete", dying)
    while home.rows(in_measurements) or home.rows(in_requests):
        with suppress(RuntimeError):
            home.take()
    assert next(deaths) > 5
    counted = {one["kind"]: (one["accepted"], one["rejected"]) for one in totals(home)}
    assert len(home.rows(measurements)) + len(home.rows(in_rejected)) == 25
    assert len(read_log(home.lake())) == 25
    assert counted == {"measurements": (20, 5), "impressions": (25, 0)}


def totals(home: Home) -> list[dict[str, Any]]:
    columns = report_counts.c
    sums = [func.sum(column).label(column.name) for column in (columns.accepted, columns.rejected)]
    query = select(columns.kind, *sums).group_by(columns.kind)
    with home.engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def test_files_are_taken_over_and_moved(home: Home) -> None:
    home.file("measurements-1.ndjson", [measurement(), measurement(value="x")])
    home.file("impressions.parquet", [shown(occurred_at=datetime.fromisoformat(NEXT))])
    home.file("feedback-2026-11.jsonl", [event()], source="other")
    home.file("health.ndjson", [health()])
    assert home.take() == (4, 1, 4)
    assert home.take() == (0, 0, 0)
    left = sorted(
        str(path.relative_to(home.settings.report_in)) for path in home.settings.report_in.glob("*/*/*")
    )
    assert left == [
        "bi/done/health.ndjson", "bi/done/impressions.parquet", "bi/done/measurements-1.ndjson",
        "other/done/feedback-2026-11.jsonl",
    ]  # fmt: skip
    [refused] = home.rows(in_rejected)
    assert (refused["origin"], refused["number"], refused["source"]) == ("measurements-1.ndjson", 1, "bi")
    assert [one["model"] for one in home.rows(reported_models)] == ["shop_search"]


@pytest.mark.parametrize(
    "name", ["measurements.ndjson.tmp", ".measurements.ndjson", "notes.txt", "xmeasurements.ndjson"]
)
def test_files_with_other_names_are_left(home: Home, name: str) -> None:
    path = home.file(name, [measurement()])
    assert home.take() == (0, 0, 0)
    assert path.exists()


def test_half_a_parquet_file_is_refused_as_a_whole(home: Home) -> None:
    path = home.file("measurements.parquet", [measurement()])
    path.write_bytes(path.read_bytes()[:-20])
    assert home.take() == (0, 1, 1)
    assert (path.parent / "refused" / path.name).exists()
    [refused] = home.rows(in_rejected)
    assert "can't be read" in refused["content"]


def test_a_file_that_comes_twice_is_read_once(home: Home) -> None:
    for name in ("measurements-1.ndjson", "measurements-1.ndjson", "measurements-2.ndjson"):
        home.file(name, [measurement(low=0.5)])
        home.take()
    assert len(home.rows(in_rejected)) == 1


def test_a_takeover_of_a_file_that_dies_is_continued(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BATCH_ROWS", 10)
    home.file("measurements.ndjson", [measurement(version=str(n), low=n // 20) for n in range(25)])
    take, deaths = Intake.take, iter(range(100))

    def dying(*args: Any, **more: Any) -> Any:
        result = take(*args, **more)
        if next(deaths) < 2:
            raise RuntimeError("killed")
        return result

    monkeypatch.setattr(Intake, "take", dying)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            home.take()
    assert home.take()[:2] == (0, 5)
    assert totals(home) == [{"kind": "measurements", "accepted": 20, "rejected": 5}]


def test_what_is_too_old_is_deleted(home: Home) -> None:
    home.insert(in_measurements, {})
    home.file("health.ndjson", [health()])
    home.take()
    with home.engine.begin() as connection:
        takeover.forget_old(connection, datetime.now(UTC) + timedelta(days=8))
    assert (len(home.rows(in_rejected)), len(home.rows(reported_health))) == (1, 0)
    with home.engine.begin() as connection:
        takeover.forget_old(connection, datetime.now(UTC) + timedelta(days=31))
    assert home.rows(in_rejected) == []
    assert len(home.rows(report_counts)) == 2
    [model] = home.rows(reported_models)
    assert model["answers"] == 100
