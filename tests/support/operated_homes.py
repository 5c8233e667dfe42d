"""What operates a home leaves in its database: alerts, reports, gate results, days and jobs, all known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from tastemaker.monitoring.report_archive import PAGE, ReportArchive, ReportSubject
from tastemaker.settings import Settings
from tastemaker.storage.tables import (
    alert_incidents,
    alert_outbox,
    alert_silences,
    dependency_changes,
    feature_cutoffs,
    gate_results,
    ingested_days,
    job_runs,
    promotions,
    queue_lengths,
    versions,
    watch_beats,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
VERSION = "20261128T030000-abcd"


def now() -> datetime:
    """The present time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def put(engine: Engine, table: Any, *rows: dict[str, Any]) -> None:
    """Insert rows."""
    with engine.begin() as connection:
        connection.execute(insert(table), list(rows))


def incident(number: int, fired: datetime, text: str = "Lists fail.", **more: Any) -> dict[str, Any]:
    """A row of `alert_incidents`: an open page of the rule fallback_share."""
    return {
        "id": number,
        "uid": f"uid-{number}",
        "key": f"key-{number}",
        "rule": "fallback_share",
        "labels": {"model": "ranker"},
        "severity": "page",
        "cause": "answers",
        "source": "watch",
        "opened_at": fired,
        "closed_at": None,
        "ending": None,
        "value": 0.2,
        "summary": text,
        "condition": "more than 5 % of the lists are not the model's",
        "acknowledged_at": None,
        "acknowledged_by": None,
        "notified": ["pager"],
        "notified_at": fired,
        "reminders": 0,
        **more,
    }


def trigger(number: int, fired: datetime, seconds: float, **more: Any) -> dict[str, Any]:
    """A row of `alert_outbox`: a trigger that was sent after so many seconds."""
    sent = fired + timedelta(seconds=seconds)
    return {
        "incident_id": number,
        "channel": "pager",
        "event": "trigger",
        "n": 0,
        "key": f"key-{number}",
        "delivery_id": f"delivery-{number}",
        "payload": None,
        "created_at": fired,
        "due_at": fired,
        "tries": 1,
        "claimed_until": None,
        "finished_at": sent,
        "outcome": "sent",
        "detail": None,
        **more,
    }


def plant_alerts(engine: Engine, text: str = "plain") -> None:
    """Two pages that are over (one acknowledged), an open page and an open ticket, a silence, and a beat.

    From firing to a message: 10 s and 30 s. MTTA 2 min; MTTR 10 and 30 min.
    """
    at = now()
    first, second = at - 3 * DAY, at - 9 * DAY
    over = {"ending": text, "closed_at": first + 10 * MINUTE}
    put(
        engine,
        alert_incidents,
        incident(1, first, text, acknowledged_at=first + 2 * MINUTE, acknowledged_by=text, **over),
        incident(2, second, text, closed_at=second + 30 * MINUTE, ending=text),
        incident(3, at - HOUR, text, labels={"model": text}, condition=text),
        incident(4, at - 2 * DAY, text, rule=text, severity="ticket"),
    )
    put(engine, alert_outbox, trigger(1, first, 10), trigger(2, second, 30))
    silence = {"starts_at": at - HOUR, "ends_at": at + HOUR, "created_by": text, "reason": text}
    put(engine, alert_silences, {"id": 7, "matchers": {"rule": text}, **silence})
    beat = {"watcher": text, "role": "evaluates", "started_at": at - DAY, "beat_at": at, "evaluated_at": at}
    put(engine, watch_beats, beat)


def plant_version(engine: Engine, version: str = VERSION, model: str = "ranker") -> None:
    """A version that knows the events until two days ago, and is champion."""
    at = now()
    end = int((at - 2 * DAY).timestamp())
    row = {
        "id": version,
        "model": model,
        "problem": "shop",
        "content_hash": "0" * 64,
        "manifest": {"window": {"start": 0, "end": end}},
        "backtest_id": None,
        "created_at": at - DAY,
    }
    put(engine, versions, row)
    champion = {"problem": "shop", "version_id": version, "action": "promote", "forced": False, "reason": ""}
    put(engine, promotions, {**champion, "at": at - DAY})


def drift_column(column: str, distance: float, threshold: float | None = 0.2, **more: Any) -> dict[str, Any]:
    """A compared column of a drift report."""
    alarm = threshold is not None and distance > threshold
    return {
        "side": "users",
        "column": column,
        "distance": distance,
        "threshold": threshold,
        "alarm": alarm,
        "direction": "higher",
        "relative_change": 0.5,
        "usual_change": 0.1,
        "sentence": f"{column}: 50% higher",
        "n": 500,
        "n_reference": 9_000,
        "window_days": 1,
        "reference_days": 28,
        "reference": {"missing": 0.0, "mean": 1.0, "quantiles": [0, 1, 2, 3, 4]},
        "current": {"missing": 0.0, "mean": 1.5, "quantiles": [0, 1, 2, 3, 4]},
        **more,
    }


def drift_summary(verdict: str, *columns: dict[str, Any]) -> dict[str, Any]:
    """The summary of a drift report."""
    return {
        "verdict": verdict,
        "alarm": any(one["alarm"] for one in columns),
        "note": None,
        "requests": 500,
        "days": ["2026-11-27"],
        "reference_days": {"users": ["2026-10-01", "2026-10-28"]},
        "columns": list(columns),
    }


def plant_reports(
    engine: Engine,
    settings: Settings,
    text: str = "plain",
    *,
    version: str = VERSION,
    at: datetime | None = None,
) -> list[Path]:
    """Three drift reports about a version with documents, the oldest first, and one on data and on ranking.

    Args:
        engine: The metadata database.
        settings: Name the folder of reports.
        text: What has changed, and what else is free text.
        version: A version of the model `ranker`.
        at: When the newest ones were made; None: now.
    """
    archive, at = ReportArchive(engine, settings.reports), at or now()
    document = (
        f"<html><head><title>{text}</title></head><body><script>document.title += '!'</script></body></html>"
    )
    pages = {PAGE: document, "users-evidently.html": document}
    subject = ReportSubject("drift", "shop", version, "ranker")
    found = []
    for ago, distance in ((2, 0.1), (1, 0.15), (0, 0.6)):
        said = f"{text} changed." if not ago else "Nothing changed."
        columns = (drift_column(text, distance), drift_column("user_country", 0.05, None))
        summary = drift_summary(said, *columns)
        found.append(archive.write(subject, summary, pages, created_at=at - ago * DAY))
    found.append(
        archive.write(ReportSubject("data_quality", "shop"), quality_summary(text), pages, created_at=at)
    )
    ranking = ReportSubject("ranking", "shop", version, "ranker")
    found.append(archive.write(ranking, ranking_summary(text), pages, created_at=at))
    return found


def quality_summary(text: str) -> dict[str, Any]:
    """The summary of a data quality report."""
    figures = {"missing": 0.25, "low": 1.0, "high": 9.5}
    column = {"column": text, "newest": figures, "earlier": None, "is_new": True, "outside": None}
    return {
        "verdict": f"One thing is unusual: {text}",
        "findings": [text],
        "rows": 700,
        "days": ["2026-11-27"],
        "earlier_days": [],
        "columns": [{**column, "new_labels": [text]}],
        "by_day": [{"day": "2026-11-27", "source": text, "rows": 700, "repeated": 3, "missing": 9}],
        "delivered_before": 0,
    }


def ranking_summary(text: str) -> dict[str, Any]:
    """The summary of a ranking report."""
    return {
        "verdict": f"NDCG@10 is 0.2. {text}",
        "k": 10,
        "users": 900,
        "users_compared": 900,
        "days": ["2026-11-01", "2026-11-27"],
        "metrics": {"ndcg": {"value": 0.2, "low": 0.1, "high": 0.3}},
        "evidently": {"ndcg": 0.2},
    }


def plant_data(engine: Engine, text: str = "shop") -> None:
    """Three days of a source, 2 % of the rows in quarantine, an accepted batch, a job that failed once."""
    at = now()
    today = at.date()
    refused = {"value_not_negative": 15, text: 5}
    put(
        engine,
        ingested_days,
        *(
            {
                "source": text,
                "day": today - timedelta(days=ago),
                "digest": "0",
                "rows_read": 1_000,
                "rows_accepted": 980,
                "rows_quarantined": refused,
                "ingested_at": at - ago * DAY,
            }
            for ago in (1, 2, 3)
        ),
    )
    batch = {"source": text, "rows_read": 1_000, "rows_quarantined": refused, "checked_at": at - HOUR}
    put(engine, gate_results, {**batch, "passed": True, "reason": ""})
    put(engine, feature_cutoffs, {"cutoff": at - 12 * HOUR, "fingerprint": "0", "made_at": at - 6 * HOUR})
    runs = (("1", False, 30 * HOUR), ("2", True, 6 * HOUR))
    put(
        engine,
        job_runs,
        *(
            {"run_id": name, "job_name": "everything", "succeeded": good, "ended_at": at - ago}
            for name, good, ago in runs
        ),
    )
    put(engine, queue_lengths, {"queue": text, "length": 2, "observed_at": at})
    changed = {"kind": "source", "name": text, "state": {}, "changes": [f"{text} is new"], "observed_at": at}
    put(engine, dependency_changes, changed)
