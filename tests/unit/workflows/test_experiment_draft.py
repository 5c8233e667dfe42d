"""Drafts of experiments: shares of variants, and the units that the log says are needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.product_homes import PROBLEM, ProductWorld
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Item, Record
from tastemaker.experiments.analysis.planner import plan_traffic
from tastemaker.experiments.plan import BUCKETS, in_proportion
from tastemaker.settings import Settings
from tastemaker.workflows.experiment_draft import draft, flag_variants, planned, with_shares
from tastemaker.workflows.workspace import Workspace

FLAGS = flag_variants(["off=false", "on=true"])


@given(st.integers(2, 12), st.data())
def test_shares_fill_the_buckets_but_for_rounding(count: int, data: st.DataObject) -> None:
    variants = flag_variants([f"v{n}={n}" for n in range(count)])
    given_ones = data.draw(st.integers(0, count - 1))
    shares = {f"v{n}": 0.9 / count for n in range(given_ones)}
    found = with_shares(variants, shares)
    total = sum(one.share for one in found.values())
    assert BUCKETS - count <= total <= BUCKETS
    assert len({found[f"v{n}"].share for n in range(given_ones, count)}) == 1


@pytest.mark.parametrize("count", range(2, 13))
def test_equal_shares_may_be_rounded_down_and_rounded_up_ones_are_refused_with_those(count: int) -> None:
    """Written with six decimals, as buckets are."""
    variants = flag_variants([f"v{n}={n}" for n in range(count)])
    down, up = BUCKETS // count, -(-BUCKETS // count)
    found = with_shares(variants, dict.fromkeys(variants, down / BUCKETS))
    assert {one.share for one in found.values()} == {down}
    for wrong in {up, down - 1} - {down}:
        said = f"the shares add up to {count * wrong / BUCKETS:.7g}"
        with pytest.raises(TastemakerError, match=said) as raised:
            with_shares(variants, dict.fromkeys(variants, wrong / BUCKETS))
        fix = " ".join(f"--share {name}={down / BUCKETS:g}" for name in variants)
        assert raised.value.fix == f"to keep their proportions, write {fix}"


@given(st.lists(st.floats(1e-3, 10), min_size=2, max_size=12))
def test_the_shares_to_write_instead_are_accepted(shares: list[float]) -> None:
    variants = flag_variants([f"v{n}={n}" for n in range(len(shares))])
    written = in_proportion(dict(zip(variants, shares, strict=True)))
    found = with_shares(variants, {name: float(f"{one / BUCKETS:g}") for name, one in written.items()})
    assert {name: one.share for name, one in found.items()} == written


def test_given_shares_leave_something_for_the_others() -> None:
    with pytest.raises(TastemakerError, match="add up to 1, which leaves nothing for on") as raised:
        with_shares(FLAGS, {"off": 1.0})
    assert raised.value.fix == "let them add up to less than 1"


@pytest.mark.slow
def test_the_units_are_those_that_the_log_says_are_needed(tmp_path: Path) -> None:
    problem = tmp_path / "problem.yaml"
    problem.write_text(PROBLEM, encoding="utf-8")
    now = datetime.now(UTC).replace(microsecond=0)
    world = ProductWorld()
    for user in range(300):
        at = now - timedelta(days=28 * (user + 1) / 301)
        world.requests.append(
            Record(
                request_id=f"{user:032x}", occurred_at=at.timestamp(), user_id=f"u{user}", k=1,
                model="ranker", version="r1", items=[Item("i00", 1.0, 1.0)], latency_ms=1.0,
            )
        )  # fmt: skip
        if user % 3 == 0:
            world.visits.append((f"u{user}", at + timedelta(hours=1), "purchase"))
    world.write(tmp_path / "home")
    workspace = Workspace(Settings(home=tmp_path / "home", problem=problem))
    words = {"owner": "ada", "hypothesis": "more clicks", "minimum_effect": 0.2, "window_days": 2.0}
    rough = draft(workspace, "badge", with_shares(FLAGS, {}), **words)
    design, sentence = planned(workspace, rough)
    expected = plan_traffic(workspace.lake, workspace.problem, rough)
    assert design.planned_units == expected.units > 100
    assert f"{expected.units:,} users are needed" in sentence


@pytest.mark.parametrize(
    ("text", "value"), [("a=1", 1), ("a=red", "red"), ('a={"b": [1]}', {"b": [1]}), ("a=", "")]
)
def test_a_flag_has_json_or_text_as_value(text: str, value: object) -> None:
    assert flag_variants([text])["a"].value == value
