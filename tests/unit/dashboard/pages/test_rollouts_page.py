"""The pages Rollouts and Rollout: what they say is what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from support.dashboard_homes import dashboard_engine
from support.dashboard_shops import BEFORE, CHAMPION, fill
from support.planted_rollouts import IN_CANARY, NEWEST, PlantedChange, plant_rollout, plant_rollouts
from tastemaker.dashboard.app import application
from tastemaker.dashboard.content import PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.pages import rollout, rollouts
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE
from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[DashboardReader]:
    with dashboard_engine(tmp_path) as (settings, engine):
        fill(engine, NOW)
        yield DashboardReader(engine, settings, lambda: NOW)


def plant(reader: DashboardReader) -> None:
    plant_rollouts(reader.engine, NOW, CHAMPION, BEFORE)


def listing(reader: DashboardReader, problem: str = "") -> PageContent:
    return rollouts.PAGE.load(reader, PageFilters(problem=problem), ON_THIS_MACHINE)


def shown(reader: DashboardReader, number: int) -> PageContent:
    return rollout.PAGE.load(reader, PageFilters(path={"number": str(number)}), ON_THIS_MACHINE)


def approving(reader: DashboardReader) -> DashboardReader:
    """The same where a person must approve versions."""
    settings = Settings(home=reader.settings.home, promotion={"approval": True})
    return DashboardReader(reader.engine, settings, lambda: NOW)


def test_the_list_says_what_is_on_its_way_and_how_others_ended(reader: DashboardReader) -> None:
    assert listing(reader).answer == "No version has been rolled out yet."
    plant(reader)
    content = listing(reader)
    assert content.answer == (
        f"Version {NEWEST} of ranker is in the canary; it waits for its next step, by its time and its "
        "guardrails."
    )
    rows = content.table("rollouts").records()
    assert [(one["rollout"], one["version"], one["state"]) for one in rows] == [
        (3, NEWEST, "in the canary"),
        (2, BEFORE, "rolled back"),
        (1, CHAMPION, "promoted"),
    ]
    assert rows[0]["since"] == "2026-11-28T07:41:00+00:00", "since the first step of the canary"
    assert rows[1]["reason"] == "8.4 % of its lists are fallbacks, 0.4 % of the champion's"
    assert listing(reader, "another shop").table("rollouts").rows == []


def test_where_none_is_open_the_newest_is_named(reader: DashboardReader) -> None:
    plant_rollout(
        reader.engine, NOW, CHAMPION, [*IN_CANARY[:1], PlantedChange(1, "declined", "too late", "ada")]
    )
    assert listing(reader).answer == (
        "No version is on its way into production; the newest rollout, of ranker, was declined."
    )
    answer = shown(reader, 1).answer
    assert answer == f"Version {CHAMPION} of ranker is declined, by ada: too late"
    assert shown(reader, 1).table("commands").rows == []


def test_a_rollout_has_its_steps_with_figures_and_the_commands_that_are_possible(
    reader: DashboardReader,
) -> None:
    plant(reader)
    content = shown(reader, 3)
    steps = content.table("steps").records()
    assert [one["state"] for one in steps] == [one.state for one in reversed(IN_CANARY)]
    assert steps[0]["figures"] == "guardrails: 2 safe"
    checks = [list(one.values()) for one in content.table("guardrails").records()]
    assert checks == [
        ["fallback_share", "safe", 4_120, 0.004, 0.0038],
        ["active_share", "safe", 4_120, 0.312, 0.309],
    ]
    assert steps[1]["figures"] == "users 961; requests 8,930"
    assert (steps[3]["actor"], steps[3]["figures"]) == ("ada", "approved")
    facts = {one["what"]: one["text"] for one in content.table("facts").records()}
    assert facts["Experiment that takes the steps"] == "rollout-3-steps"
    assert facts["What the planner said"] == "users per day 9,000; days 6; smallest effect share 2.10 %"
    commands = [one["command"] for one in content.table("commands").records()]
    assert commands == [
        "tastemaker rollout hold 3 --reason REASON",
        "tastemaker rollout roll-back 3 --reason REASON",
        "tastemaker rollout decline 3 --reason REASON",
    ]


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        (IN_CANARY[:1], "a person, who approves or declines it"),
        (IN_CANARY[:2], "its start (figures read)"),
        (IN_CANARY[:3], "its next step, which tastemaker flows serve takes from 2026-11-28 05:41 UTC on"),
        (
            [*IN_CANARY[:3], PlantedChange(20, "shadow", "the canary can't start yet")],
            "its next step, which was due at 2026-11-28 05:41 UTC (the canary can't start yet)",
        ),
        (IN_CANARY, "its next step, by its time and its guardrails"),
        ([*IN_CANARY, PlantedChange(1, "held", "the sale")], "a person, who resumes or ends it"),
    ],
)
def test_what_is_waited_for(reader: DashboardReader, changes: list[PlantedChange], waits: str) -> None:
    number = plant_rollout(reader.engine, NOW, CHAMPION, changes)
    assert shown(approving(reader), number).answer.endswith(f"; it waits for {waits}.")


def test_without_the_setting_no_person_is_waited_for(reader: DashboardReader) -> None:
    number = plant_rollout(reader.engine, NOW, CHAMPION, IN_CANARY[:1])
    assert shown(reader, number).answer.endswith(
        "; it waits for its start (the best model's newest version)."
    )


def test_an_unknown_number_is_answered_in_words(reader: DashboardReader) -> None:
    with pytest.raises(TastemakerError, match="there is no rollout 7"):
        shown(reader, 7)


def test_stored_text_is_text(reader: DashboardReader) -> None:
    change = PlantedChange(1, "canary", HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    number = plant_rollout(reader.engine, NOW, CHAMPION, [change], why=HOSTILE, experiment=HOSTILE)
    app = application(reader.settings, reader.engine)
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        for path in ("/rollouts", f"/rollouts/{number}"):
            page = client.get(path)
            assert page.status_code == 200
            assert HOSTILE not in page.text
            assert escape(HOSTILE).replace("&#x27;", "&#39;") in page.text
