"""Variants in the shadow beside what users saw: known lists, known times, and intervals over users."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from support.dashboard_homes import dashboard_engine
from support.request_logs import fill, request, shadow
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Assignment, Entry, Item
from tastemaker.experiments.list_overlap import rank_biased_overlap
from tastemaker.experiments.shadows import ShadowFigure, compare_shadows, measure_shadows
from tastemaker.storage.tables import shadow_figures

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)
SERVED, OTHER = ("tea", "cup"), ("cup", "pot")


def items(names: tuple[str, ...]) -> list[Item]:
    return [Item(name, 1.0, 1.0) for name in names]


def pair(
    number: int, user: str, shown: tuple[str, ...], variant: str = "B", **other: Any
) -> tuple[Entry, Entry]:
    """A request that was answered with SERVED, and the answer of a variant to its copy."""
    by_experiment = Assignment("ranker", 0, variant, 1.0, None, "0" * 16, user)
    fields = {"items": items(shown), "assignment": by_experiment, "user_id": user, "latency_ms": 3.0} | other
    served = request(number, user_id=user, items=items(SERVED), latency_ms=2.0)
    return served, shadow(10_000 + number, shadow_of=number, **fields)


def lake_of(folder: Path, *pairs: tuple[Entry, Entry]) -> Lake:
    lake = Lake(folder / "lake")
    fill(folder / "spool", [record for pair in pairs for record in pair])
    drain(folder / "spool", lake)
    return lake


def compared(lake: Lake, most: int = 1_000) -> dict[tuple[str, str], ShadowFigure]:
    with lake.connect() as connection:
        return {(one.variant, one.metric): one for one in compare_shadows(connection, most)}


def test_lists_times_and_fallbacks_are_compared_request_by_request(tmp_path: Path) -> None:
    alike = [pair(n, f"u{n}", SERVED) for n in range(3)]
    half = pair(3, "u3", OTHER, fallback="timeout", latency_ms=7.0)
    found = compared(lake_of(tmp_path, *alike, half))
    assert found["B", "overlap"].value == pytest.approx((3 + 0.5) / 4)
    expected = (3 + rank_biased_overlap(OTHER, SERVED)) / 4
    assert found["B", "rank_biased_overlap"].value == pytest.approx(expected)
    assert found["B", "fallback_share"].value == 0.25
    assert found["B", "fallback_share"].served_value == 0
    assert (found["B", "latency_ms"].value, found["B", "latency_ms"].served_value) == (4.0, 2.0)
    assert {(one.users, one.requests) for one in found.values()} == {(4, 4)}


def test_one_user_is_one_draw_however_many_requests(tmp_path: Path) -> None:
    """Thirty unlike lists of ten users leave an interval √2 times as wide as those of thirty users."""
    alike = [pair(n, f"u{n}", SERVED) for n in range(30)]
    few = compared(
        lake_of(tmp_path / "few", *alike, *(pair(100 + n, f"v{n % 10}", OTHER) for n in range(30)))
    )
    many = compared(lake_of(tmp_path / "many", *alike, *(pair(100 + n, f"v{n}", OTHER) for n in range(30))))
    assert few["B", "overlap"].value == many["B", "overlap"].value == 0.75

    def width(figure: ShadowFigure) -> float:
        assert figure.low is not None
        assert figure.high is not None
        return figure.high - figure.low

    assert 1.3 < width(few["B", "overlap"]) / width(many["B", "overlap"]) < 1.8


def test_variants_are_compared_apart_and_the_newest_requests_count(tmp_path: Path) -> None:
    pairs = [pair(n, f"u{n}", OTHER) for n in range(4)] + [pair(n, f"u{n}", SERVED) for n in range(4, 8)]
    found = compared(lake_of(tmp_path, *pairs, pair(9, "u9", OTHER, variant="C")), most=4)
    assert found["B", "overlap"].value == 1.0
    assert found["C", "overlap"].value == 0.5


def test_copies_of_requests_that_the_log_does_not_have_are_not_compared(tmp_path: Path) -> None:
    (_, copy) = pair(1, "u1", OTHER)
    lake = Lake(tmp_path / "lake")
    fill(tmp_path / "spool", [copy])
    drain(tmp_path / "spool", lake)
    assert compared(lake) == {}


def test_a_log_without_shadows_has_no_figures(tmp_path: Path) -> None:
    assert compared(Lake(tmp_path)) == {}


def test_an_unknown_latency_is_not_zero(tmp_path: Path) -> None:
    found = compared(lake_of(tmp_path, pair(1, "u1", SERVED, latency_ms=None), pair(2, "u2", SERVED)))
    assert (found["B", "latency_ms"].value, found["B", "latency_ms"].requests) == (3.0, 1)
    alone = compared(lake_of(tmp_path / "alone", pair(1, "u1", SERVED, latency_ms=None)))
    assert ("B", "latency_ms") not in alone


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with dashboard_engine(tmp_path) as (_, opened):
        yield opened


def test_figures_are_stored_in_place_of_earlier_ones(engine: Engine, tmp_path: Path) -> None:
    lake = lake_of(tmp_path, pair(1, "u1", OTHER), pair(2, "u2", OTHER))
    measure_shadows(engine, lake, NOW)
    measure_shadows(engine, lake, NOW)
    with engine.connect() as connection:
        stored = connection.execute(select(shadow_figures).order_by(shadow_figures.c.metric)).all()
    assert [one.metric for one in stored] == [
        "fallback_share",
        "latency_ms",
        "overlap",
        "rank_biased_overlap",
    ]
    assert [(one.experiment, one.variant, one.computed_at) for one in stored] == [("ranker", "B", NOW)] * 4
    assert stored[2].value == 0.5
