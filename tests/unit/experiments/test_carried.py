"""Names that the log does not carry, in logs that carry others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.experiment_homes import design
from tastemaker.data.lake import Lake
from tastemaker.data.tables import USERS
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import request_rows
from tastemaker.experiments.carried import uncarried
from tastemaker.experiments.design import VariantDesign
from tastemaker.experiments.plan import TargetingRule

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PHONES = TargetingRule("platform", "in", ("ios", "android"))


def log(lake: Lake, *contexts: Any, days_ago: float = 1.0) -> None:
    """Write a request with each context."""
    at = NOW - timedelta(days=days_ago)
    records = [
        Record(f"{number:032x}", at.timestamp() + number, f"u{number}", 1, "toy", "v1", [], 5.0, context=one)
        for number, one in enumerate(contexts)
    ]
    lake.write_day("requests", at.date(), request_rows(records))


def users(lake: Lake, **columns: str) -> None:
    """Write a user with a country and own columns."""
    own = [(name, value) for name, value in columns.items() if name != "country"]
    row = {"user_id": "u1", "country": columns.get("country"), "first_seen_at": NOW, "own": own}
    lake.write("users", pa.Table.from_pylist([row], schema=USERS))


def found(lake: Lake, **fields: Any) -> list[str]:
    return uncarried(lake, design("x", "v1", "v2", **fields), NOW)


def test_a_design_without_names_has_none_to_miss(tmp_path: Path) -> None:
    assert found(Lake(tmp_path)) == []


def test_facts_and_slices_that_are_carried_are_not_mentioned(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    log(lake, {"platform": "web"}, {"platform": "ios", "age": 30}, [1.0, 2.0], None)
    users(lake, country="AT", segment="gold")
    kind = TargetingRule("kind", "in", ("recommend",))
    assert found(lake, targeting=(PHONES, kind), slices=("country", "segment")) == []


def test_a_mistyped_fact_is_named_with_its_nearest(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    log(lake, {"platform": "web"}, {"platform": None})
    (said,) = found(lake, targeting=(TargetingRule("platfrom", "in", ("ios",)),))
    assert said == (
        "No unit is enrolled: its targeting needs 'platfrom', which none of the newest 2 requests of the "
        "last 7 days carries: did you mean platform?"
    )


def test_values_that_no_request_has_are_found(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    log(lake, {"platform": "iOS"}, {"platform": "web"})
    (said,) = found(lake, targeting=(PHONES,))
    assert "none of the newest 2 requests of the last 7 days meets all rules of its targeting" in said


@pytest.mark.parametrize("days_ago", [None, 8.0, -1.0])
def test_without_a_recent_request_nothing_is_shown(tmp_path: Path, days_ago: float | None) -> None:
    lake = Lake(tmp_path)
    if days_ago is not None:
        log(lake, {"platform": "ios"}, days_ago=days_ago)
    (said,) = found(lake, targeting=(PHONES,))
    assert said.startswith("No request was logged in the last 7 days")


def test_facts_of_the_shops_own_code_are_not_in_the_log(tmp_path: Path) -> None:
    flags = {name: VariantDesign(500_000, value=json.dumps(name)) for name in "ab"}
    assert found(Lake(tmp_path), targeting=(PHONES,), variants=flags) == []


def test_a_slice_that_no_user_has_is_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert found(lake, slices=("country",)) == [
        "The slice 'country' is empty, as no user has a value of it: there are none"
    ]
    users(lake, segment="gold")
    country, mistyped = found(lake, slices=("country", "segmnet", "segment"))
    assert country.startswith("The slice 'country' is empty")
    assert mistyped.endswith("did you mean segment?")
