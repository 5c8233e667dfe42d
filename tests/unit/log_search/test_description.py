"""What is shown of one answer agrees with the attribution of the whole log, and with `/explain`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from support.learning_homes import END, bought, shown
from support.request_logs import click, fill, request, settings_of
from support.served_homes import make_home, problem
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.attribution import attribute
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Entry, FeedbackRecord, Record
from tastemaker.log_search.description import describe
from tastemaker.settings import Settings

DAY = 86_400.0


def home_with_problem(folder: Path) -> Settings:
    """A home whose purchases count 1."""
    path = folder / "problem.yaml"
    path.write_text(problem().model_dump_json())
    return Settings(home=folder, problem=path)


def random_log(count: int) -> list[Entry]:
    """Requests of three users, with purchases that name a request, only the user, or neither rightly."""
    rng = random.Random(0)
    entries: list[Entry] = []
    requests: list[Record] = []
    for number in range(count):
        at = rng.uniform(0, 20 * DAY)
        items = rng.sample([f"item-{item}" for item in range(5)], 3)
        one = shown(number, "v1", at, items, user_id=f"user-{rng.randrange(3)}")
        requests.append(one)
        entries.append(one)
    for number in range(2 * count):
        one, item = rng.choice(requests), f"item-{rng.randrange(5)}"
        wait = rng.choice([-700.0, -5.0, 5.0, DAY, 8 * DAY])
        event = bought(f"named-{number}", one, item, wait)
        if number % 2:
            timestamp = one.occurred_at + wait
            fields = (f"free-{number}", item, "purchase", 1.0, timestamp, timestamp + 60.0)
            event = FeedbackRecord(*fields, user_id=one.user_id)
        entries.append(event)
    entries += [entries[count], bought("twice", requests[0], "item-0", 5.0)]
    return entries


@pytest.mark.slow  # each answer opens the lake several times
@pytest.mark.parametrize("is_drained", [True, False])
def test_outcomes_are_those_of_the_whole_logs_attribution(tmp_path: Path, is_drained: bool) -> None:
    """For each answer: the reward and the events of each item, and the feedback credited to it."""
    home, entries = home_with_problem(tmp_path), random_log(12)
    fill(tmp_path / "copy", entries)
    drain(tmp_path / "copy", Lake(tmp_path / "expected"))
    expected = attribute(Lake(tmp_path / "expected"), problem())
    fill(home.spool, entries)
    if is_drained:
        drain(home.spool, Lake(home.lake))
    credited = 0
    for one in (entry for entry in entries if isinstance(entry, Record)):
        found = describe(one.request_id, home)
        rows = [row for row in expected.impressions.to_pylist() if row["request_id"] == one.request_id]
        assert found.outcomes == [(row["reward"], row["events"]) for row in rows]
        events = {
            row["event_id"]: row["flags"]
            for row in expected.feedback.to_pylist()
            if one.request_id in (row["request_id"], row["credited_request_id"])
        }
        assert {row["event_id"]: row["flags"] for row in found.feedback} == events
        credited += sum(row["events"] for row in rows)
    assert credited > 5


@pytest.mark.slow
def test_events_of_the_shops_own_source_count(tmp_path: Path) -> None:
    """A purchase that no caller reported is credited to the last answer with its item."""
    make_home(tmp_path)
    home = home_with_problem(tmp_path)
    first = Lake(home.lake).read("events").slice(0, 1).to_pylist()[0]
    asked = first["occurred_at"].timestamp() - 60
    logged = shown(1, "v1", asked - END, ["item-24", first["item_id"]], user_id=first["user_id"])
    fill(home.spool, [logged])
    outcomes = describe(logged.request_id, home).outcomes
    assert outcomes is not None
    assert outcomes[1].events >= 1
    assert outcomes[1].reward > 0


def test_without_a_problem_file_only_feedback_that_names_the_request_is_shown(tmp_path: Path) -> None:
    """Rewards are unknown then."""
    home = settings_of(tmp_path).model_copy(update={"problem": tmp_path / "none.yaml"})
    fill(home.spool, [request(1, user_id="ann"), click(1), click(2, request_id=f"{1:032x}", user_id=None)])
    found = describe(f"{1:032x}", home)
    assert found.outcomes is None
    assert [row["event_id"] for row in found.feedback] == ["click-2"]


@pytest.mark.slow
def test_reasons_are_those_of_the_version_that_answered(tmp_path: Path) -> None:
    """And say that the version was deleted once it was."""
    version = make_home(tmp_path)["popularity"]
    home = home_with_problem(tmp_path)
    fill(
        home.spool,
        [shown(1, version.id, 0, ["item-00"], model="popularity"), shown(2, "gone", 0, ["item-00"])],
    )
    assert any("most popular" in reason for reason in describe(f"{1:032x}", home).reasons[0])
    assert any("deleted" in reason for reason in describe(f"{2:032x}", home).reasons[0])


def test_an_unknown_request_is_an_error_in_words(tmp_path: Path) -> None:
    """It names the id."""
    with pytest.raises(TastemakerError, match="no request 'nonsense'"):
        describe("nonsense", settings_of(tmp_path))
