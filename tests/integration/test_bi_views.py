"""The views for BI tools on SQLite and on Postgres, against rows computed in Python from the tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, Row, insert, inspect, select, text

from support import planted_metadata as planted
from support.planted_metadata import BERLIN, USER, measurement, midnight
from tastemaker.product.definitions import DEFINITIONS
from tastemaker.product.growth_metrics import GROWTH
from tastemaker.product.retention_metrics import RETENTION, WEEKS
from tastemaker.storage import tables
from tastemaker.storage.views import views

SNAPSHOT = Path(__file__).with_name("bi_views.txt")
"""The columns and types that BI tools rely on. Lines are added, at a view's end, and never taken away."""
ZONES = (
    "Pacific/Honolulu",
    "America/St_Johns",
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Pacific/Auckland",
    "Pacific/Chatham",
)
KEY = ("source", "problem", "model", "version", "experiment", "variant")


@pytest.fixture
def filled(engine: Engine) -> Engine:
    planted.plant(engine)
    return engine


def read(engine: Engine, name: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(views.tables[name])).mappings()]


def base(engine: Engine, name: str) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(select(tables.metadata.tables[name])))


def same(found: Iterable[dict[str, Any]], expected: Iterable[dict[str, Any]]) -> None:
    """Assert that both have the same rows, in any order."""
    assert sorted(map(repr, map(sorted_items, found))) == sorted(map(repr, map(sorted_items, expected)))


def sorted_items(row: dict[str, Any]) -> list[tuple[str, Any]]:
    rounded = {name: round(one, 12) if isinstance(one, float) else one for name, one in row.items()}
    return sorted((name, float(one) if type(one) is int else one) for name, one in rounded.items())


def local(at: datetime) -> date:
    return at.astimezone(BERLIN).date()


def test_columns_and_types_are_those_of_the_snapshot(engine: Engine) -> None:
    promised = [line.split(maxsplit=1) for line in SNAPSHOT.read_text().splitlines()]
    if engine.dialect.name == "postgresql":
        query = text(
            "SELECT table_name || '.' || column_name, data_type FROM information_schema.columns "
            "WHERE table_name LIKE 'v1~_%' ESCAPE '~' ORDER BY table_name, ordinal_position"
        )
        with engine.connect() as connection:
            assert [list(row) for row in connection.execute(query)] == promised
    found = [
        f"{name}.{column['name']}"
        for name in sorted(inspect(engine).get_view_names())
        for column in inspect(engine).get_columns(name)
    ]
    assert found == [name for name, _ in promised]


def test_the_described_views_are_those_of_the_database(engine: Engine) -> None:
    found = {
        name: [column["name"] for column in inspect(engine).get_columns(name)]
        for name in inspect(engine).get_view_names()
    }
    assert found == {name: view.columns.keys() for name, view in views.tables.items()}


def test_every_view_has_rows_of_the_described_types(filled: Engine) -> None:
    kinds = {"Date": date, "Boolean": bool, "UtcDateTime": datetime}
    for name, view in views.tables.items():
        rows = read(filled, name)
        assert rows, name
        for column in view.columns:
            expected = kinds.get(type(column.type).__name__)
            found = {type(row[column.name]) for row in rows} - {type(None)}
            assert found, f"{name}.{column.name} is always null"
            assert expected is None or found == {expected}, f"{name}.{column.name}"


def test_no_view_has_a_users_id(filled: Engine) -> None:
    for name in views.tables:
        assert USER not in repr(read(filled, name)), name
    assert not [column for view in views.tables.values() for column in view.c if "user_id" in column.name]


def test_daily(filled: Engine) -> None:
    days: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in base(filled, "measurements"):
        hours = (row.window_end - row.window_start) / timedelta(hours=1)
        if row.metric not in planted.DAILY or row.slice or not 23 <= hours <= 25:
            continue
        key = {name: getattr(row, name) for name in KEY}
        day = days.setdefault((*key.values(), row.window_start), _empty_day(row, key))
        day[row.metric] = row.value
        if f"{row.metric}_low" in day:
            day |= {f"{row.metric}_low": row.low, f"{row.metric}_high": row.high}
        day["is_complete"] &= row.is_complete
        day["computed_at"] = max(day["computed_at"], row.computed_at)
    assert len(days) > 16
    same(read(filled, "v1_daily"), days.values())


def _empty_day(row: Row[Any], key: dict[str, str]) -> dict[str, Any]:
    intervals = ("ctr_impression", "ctr_list", "reward_per_request")
    return {
        **key,
        "day": local(row.window_start),
        "window_start": row.window_start,
        "window_end": row.window_end,
        **dict.fromkeys(planted.DAILY),
        **{f"{name}_{end}": None for name in intervals for end in ("low", "high")},
        "is_complete": True,
        "computed_at": row.computed_at,
    }


def test_growth(filled: Engine) -> None:
    lengths = {name: days for days, names in planted.GROWTH.items() for name in names}
    days: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(dict)
    for row in base(filled, "measurements"):
        last = local(row.window_end - timedelta(seconds=1))
        length = (last - local(row.window_start)).days + 1
        if row.model or row.slice or lengths.get(row.metric) != length:
            continue
        day = days[row.source, row.window_end]
        day |= {"source": row.source, "problem": row.problem, "day": last, row.metric: row.value}
        if f"{row.metric}_low" in views.tables["v1_growth"].c:
            day |= {f"{row.metric}_low": row.low, f"{row.metric}_high": row.high}
        day["is_complete"] = day.get("is_complete", True) and row.is_complete
        day["computed_at"] = max(day.get("computed_at", row.computed_at), row.computed_at)
    assert len(days) == 4
    same(read(filled, "v1_growth"), days.values())


def test_retention(filled: Engine) -> None:
    periods = {
        "retention_day_7": ("day", 7, 7),
        "retention_days_8_14": ("days", 8, 14),
        "retention_unbounded_28": ("unbounded", 28, 55),
    }
    expected = []
    for row in base(filled, "measurements"):
        if row.metric == "retention_week" and row.slice != "week=soon":
            week = int(row.slice.removeprefix("week="))
            kind, first, last = "week", 7 * week, 7 * week + 6
        elif row.metric in periods:
            kind, first, last = periods[row.metric]
        else:
            continue
        named = {name: getattr(row, name) for name in (*KEY, "metric", "window_start", "window_end")}
        figures = {"users": row.n, "share": row.value, "low": row.low, "high": row.high}
        state = {"is_complete": row.is_complete, "computed_at": row.computed_at}
        period = {"kind": kind, "first_day": first, "last_day": last}
        expected.append(named | figures | state | period | {"cohort_start": local(row.window_start)})
    assert len(expected) == 64
    same(read(filled, "v1_retention"), expected)


def test_measurements_and_experiments(filled: Engine) -> None:
    rows = [
        row._asdict()
        | {
            "first_day": local(row.window_start),
            "window_days": (row.window_end - row.window_start) / timedelta(days=1),
        }
        for row in base(filled, "measurements")
        if USER not in row.slice
    ]
    same(read(filled, "v1_measurements"), rows)
    of_experiments = [row for row in rows if row["experiment"]]
    assert len(of_experiments) == 6
    same(read(filled, "v1_experiments"), of_experiments)


def test_offline_figures_are_unpacked(filled: Engine) -> None:
    shared = (
        "problem",
        "model",
        "users",
        "train_start",
        "train_end",
        "test_end",
        "train_seconds",
        "score_seconds",
        "artifact_bytes",
        "created_at",
        "listed_at",
    )
    expected = [
        {"backtest_id": row.id, "metric": metric}
        | {name: getattr(row, name) for name in shared}
        | {name: figures[name] for name in ("value", "low", "high")}
        for row in base(filled, "backtests")
        for metric, figures in row.metrics.items()
    ]
    assert len(expected) == 3
    same(read(filled, "v1_offline"), expected)


def test_versions(filled: Engine) -> None:
    found = {row["version"]: row for row in read(filled, "v1_versions")}
    log = base(filled, "promotions")
    for row in base(filled, "versions"):
        promoted = [one.at for one in log if one.version_id == row.id and one.action != "unfreeze"]
        same(
            [found.pop(row.id)],
            [
                {
                    "problem": row.problem,
                    "model": row.model,
                    "version": row.id,
                    "created_at": row.created_at,
                    "trained_from": datetime.fromtimestamp(row.manifest["window"]["start"], UTC),
                    "trained_until": datetime.fromtimestamp(row.manifest["window"]["end"], UTC),
                    **{f"training_{name}": count for name, count in row.manifest["counts"].items()},
                    "code_version": row.manifest["code_version"],
                    "parent_version": row.manifest["parent"],
                    "backtest_id": row.backtest_id,
                    "is_champion": row.id == log[-1].version_id,
                    "promoted_at": max(promoted, default=None),
                    "promotions": len(promoted),
                }
            ],
        )
    assert not found


def test_models(filled: Engine) -> None:
    measured = base(filled, "measurements")
    versions = base(filled, "versions")
    expected = []
    for source, model in (
        ("tastemaker", "ease"),
        ("tastemaker", "ials"),
        ("tastemaker", "never_trained"),
        ("partner", "their model"),
    ):
        made = [(row.created_at, row.id) for row in versions if row.model == model]
        own = [row for row in measured if row.source == source and row.model == model]
        if source != "tastemaker":
            made = [(min(row.window_start for row in own), "2026-1")]
        expected.append(
            {
                "source": source,
                "problem": "shop",
                "model": model,
                "is_foreign": source != "tastemaker",
                "versions": len(made),
                "newest_version_at": max(made, default=(None, None))[0],
                "newest_version": max(made, default=(None, None))[1],
                "champion_version": "v1" if model == "ease" else None,
                "measured_until": max((row.window_end for row in own), default=None),
                "measured_at": max((row.computed_at for row in own), default=None),
            }
        )
    same(read(filled, "v1_models"), expected)


def test_drift_reads_reports_of_its_form_only(filled: Engine) -> None:
    names = {"column": "column_name", "alarm": "is_alarm"}
    models = {row.id: row.model for row in base(filled, "versions")}
    expected = [
        {names.get(name, name): one for name, one in column.items() if name != "sentence"}
        | {"report_id": row.id, "model": models[row.version_id], "version": row.version_id}
        | {name: getattr(row, name) for name in ("problem", "window_start", "window_end", "created_at")}
        for row in base(filled, "reports")
        if row.kind == "drift" and isinstance(row.summary.get("columns"), list)
        for column in row.summary["columns"]
    ]
    assert len(expected) == 2
    same(read(filled, "v1_drift"), expected)


def test_the_views_read_the_metrics_as_they_are_defined(filled: Engine) -> None:
    """A metric that is renamed, or gets a window of another length, would leave a column empty."""
    daily = [column.name for column in views.tables["v1_daily"].columns if column.name in DEFINITIONS]
    assert set(daily) == set(planted.DAILY)
    lengths = {one.name: one.days for one in GROWTH}
    assert lengths == {name: days for days, names in planted.GROWTH.items() for name in names}
    spans = {(one.name, one.first, one.last) for one in RETENTION if not one.slice}
    with filled.begin() as connection:
        rows = [
            measurement(one.name, date(2026, 1, 5), 7, problem="defined")
            for one in RETENTION
            if not one.slice
        ]
        connection.execute(insert(tables.measurements), rows)
    found = [row for row in read(filled, "v1_retention") if row["problem"] == "defined"]
    assert {(row["metric"], str(row["first_day"]), str(row["last_day"])) for row in found} == spans
    weeks = [row["first_day"] for row in read(filled, "v1_retention") if row["kind"] == "week"]
    assert sorted(set(weeks)) == [7 * week for week in range(WEEKS)]


def test_alerts_and_jobs(filled: Engine) -> None:
    same(read(filled, "v1_jobs"), [row._asdict() for row in base(filled, "job_runs")])
    shared = (
        "rule",
        "severity",
        "cause",
        "opened_at",
        "closed_at",
        "acknowledged_at",
        "value",
        "summary",
        "condition",
        "ending",
        "reminders",
    )
    expected = [
        {name: getattr(row, name) for name in shared}
        | {"incident": row.id, "evaluated_by": row.source, "is_open": row.closed_at is None}
        | {"model": row.labels.get("model"), "version": row.labels.get("version")}
        | {
            "seconds_open": _seconds(row.opened_at, row.closed_at),
            "seconds_to_acknowledge": _seconds(row.opened_at, row.acknowledged_at),
        }
        for row in base(filled, "alert_incidents")
    ]
    same(read(filled, "v1_alerts"), expected)


def _seconds(start: datetime, end: datetime | None) -> int | None:
    """Return the difference of whole seconds."""
    return None if end is None else int(end.timestamp()) - int(start.timestamp())


def test_a_day_has_its_date_in_the_time_zones_of_shops(engine: Engine) -> None:
    """Every day of a year, with those that have 23 and 25 hours."""
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    with engine.begin() as connection:
        connection.execute(
            insert(tables.measurements),
            [
                measurement(
                    "dau",
                    day,
                    problem=name,
                    model="",
                    version="",
                    window_start=midnight(day, ZoneInfo(name)),
                    window_end=midnight(day + timedelta(days=1), ZoneInfo(name)),
                )
                for name in ZONES
                for day in days
            ],
        )
    for row in read(engine, "v1_measurements"):
        assert row["first_day"] == row["window_start"].astimezone(ZoneInfo(row["problem"])).date()
    for name in ZONES:
        assert [row["day"] for row in read(engine, "v1_growth") if row["problem"] == name] == days
