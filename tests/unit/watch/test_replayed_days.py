"""A day that is put together from scrapes pages for a fault in it, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from support.replayed_days import MINUTE, DayPlan, Page, Plant, Recorded, ReplayedDay
from tastemaker.storage.engine import open_engine

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
ANSWERS = 'tastemaker_answers_total{{model="ease",stage="{}",reason="{}"}}'
GOOD, BAD = ANSWERS.format("model", "none"), ANSWERS.format("popular", "model_invalid")
REGIMES = ((0.0, "night"), (4 * MINUTE, "day"))


def pages(lists_per_step: float) -> list[Page]:
    """Scrapes of a service that answers so many lists between two of them."""
    return [
        {
            GOOD: number * lists_per_step,
            BAD: 0.0,
            'tastemaker_requests_total{endpoint="/recommend",status="200"}': number * lists_per_step,
            'tastemaker_ready{model="ease"}': 1.0,
            'tastemaker_served_version_info{model="ease",version="a"}': 1.0,
        }
        for number in range(4)
    ]


RECORDED = Recorded({"night": pages(0), "day": pages(50), "swap": pages(50)}, "a", "b")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    yield engine
    engine.dispose()


def rules(tmp_path: Path, engine: Engine, plan: DayPlan) -> list[str]:
    """The rules that paged in the first 14 minutes."""
    found = ReplayedDay(tmp_path, engine, RECORDED, plan, MIDNIGHT).run(14 * MINUTE)
    return [one.rule for one in reversed(found) if one.severity == "page"]


@pytest.mark.slow
def test_restarts_and_a_new_version_page_no_person(tmp_path: Path, engine: Engine) -> None:
    plan = DayPlan(
        REGIMES, swaps=(6 * MINUTE,), restarts=(8 * MINUTE,), watch_restarts=(10 * MINUTE,), down_seconds=10
    )
    assert rules(tmp_path, engine, plan) == []


@pytest.mark.slow
def test_a_service_that_stays_away_pages(tmp_path: Path, engine: Engine) -> None:
    plan = DayPlan(REGIMES, restarts=(8 * MINUTE,), down_seconds=60)
    assert rules(tmp_path, engine, plan) == ["service_down"]


@pytest.mark.slow
def test_a_planted_fault_pages_across_a_restart_of_the_watch(tmp_path: Path, engine: Engine) -> None:
    def invalid(rises: dict[str, float]) -> None:
        rises[GOOD], rises[BAD] = 0.9 * rises[GOOD], 0.1 * rises[GOOD]

    plants: dict[tuple[float, float], Plant] = {(7 * MINUTE, 12 * MINUTE): invalid}
    plan = DayPlan(REGIMES, plants=plants, watch_restarts=(9 * MINUTE,))
    assert rules(tmp_path, engine, plan) == ["fallback_share"]
