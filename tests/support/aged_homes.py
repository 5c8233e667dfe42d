"""The metadata database of a home of a known age, and what its queries cost in steps of SQLite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, event

from support.dashboard_homes import measurement
from support.operated_homes import DAY, HOUR, drift_column, drift_summary, incident, now, put, trigger
from tastemaker.storage.tables import (
    alert_incidents,
    alert_outbox,
    backtests,
    deployments,
    feature_cutoffs,
    forecasts,
    gate_results,
    ingested_days,
    job_runs,
    measurements,
    promotions,
    report_counts,
    reported_models,
    reports,
    reward_figures,
    skew_checks,
    trainings,
    versions,
)

VERSION_DAYS, VERSIONS = 20, 5
"""Days for which a version is the champion, and the number of versions; the first was it before, too."""
FOREIGN = {"source": "partner", "model": "theirs", "version": "2026-1"}
_OWN = ("ctr_list", "ctr_impression", "reward_per_request", "catalogue_coverage", "dau", "requests")
_BATCH: dict[str, Any] = {"source": "shop", "rows_read": 1_000, "rows_quarantined": {"late": 20}}


def age(engine: Engine, days: range, at: datetime | None = None) -> None:
    """Write what a home leaves on days that ended so many days ago, one row of most tables per day.

    Args:
        engine: The metadata database.
        days: How many days ago; those of the versions' births are in the first range that is written.
        at: The present time; None: now.
    """
    at = at or now()
    whole = {"problem": "shop", "model": "als"}
    ends = [(ago, at - ago * DAY, version_of(ago)) for ago in days]
    born = [
        (version_of(ago), at - ago * DAY)
        for ago in reversed(range(0, VERSIONS * VERSION_DAYS, VERSION_DAYS))
        if ago in days
    ]
    put(engine, backtests, *(_backtest(name, when) for name, when in born))
    put(engine, versions, *(_version(name, when) for name, when in born))
    promotion = {"problem": "shop", "action": "promote", "forced": False, "reason": "better"}
    put(engine, promotions, *(promotion | {"version_id": name, "at": when} for name, when in born))
    put(engine, deployments, *({"model": "als", "version_id": name, "at": when} for name, when in born))
    put(engine, forecasts, *(_forecast(name, when) for name, when in born))
    put(engine, measurements, *_measurements(days))
    put(engine, gate_results, *(_BATCH | {"passed": ago % 9 > 0, "reason": "", "checked_at": when}
                                for ago, when, _ in reversed(ends)))  # fmt: skip
    day_row = _BATCH | {"digest": "0", "rows_accepted": 980}
    put(engine, ingested_days, *(day_row | {"day": when.date(), "ingested_at": when} for _, when, _ in ends))
    put(engine, job_runs, *(
        {"run_id": str(ago), "job_name": "everything", "succeeded": ago % 9 > 0, "ended_at": when}
        for ago, when, _ in ends
    ))  # fmt: skip
    put(engine, feature_cutoffs, *({"cutoff": when, "fingerprint": "0", "made_at": when}
                                   for _, when, _ in reversed(ends)))  # fmt: skip
    put(engine, reports, *(
        {"kind": kind, "problem": "shop", "version_id": version, "path": "x.html", "created_at": when,
         "summary": drift_summary("Nothing changed.", drift_column("user_country", 0.05))}
        for _, when, version in reversed(ends) for kind in ("drift", "ranking")
    ))  # fmt: skip
    put(engine, alert_incidents, *(
        incident(100_000 - ago, when, closed_at=when + HOUR, ending="resolved")
        for ago, when, _ in reversed(ends)
    ))  # fmt: skip
    put(engine, alert_outbox, *(trigger(100_000 - ago, when, 10) for ago, when, _ in reversed(ends)))
    figures = {"users": 90, "requests": 900, "value": 0.3, "low": 0.2, "high": 0.4}
    put(engine, reward_figures, *(
        whole | figures | {"period": "1d", "period_start": when, "period_end": when, "computed_at": when}
        for _, when, _ in reversed(ends)
    ))  # fmt: skip
    check = {"model": "als", "requests": 9, "feature_values": 90, "differing": 0, "summary": {}}
    put(engine, skew_checks, *(
        check | {"version": version, "window_start": when, "window_end": when, "checked_at": when}
        for _, when, version in reversed(ends)
    ))  # fmt: skip
    training = whole | {"reasons": [{"reason": "new_data", "detail": ""}], "outcome": "registered"}
    put(engine, trainings, *(
        training | {"run_id": str(ago), "version_id": version, "started_at": when, "ended_at": when}
        for ago, when, version in ends
    ))  # fmt: skip
    counted = {"source": "partner", "model": "theirs", "kind": "measurements", "accepted": 9, "rejected": 0}
    put(engine, report_counts, *(counted | {"day": when.date()} for _, when, _ in ends))
    if not days.start:
        put(engine, reported_models, {"model": "theirs", "source": "partner", "seen_at": at})


def version_of(days_ago: int) -> str:
    """The version that was champion so many days ago."""
    return f"v{VERSIONS - min(days_ago // VERSION_DAYS, VERSIONS - 1)}"


def _measurements(days: range) -> Iterator[dict[str, Any]]:
    """What is measured of the champion, of all models, and of a foreign model."""
    for ago in days:
        for metric in _OWN:
            for length in (1, 7, 28):
                yield measurement(metric, 0.1, length, ago, version=version_of(ago))
                yield measurement(metric, 0.1, length, ago, model="")
        for metric in ("ctr_list", "x_smiles"):
            yield measurement(metric, 0.1, 1, ago, **FOREIGN)


def _version(name: str, at: datetime) -> dict[str, Any]:
    end = int(at.timestamp())
    manifest = {"window": {"start": 0, "end": end}, "problem_spec": {"metric": "ndcg"}}
    row = {"id": name, "model": "als", "problem": "shop", "content_hash": name, "created_at": at}
    return row | {"manifest": manifest, "backtest_id": name}


def _backtest(name: str, at: datetime) -> dict[str, Any]:
    row = {"id": name, "problem": "shop", "model": "als", "config": {}, "data_hash": name, "users_path": ""}
    times = dict.fromkeys(("train_end", "test_end", "created_at", "listed_at"), at)
    costs = {"users": 90, "train_seconds": 1.0, "score_seconds": 1.0, "artifact_bytes": 9}
    return row | times | costs | {"metrics": {"ndcg": {"value": 0.2, "low": 0.1, "high": 0.3}}}


def _forecast(name: str, at: datetime) -> dict[str, Any]:
    figures = {"value": 0.3, "low": 0.2, "high": 0.4}
    row = {"problem": "shop", "version_id": name, "estimator": "snips", "estimates": {"snips": figures}}
    times = dict.fromkeys(("window_start", "window_end", "created_at"), at)
    return row | times | {"uplift": {}, "diagnostics": {}, "requests": 900}


@contextmanager
def counted_steps(engine: Engine) -> Iterator[Counter[str]]:
    """Count the steps of SQLite's machine by statement, while the context lasts.

    Args:
        engine: A metadata database in SQLite.
    """
    steps: Counter[str] = Counter()

    def begin(_c: Any, cursor: Any, statement: str, *_: Any) -> None:
        def step() -> None:
            steps[statement] += 1

        cursor.connection.set_progress_handler(step, 1)

    event.listen(engine, "before_cursor_execute", begin)
    try:
        yield steps
    finally:
        event.remove(engine, "before_cursor_execute", begin)
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.set_progress_handler(None, 0)
