"""A shop in whose dashboard every number is known: two versions of a champion, a baseline, and a bad day.

The second version of `ranker` is the champion since ten days. On the newest day, many of its lists came from
the fallback, and fewer lists were clicked than a week earlier; an alert about it is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert

from support import request_logs
from support.dashboard_homes import DAY, midnight
from tastemaker.event_log.records import Record
from tastemaker.storage import tables

CHAMPION = "20261118T031500-5c1e7f0a9b3de828"
BEFORE = "20261020T031200-0d4b6a2c8e117a31"
BASELINE = "20261018T030000-77aa12bc90de4410"
MODELS = {CHAMPION: "ranker", BEFORE: "ranker", BASELINE: "popularity"}
DEPLOYED_DAYS_AGO = 10
TRUTH = {
    "model_answer_share": ("share", {CHAMPION: 0.998, BEFORE: 0.997, BASELINE: 1.0}),
    "ctr_list": ("share", {CHAMPION: 0.118, BEFORE: 0.109, BASELINE: 0.071}),
    "ctr_impression": ("share", {CHAMPION: 0.0224, BEFORE: 0.0207, BASELINE: 0.0131}),
    "reward_per_request": ("GBP", {CHAMPION: 0.412, BEFORE: 0.383, BASELINE: 0.251}),
    "catalogue_coverage": ("share", {CHAMPION: 0.63, BEFORE: 0.58, BASELINE: 0.04}),
    "top_1_percent_share": ("share", {CHAMPION: 0.21, BEFORE: 0.24, BASELINE: 0.83}),
    "new_item_share": ("share", {CHAMPION: 0.09, BEFORE: 0.08, BASELINE: 0.01}),
}
"""Metric -> its unit, and its usual figure by version."""
BAD_DAY = {"model_answer_share": 0.861, "ctr_list": 0.094}
"""The champion's figures on the newest day."""
LOST_DAYS = (16, 17)
"""So many days ago, the job that computes figures did not run: there are none."""
WAVE = (0.0, 0.01, 0.02, 0.015, -0.01, -0.03, -0.02)
"""Relative difference from the usual figure, by weekday."""


def fill(engine: Engine, now: datetime) -> None:
    """Write everything that the dashboard shows, as of a time."""
    with engine.begin() as connection:
        connection.execute(insert(tables.versions), [_version(name, now) for name in MODELS])
        connection.execute(insert(tables.promotions), _promotions(now))
        connection.execute(insert(tables.measurements), list(measured(now)))
        connection.execute(insert(tables.stalenesses), _staleness(now))
        connection.execute(insert(tables.forecasts), _forecast(now))
        connection.execute(insert(tables.ingested_days), _ingested(now))
        connection.execute(insert(tables.job_runs), _jobs(now))
        connection.execute(insert(tables.alert_incidents), _incident(now))


def beat_the_champion(engine: Engine, now: datetime) -> None:
    """Write a comparison in which the champion's recipe is worse than the baseline."""
    backtest = {
        "id": "of the champion", "problem": "shop", "model": "ranker", "config": {"trees": 20},
        "data_hash": "d", "train_end": now - 20 * DAY, "test_end": now - 13 * DAY, "metrics": {},
        "users_path": "", "users": 500, "train_seconds": 1.0, "score_seconds": 1.0, "artifact_bytes": 1,
        "created_at": now,
    }  # fmt: skip
    comparison = {
        "problem": "shop", "backtest_id": "of the champion", "baseline": "popularity", "metric": "ndcg",
        "difference": -0.0213, "low": -0.0301, "high": -0.0125, "n": 500, "p": 0.0004, "verdict": "worse",
        "compared_at": now,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(tables.backtests).values(backtest))
        connection.execute(insert(tables.baseline_comparisons).values(comparison))


def answers(now: datetime) -> list[Record]:
    """Return the champion's newest requests, of which each second list came from the fallback."""
    return [
        request_logs.request(
            number, model="ranker", version=CHAMPION, occurred_at=now.timestamp() - 60 * number,
            fallback="model_timeout" if number % 2 else None, stage="popular" if number % 2 else "model",
        )
        for number in range(6)
    ]  # fmt: skip


def measured(now: datetime) -> Iterator[dict[str, Any]]:
    """Yield the measurements of each version: by day, and over 7, 28 and 90 days."""
    for metric, (unit, usual) in TRUTH.items():
        for version, value in usual.items():
            first, last = served(version)
            for ago in range(first, last - 1, -1):
                if ago not in LOST_DAYS:
                    yield _row(metric, unit, version, now, by_day(metric, version, ago, now), 1, ago)
            for days in (7, 28, 90):
                if last < days:
                    yield _row(metric, unit, version, now, value, days, 0)
    for version in (CHAMPION, BASELINE):
        yield _row("requests", "requests", version, now, 9_000 if version == CHAMPION else 1_000, 1, 0)


def served(version: str) -> tuple[int, int]:
    """Return the first and the last day on which a version answered, as days ago."""
    return {
        CHAMPION: (DEPLOYED_DAYS_AGO, 0), BEFORE: (38, DEPLOYED_DAYS_AGO + 1), BASELINE: (38, 0),
    }[version]  # fmt: skip


def by_day(metric: str, version: str, ago: int, now: datetime) -> float:
    """Return a metric's figure on a day; 0 days ago is yesterday."""
    if version == CHAMPION and ago == 0 and metric in BAD_DAY:
        return BAD_DAY[metric]
    weekday = (now - (ago + 1) * DAY).weekday()
    wave = 0.001 if metric == "model_answer_share" else 1.0
    return min(1.0, TRUTH[metric][1][version] * (1 + wave * WAVE[weekday]))


def _row(
    metric: str, unit: str, version: str, now: datetime, value: float, days: int, ago: int
) -> dict[str, Any]:
    end = midnight(ago, now)
    width = {"ctr_list": 0.005, "ctr_impression": 0.001, "reward_per_request": 0.03}.get(metric)
    width = width and width * (1 if days == 1 else 0.4)
    return {
        **dict.fromkeys(("experiment", "variant", "slice"), ""),
        "source": tables.OWN_SOURCE, "problem": "shop", "model": MODELS[version], "version": version,
        "metric": metric, "window_start": end - days * DAY, "window_end": end, "unit": unit, "value": value,
        "low": width and value - width, "high": width and value + width,
        "n": (6_200 if version == CHAMPION else 900) * (1 if days == 1 else 3), "is_complete": True,
        "computed_at": end + timedelta(hours=3),
    }  # fmt: skip


def _version(version: str, now: datetime) -> dict[str, Any]:
    made = datetime.strptime(version[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    window = {
        "start": int((made - 90 * DAY).timestamp()),
        "end": int((made - timedelta(hours=3)).timestamp()),
    }
    manifest = {"model": MODELS[version], "config": {"trees": 20}, "window": window}
    manifest["problem_spec"] = {"metric": "ndcg"}
    return {
        "id": version, "model": MODELS[version], "problem": "shop", "content_hash": version,
        "manifest": manifest, "backtest_id": None, "created_at": made,
    }  # fmt: skip


def _promotions(now: datetime) -> list[dict[str, Any]]:
    reason = "ndcg 0.128 against 0.119: +0.009 (0.004 to 0.014)"
    ago = {BEFORE: 38, CHAMPION: DEPLOYED_DAYS_AGO + 1}
    return [
        {
            "problem": "shop", "version_id": version, "action": "promote", "forced": False, "reason": reason,
            "at": midnight(days, now) + timedelta(hours=4),
        }
        for version, days in ago.items()
    ]  # fmt: skip


def _staleness(now: datetime) -> dict[str, Any]:
    return {
        "problem": "shop", "model": "ranker", "config": {}, "data_hash": "d", "metric": "ndcg",
        "trained_until": now - 60 * DAY, "fresh": {"value": 0.128, "low": 0.12, "high": 0.136},
        "loss_per_week": {"value": 0.0019, "low": 0.0011, "high": 0.0027}, "weeks": [],
        "created_at": now - 20 * DAY,
    }  # fmt: skip


def _forecast(now: datetime) -> dict[str, Any]:
    return {
        "problem": "shop", "version_id": CHAMPION, "against_id": None, "estimator": "snips",
        "estimates": {"snips": {"value": 0.401, "low": 0.371, "high": 0.433, "n": 9_000, "varied": 800}},
        "uplift": {"difference": 0.02, "low": -0.01, "high": 0.05, "n": 9_000}, "diagnostics": {},
        "requests": 9_000, "window_start": now - 30 * DAY, "window_end": now - 12 * DAY,
        "created_at": now - 12 * DAY,
    }  # fmt: skip


def _ingested(now: datetime) -> dict[str, Any]:
    return {
        "source": "shop", "day": (now - DAY).date(), "digest": "d", "rows_read": 48_210,
        "rows_accepted": 48_193, "rows_quarantined": {"unknown item": 17},
        "ingested_at": midnight(0, now) + timedelta(hours=2),
    }  # fmt: skip


def _jobs(now: datetime) -> list[dict[str, Any]]:
    ends = {"everything": True, "refresh_features": True, "drift": True}
    return [
        {
            "run_id": name, "job_name": name, "succeeded": succeeded,
            "ended_at": midnight(0, now) + timedelta(hours=3, minutes=10),
        }
        for name, succeeded in ends.items()
    ]  # fmt: skip


def _incident(now: datetime) -> dict[str, Any]:
    return {
        "uid": "1", "key": "tastemaker/fallback_share/ranker", "rule": "fallback_share",
        "labels": {"model": "ranker"}, "severity": "page", "cause": "fallback", "source": "watch",
        "opened_at": now - timedelta(hours=5), "value": 0.139,
        "summary": "13.9 % of ranker's lists come from the fallback",
        "condition": "more than 5 % of the lists of 10 minutes come from the fallback",
        "notified": ["team"], "notified_at": now - timedelta(hours=5), "reminders": 0,
    }  # fmt: skip
