"""A metadata database with known rows, and a user's id wherever one could be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import product
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Table, insert

from tastemaker.storage import tables

USER = "user-who-must-not-be-seen"
BERLIN = ZoneInfo("Europe/Berlin")
SPRING = date(2026, 3, 29)
"""A day of 23 hours in Berlin."""
DAILY = (
    "users",
    "requests",
    "impressions",
    "ctr_impression",
    "ctr_list",
    "reward_per_request",
    "model_answer_share",
    "fallback_share",
    "empty_share",
    "p99_ms",
    "lists_per_user_day",
)
GROWTH = {
    1: ("dau",),
    7: ("wau",),
    28: (
        "mau",
        "stickiness",
        "new_users_28",
        "retained_users_28",
        "resurrected_users_28",
        "lost_users_28",
        "churn_28",
        "resurrection_28",
        "days_between_visits",
    ),
}
RETENTION = (
    ("retention_day_7", ""),
    ("retention_days_8_14", ""),
    ("retention_unbounded_28", ""),
    *(("retention_week", f"week={week}") for week in range(13)),
)
Row = dict[str, Any]


def midnight(day: date, zone: ZoneInfo = BERLIN) -> datetime:
    """Return the start of a day in a zone, in UTC."""
    return datetime.combine(day, datetime.min.time(), zone).astimezone(UTC)


def measurement(metric: str, first: date, days: int = 1, **changed: Any) -> Row:
    """Return a row of `measurements` over whole days in Berlin; its figures follow from its other columns."""
    row = {
        "source": tables.OWN_SOURCE,
        "problem": "shop",
        "model": "ease",
        "version": "v1",
        "experiment": "",
        "variant": "",
        "slice": "",
        "metric": metric,
        "window_start": midnight(first),
        "window_end": midnight(first + timedelta(days=days)),
        "unit": "share",
        **changed,
    }
    drawn = Random(repr(sorted(row.items())))
    value = None if drawn.random() < 0.1 else drawn.random()
    interval = (None, None) if value is None or drawn.random() < 0.2 else (value / 2, value * 2)
    figures = {
        "value": value,
        "low": interval[0],
        "high": interval[1],
        "n": drawn.choice([None, 29, 400]),
        "is_complete": drawn.random() < 0.8,
        "computed_at": datetime(2026, 4, 10, 5, drawn.randrange(60), 7, 123456, UTC),
    }
    return row | figures | changed


def measurements() -> list[Row]:
    """Return measurements of two models of ours, the whole shop, an experiment and a foreign model."""
    days = [SPRING + timedelta(days=offset) for offset in (-1, 0, 1, 2)]
    served = [("ease", "v1"), ("ease", ""), ("ials", "v2"), ("", "")]
    rows = [
        measurement(metric, day, model=model, version=version)
        for metric, day, (model, version) in product(DAILY, days, served)
    ]
    rows += [
        measurement(metric, SPRING, experiment="e1", variant=variant)
        for metric, variant in product(("users", "ctr_list", "x_smiles"), ("a", "b"))
    ]
    foreign: Row = {"source": "partner", "model": "their model", "version": "2026-1"}
    rows += [measurement(metric, SPRING, **foreign) for metric in ("requests", "ctr_list", "x_smiles")]
    hour: Row = {"window_start": midnight(SPRING), "window_end": midnight(SPRING) + timedelta(hours=1)}
    rows += [measurement("requests", SPRING, **(foreign | hour))]
    rows += [measurement("ctr_by_position", SPRING, slice=f"position={place}") for place in (1, 2, 10)]
    whole: Row = {"model": "", "version": ""}
    for width, names in GROWTH.items():
        rows += [
            measurement(name, day - timedelta(days=width - 1), width, **whole)
            for name, day in product(names, days)
        ]
    rows += [measurement("dau", SPRING - timedelta(days=27), 28, **whole)]
    rows += [
        measurement(metric, SPRING - timedelta(days=weeks * 7), 7, slice=part, **of)
        for (metric, part), weeks, of in product(RETENTION, (1, 2), (whole, {}))
    ]
    rows += [measurement("retention_week", SPRING, 7, slice="week=soon", **whole)]
    return [*rows, measurement("ctr_list", SPRING, slice=f"user_id={USER}", experiment="e1")]


def other_rows() -> Iterator[tuple[Table, list[Row]]]:
    """Yield rows of the other tables that views read, and of those that hold ids of users."""
    at = [datetime(2026, 4, 1, 3, 4, 5, 678901 * (n % 2), UTC) + timedelta(days=n) for n in range(9)]
    metrics: Row = {
        "ndcg": {"value": 0.25, "low": 0.2, "high": 0.3},
        "recall": {"value": 0.5, "low": None, "high": None, "users": 12, "varied": 3},
    }
    backtest: Row = {
        "problem": "shop",
        "config": {},
        "data_hash": "d",
        "train_start": None,
        "train_end": at[0],
        "test_end": at[1],
        "users_path": USER,
        "users": 400,
        "train_seconds": 1.5,
        "score_seconds": 0.25,
        "artifact_bytes": 10_000_000_000,
        "created_at": at[2],
        "listed_at": None,
    }
    yield (
        tables.backtests,
        [
            backtest | {"id": "b1", "model": "ease", "metrics": metrics},
            backtest | {"id": "b3", "model": "ials", "metrics": {}},
            backtest
            | {"id": "b2", "model": "never_trained", "metrics": {"ndcg": metrics["ndcg"]}}
            | {"train_start": at[0], "listed_at": at[3]},
        ],
    )
    manifest = {
        "window": {"start": 1_760_000_000, "end": 1_770_000_000},
        "counts": {"events": 5_000, "users": 300, "items": 40},
        "code_version": "abc",
        "parent": "v0",
    }
    version = {"problem": "shop", "content_hash": "h", "manifest": manifest, "backtest_id": None}
    yield (
        tables.versions,
        [
            version | {"id": "v1", "model": "ease", "created_at": at[3], "backtest_id": "b1"},
            version
            | {"id": "v2", "model": "ials", "created_at": at[4], "manifest": manifest | {"parent": None}},
            version | {"id": "v3", "model": "ials", "created_at": at[4]},
        ],
    )
    promotion = {"problem": "shop", "forced": False, "reason": f"asked for by {USER}"}
    yield (
        tables.promotions,
        [
            promotion | {"version_id": "v1", "action": "promote", "at": at[4]},
            promotion | {"version_id": "v2", "action": "promote", "at": at[5]},
            promotion | {"version_id": "v1", "action": "rollback", "at": at[6]},
            promotion | {"version_id": "v1", "action": "unfreeze", "at": at[7]},
        ],
    )
    column = {
        "side": "lists",
        "column": "item_price",
        "distance": 0.4,
        "threshold": None,
        "relative_change": -0.25,
        "n": 100,
        "n_reference": 5_000,
        "direction": "lower",
        "alarm": False,
        "sentence": f"the share of {USER!r} fell",
    }
    report = {
        "problem": "shop",
        "path": "x.html",
        "window_start": at[0],
        "window_end": at[1],
        "created_at": at[2],
    }
    columns = [column, column | {"side": "users", "threshold": 0.125, "alarm": True, "relative_change": None}]
    yield (
        tables.reports,
        [
            report | {"kind": "drift", "version_id": "v1", "summary": {"columns": columns}},
            report | {"kind": "drift", "version_id": "v2", "summary": {"columns": {"old": "form"}}},
            report | {"kind": "drift", "version_id": None, "summary": {"note": "no columns"}},
            report | {"kind": "another", "version_id": "v1", "summary": {"columns": columns}},
        ],
    )
    incident = {
        "severity": "page",
        "cause": "model",
        "source": "watch",
        "opened_at": at[1],
        "value": 0.5,
        "summary": "half of the lists are empty",
        "condition": "more than a tenth of the lists is empty",
        "notified": ["team"],
        "reminders": 2,
        "acknowledged_by": USER,
    }
    closed = {"closed_at": at[2], "acknowledged_at": at[1] + timedelta(seconds=90.25), "ending": "resolved"}
    yield (
        tables.alert_incidents,
        [
            incident
            | {"uid": "1", "key": USER, "rule": "empty_lists", "labels": {"model": "ease", "version": "v1"}},
            incident | {"uid": "2", "key": "k2", "rule": "job_late", "labels": {}} | closed,
        ],
    )
    yield (
        tables.job_runs,
        [
            {"run_id": "r1", "job_name": "everything", "succeeded": True, "ended_at": at[3]},
            {"run_id": "r2", "job_name": "skew", "succeeded": False, "ended_at": at[4]},
        ],
    )
    yield (
        tables.log_records,
        [{"kind": "request", "key": "q1", "user_id": USER, "at": at[0], "record": {"user_id": USER}}],
    )


def plant(engine: Engine) -> None:
    """Write all rows."""
    with engine.begin() as connection:
        connection.execute(insert(tables.measurements), measurements())
        for table, rows in other_rows():
            for row in rows:
                connection.execute(insert(table).values(row))
