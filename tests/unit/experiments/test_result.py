"""What is read about an experiment: the epoch in force, its newest look, and what casts doubt on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from support import planned_experiments as planned
from support.dashboard_homes import dashboard_engine
from support.operated_homes import put
from tastemaker.errors import TastemakerError
from tastemaker.experiments.result import read_listings, read_result
from tastemaker.storage.tables import experiments, guardrail_checks, look_effects, looks

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with dashboard_engine(tmp_path) as (_, opened):
        planned.plant_namespace(opened, NOW)
        yield opened


def test_a_result_is_that_of_the_newest_look(engine: Engine) -> None:
    planned.plant(engine, NOW)
    put(engine, look_effects, planned.effect("ranker-v2", "ctr_list", 0.5, number=2))
    found = read_result(engine, "ranker-v2", NOW)
    assert (found.sentence, found.look_of, found.step) == (
        planned.SENTENCE,
        "3 of at most 14",
        "step 2 of 4: 5 % of the units",
    )
    assert [one.number for one in found.looks] == [1, 2, 3]
    assert {one.number for one in found.effects} == {3}
    assert [(one.metric, one.role, one.is_adjusted) for one in found.effects if not one.slice] == [
        ("reward_per_user", "primary", False),
        ("reward_per_user", "primary", True),
        ("ctr_list", "secondary", False),
        ("active_share", "guardrail", False),
    ]
    assert found.mature_units == 3_000 + 3_030
    assert found.crossed_share == pytest.approx(12 / (6_030 + 900))
    assert [one.number for one in found.changes] == [1, 2, 3]


def test_looks_that_spend_no_alpha_are_not_counted_as_looks(engine: Engine) -> None:
    planned.plant_experiment(engine, NOW, "one")
    planned.plant_look(engine, NOW, "one", is_planned=False, sentence="today")
    found = read_result(engine, "one", NOW)
    assert (found.look_of, found.sentence) == ("2 of at most 14", "today")


def test_slices_are_in_the_order_of_their_numbers(engine: Engine) -> None:
    planned.plant_experiment(engine, NOW, "one")
    planned.plant_look(engine, NOW, "one")
    put(
        engine, look_effects,
        *(planned.effect("one", "ctr_list", 0.1, slice=f"day={age}") for age in (10, 9, 0)),
    )  # fmt: skip
    assert [one.slice for one in read_result(engine, "one", NOW).sliced("day")] == [
        "day=0",
        "day=9",
        "day=10",
    ]


def test_the_newest_check_of_each_guardrail_counts(engine: Engine) -> None:
    planned.plant(engine, NOW)
    put(engine, guardrail_checks, planned.check("ranker-v2", NOW, "fallback_share", "harm", epoch=1))
    found = read_result(engine, "ranker-v2", NOW)
    assert [(one.guardrail, one.verdict) for one in found.checks] == [
        ("active_share", "stale"),
        ("fallback_share", "safe"),
    ]
    assert found.concerns() == ["The guardrail active_share of B has no current data: it guards nothing."]


@pytest.mark.parametrize("minutes", [14, 16])
def test_guardrails_that_no_process_checks_guard_nothing(engine: Engine, minutes: int) -> None:
    planned.plant(engine, NOW)
    found = read_result(engine, "ranker-v2", NOW + timedelta(minutes=minutes))
    assert found.is_unguarded is (minutes > 15)
    assert len(found.stale) == (2 if minutes > 15 else 1)
    if found.is_unguarded:
        (concern,) = found.concerns()
        assert concern.startswith("No process has checked a guardrail since 2026-11-29 09:41 UTC: start")


def test_what_has_no_units_of_its_own_or_is_over_needs_no_guard(engine: Engine) -> None:
    planned.plant_experiment(engine, NOW, "young")
    planned.plant_experiment(engine, NOW, "over", state="stopped")
    planned.plant_experiment(engine, NOW, "copies", kind="shadow")
    assert "No process has checked a guardrail yet" in read_result(engine, "young", NOW).concerns()[0]
    assert read_result(engine, "over", NOW).concerns() == []
    assert read_result(engine, "copies", NOW).concerns() == []


def test_with_a_failed_sample_ratio_there_is_no_effect_only_why(engine: Engine) -> None:
    planned.plant_invalid(engine, NOW)
    found = read_result(engine, "photos", NOW)
    assert found.is_invalid
    assert found.effects == []
    why, where = found.concerns()
    assert "no effect is shown" in why
    assert where == (
        "day 2026-11-27: control 61,000 of 58,070 expected, B 55,140 of 58,070 expected (p = 2e-66)"
    )


def test_warnings_of_the_look_come_before_stale_guardrails(engine: Engine) -> None:
    planned.plant_experiment(engine, NOW, "one")
    planned.plant_look(engine, NOW, "one", details={"warnings": ["Units were seen in two variants."]})
    put(engine, guardrail_checks, planned.check("one", NOW, "ctr_list", "stale"))
    warning, stale = read_result(engine, "one", NOW).concerns()
    assert warning == "Units were seen in two variants."
    assert "has no current data" in stale


def test_a_new_epoch_begins_without_a_look(engine: Engine) -> None:
    planned.plant(engine, NOW)
    with engine.begin() as connection:
        connection.execute(update(experiments).values(epoch=1))
    found = read_result(engine, "ranker-v2", NOW)
    assert (found.look, found.looks, found.effects, found.checks) == (None, [], [], [])
    assert found.sentence == "It runs; no look at its result was taken yet."
    assert (found.mature_units, found.crossed_share) == (0, None)
    assert found.is_unguarded, "checks of the epoch before say nothing about this one"


@pytest.mark.parametrize(
    ("state", "says"),
    [("draft", "has not started"), ("ready", "has not started"), ("decided", "It is over")],
)
def test_without_a_look_the_state_is_said(engine: Engine, state: str, says: str) -> None:
    planned.plant_experiment(engine, NOW, "one", state=state)
    assert says in read_result(engine, "one", NOW).sentence


def test_a_list_has_each_experiment_with_its_newest_look(engine: Engine) -> None:
    planned.plant(engine, NOW)
    planned.plant_experiment(engine, NOW + planned.DAY, "newer", state="draft")
    newer, older = read_listings(engine)
    assert (newer.experiment.name, newer.look, newer.looks_taken) == ("newer", None, 0)
    assert older.look is not None
    assert (older.experiment.name, older.look.number, older.look_of) == ("ranker-v2", 3, "3 of at most 14")


def test_an_unknown_experiment_is_named(engine: Engine) -> None:
    with pytest.raises(TastemakerError, match="there is no experiment 'nothing'"):
        read_result(engine, "nothing", NOW)


def test_without_units_nothing_is_divided_by_zero(engine: Engine) -> None:
    planned.plant_experiment(engine, NOW, "one")
    planned.plant_look(engine, NOW, "one", 1, units={}, pending_units=0, crossed_units=0, ratio_p=None)
    found = read_result(engine, "one", NOW)
    assert (found.mature_units, found.crossed_share) == (0, None)
    with engine.connect() as connection:
        assert connection.execute(looks.select()).one().units == {}
