"""Since when a model's drift reports agree that something changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from tastemaker.monitoring.drift_episodes import drift_since
from tastemaker.storage.tables import reports, versions

START = datetime(2026, 1, 1, tzinfo=UTC)
SHOP, MODEL = "shop", "ease"
DRIFT: dict[str, Any] = {"alarm": True, "columns": [{"side": "choices"}]}
NO_DRIFT = DRIFT | {"alarm": False}
TOO_FEW: dict[str, Any] = {"alarm": False, "columns": []}


def report(engine: Engine, night: int, summary: dict[str, Any], version: str = "v1", **more: str) -> None:
    row = {"kind": "drift", "problem": SHOP, "version_id": version, "path": f"{version} {night}"} | more
    with engine.begin() as connection:
        connection.execute(
            insert(reports).values(**row, summary=summary, created_at=START + timedelta(days=night))
        )


@pytest.fixture
def known(engine: Engine) -> Engine:
    """Two versions of the model, and one of another."""
    with engine.begin() as connection:
        for version, model in (("v1", MODEL), ("v2", MODEL), ("other", "ials")):
            row = {"id": version, "model": model, "problem": SHOP, "content_hash": "", "manifest": {}}
            connection.execute(insert(versions).values(**row, created_at=START))
    return engine


@pytest.mark.parametrize(
    ("summaries", "night"),
    [
        ([], None),
        ([NO_DRIFT], None),
        ([DRIFT], 0),
        ([NO_DRIFT, DRIFT, DRIFT], 1),
        ([DRIFT, DRIFT, NO_DRIFT], None),
        ([DRIFT, NO_DRIFT, DRIFT], 2),
        ([TOO_FEW], None),
        ([TOO_FEW, DRIFT, TOO_FEW], 1),
        ([DRIFT, TOO_FEW, DRIFT], 0),
    ],
)
def test_since_when_reports_find_drift(
    summaries: list[dict[str, Any]], night: int | None, known: Engine
) -> None:
    for number, summary in enumerate(summaries):
        report(known, number, summary)
    expected = None if night is None else START + timedelta(days=night)
    assert drift_since(known, SHOP, MODEL) == expected


def test_versions_of_a_model_count_together_and_others_do_not_count(known: Engine) -> None:
    report(known, 0, DRIFT, "v1")
    report(known, 1, DRIFT, "v2")
    report(known, 2, NO_DRIFT, "other")
    report(known, 3, NO_DRIFT, "v1", kind="ranking")
    report(known, 4, NO_DRIFT, "v1", problem="another shop")
    assert drift_since(known, SHOP, MODEL) == START
    assert drift_since(known, SHOP, "ials") is None
