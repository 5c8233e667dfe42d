"""Trainings and decisions about them, as a run and the automation leave them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert

from tastemaker.storage.tables import retraining_decisions, trainings

PROBLEM = "shop"
_MB, _GB = 10**6, 10**9


def plant_trainings(engine: Engine, now: datetime, *, detail: str = "2 new days until 28 Nov 2026") -> None:
    """Plant one training each of three models, one of which needed too much memory."""
    rows = [
        _training(now, 2, "ials", "registered", 12.4, 21.9, 1_210 * _MB, "new_data", detail),
        _training(now, 1, "ranker", "registered", 74.0, 131.2, 2_930 * _MB, "stale", "9 of 7 days old"),
        _training(now, 3, "ease", "failed", 0.0, 0.0, None, "new_data", detail)
        | {"problem_text": "model ease is not trained: it needs about 13.1 GB", "version_id": None}
        | {"estimated_bytes": 13_100 * _MB},
    ]
    unmet = [("new_data", "no new data"), ("changed_code", "code as trained"), ("stale", "1 of 7 days old")]
    with engine.begin() as connection:
        connection.execute(insert(trainings), rows)
        connection.execute(
            insert(retraining_decisions),
            [
                _decision(now, model, decision, unmet, met)
                for model, decision, met in (
                    ("ials", "up_to_date", ""), ("ranker", "up_to_date", ""), ("ease", "waits", "new_data")
                )
            ],
        )  # fmt: skip


def _training(
    now: datetime,
    hours: int,
    model: str,
    outcome: str,
    seconds: float,
    cpu_seconds: float,
    peak_bytes: int | None,
    reason: str,
    detail: str,
) -> dict[str, Any]:
    started_at = now - timedelta(hours=hours)
    return {
        "run_id": f"run-{hours}",
        "model": model,
        "problem": PROBLEM,
        "reasons": [{"reason": reason, "detail": detail}],
        "outcome": outcome,
        "version_id": f"20261129-07{hours:02}00-{model}",
        "problem_text": None,
        "started_at": started_at,
        "ended_at": started_at + timedelta(seconds=seconds),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak_bytes,
        "estimated_bytes": peak_bytes,
        "limit_bytes": 6 * _GB,
        "events": 227_034,
        "recipe": "abc",
    }


def _decision(
    now: datetime, model: str, decision: str, conditions: list[tuple[str, str]], met: str
) -> dict[str, Any]:
    return {
        "problem": PROBLEM,
        "model": model,
        "decision": decision,
        "conditions": [
            {"name": name, "is_met": name == met, "detail": "2 new days" if name == met else detail}
            for name, detail in conditions
        ],
        "evaluated_at": now - timedelta(minutes=1),
        "next_at": now + timedelta(days=6),
    }
