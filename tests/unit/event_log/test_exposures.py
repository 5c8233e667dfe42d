"""All exposures of experiments in one relation, and what no user saw apart from them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.request_logs import NOON, exposure, fill, request, shadow
from tastemaker.data.lake import Lake
from tastemaker.data.tables import EXPOSURES, SHADOW_ANSWERS
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import Drained, drain, read_log
from tastemaker.event_log.exposures import exposures
from tastemaker.event_log.records import Assignment, Entry

DIGEST = "0123456789abcdef"


def assigned(variant: str, unit: str | None = "d1", **other: Any) -> Assignment:
    fields: dict[str, Any] = {"probability": 0.25, "served": "control", "plan": DIGEST} | other
    return Assignment("ranker", 2, variant, unit=unit, **fields)


def drained(tmp_path: Path, records: list[Entry]) -> Lake:
    """A lake with these records."""
    lake = Lake(tmp_path / "lake")
    fill(tmp_path / "spool", records)
    drain(tmp_path / "spool", lake)
    return lake


def test_exposures_and_shadows_reach_tables_of_their_own(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    copy = shadow(3, shadow_of=1, assignment=assigned("shadowed"))
    fill(tmp_path / "spool", [request(1), copy, exposure(1, occurred_at=NOON - 9 * 86_400)])
    moved = drain(tmp_path / "spool", lake)
    assert moved == Drained(requests=1, impressions=2, exposures=1, shadows=1)
    assert read_log(lake)["request_id"].to_pylist() == [f"{1:032x}"], "a shadow is not a request"
    (answer,) = lake.read("shadow_answers").to_pylist()
    assert (answer["request_id"], answer["shadow_of"]) == (f"{3:032x}", f"{1:032x}")
    assert (answer["item_ids"], answer["variant"]) == (["tea", "cup"], "shadowed")
    assert lake.read("exposures").to_pylist() == [
        {
            "exposure_id": "exposure-1",
            "occurred_at": datetime(2026, 2, 20, 12, tzinfo=UTC),
            "received_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
            "experiment": "new-basket",
            "epoch": 0,
            "variant": "wide",
            "variant_probability": 0.5,
            "plan_digest": DIGEST,
            "unit": "ann",
            "user_id": "ann",
        }
    ]
    assert [str(day) for day in lake.days("exposures")] == ["2026-03-01"], "by our clock"
    with lake.connect() as connection:
        assert connection.table("impressions").aggregate("count(*)").fetchall() == [(2,)]


def test_a_log_without_exposures_has_empty_tables(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.read("exposures").column_names == EXPOSURES.names
    assert lake.read("shadow_answers").column_names == SHADOW_ANSWERS.names
    with lake.connect() as connection:
        assert exposures(connection).fetchall() == []


def test_an_exposure_that_comes_twice_counts_once_as_it_came_first(tmp_path: Path) -> None:
    again = exposure(1, received_at=NOON + 86_400, variant="narrow")
    lake = drained(tmp_path, [exposure(1), exposure(2)])
    fill(tmp_path / "spool", [again])
    drain(tmp_path / "spool", lake)
    assert len(lake.read("exposures")) == 3
    with lake.connect() as connection:
        assert exposures(connection).select("variant").fetchall() == [("wide",), ("wide",)]


def test_exposures_are_of_requests_and_of_flags_without_forced_ones(tmp_path: Path) -> None:
    lake = drained(
        tmp_path,
        [
            request(1, assignment=assigned("treatment")),
            request(2, assignment=assigned("treatment", probability=None)),
            request(3),
            request(4, assignment=assigned("control", unit=None, served=None)),
            shadow(5, shadow_of=3, assignment=assigned("shadowed")),
            exposure(1, occurred_at=NOON + 60),
            exposure(2, probability=None),
        ],
    )
    with lake.connect() as connection:
        found = exposures(connection).order("request_id NULLS LAST").to_arrow_table().to_pylist()
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert found == [
        {
            "experiment": "ranker",
            "epoch": 2,
            "unit": "d1",
            "user_id": "user-1",
            "variant": "treatment",
            "variant_served": "control",
            "variant_probability": 0.25,
            "plan_digest": DIGEST,
            "occurred_at": noon.replace(second=1),
            "request_id": f"{1:032x}",
        },
        {
            "experiment": "ranker",
            "epoch": 2,
            "unit": "user-4",
            "user_id": "user-4",
            "variant": "control",
            "variant_served": None,
            "variant_probability": 0.25,
            "plan_digest": DIGEST,
            "occurred_at": noon.replace(second=4),
            "request_id": f"{4:032x}",
        },
        {
            "experiment": "new-basket",
            "epoch": 0,
            "unit": "ann",
            "user_id": "ann",
            "variant": "wide",
            "variant_served": "wide",
            "variant_probability": 0.5,
            "plan_digest": DIGEST,
            "occurred_at": noon,
            "request_id": None,
        },
    ], "a caller's clock that is ahead counts as the time of arrival"


def test_an_exposure_without_a_unit_is_refused() -> None:
    with pytest.raises(TastemakerError, match="exposure 'exposure-1' has unit None") as caught:
        exposure(1, unit=None)
    assert caught.value.fix
