"""From events to the page: what pages show of a shop is what its rows say, counted here without SQL."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from support.product_homes import EXPERIMENT, FIRST_DAY, ZONE, ProductWorld, make_world, measure, write_home
from tastemaker.dashboard.app import application
from tastemaker.storage.engine import open_engine

pytestmark = pytest.mark.slow  # a shop of twelve weeks is measured

DAYS = 84
NOW = datetime.combine(FIRST_DAY + timedelta(days=DAYS), datetime.min.time(), UTC) + timedelta(hours=12)
DAY = timedelta(days=1)


class Shop(NamedTuple):
    """The pages of a shop, and its rows."""

    client: TestClient
    world: ProductWorld

    def rows(self, page: str, name: str, **filters: str) -> list[dict[str, str]]:
        """A table of a page."""
        answer = self.client.get(f"/blocks/{page}/{name}.csv", params=filters)
        assert answer.status_code == 200, answer.text
        return list(csv.DictReader(io.StringIO(answer.text)))

    def active_days(self) -> dict[str, set[date]]:
        """User -> the days of Berlin on which the user did something."""
        users = {one.request_id: one.user_id for one in self.world.requests}
        found = defaultdict(set)
        for user, at, _ in self.world.visits:
            found[user].add(at.astimezone(ZoneInfo(ZONE)).date())
        for one in self.world.feedback:
            found[users[one.request_id or ""]].add(berlin(one.occurred_at))
        return found


def berlin(seconds: float) -> date:
    """The day of a time in Berlin."""
    return datetime.fromtimestamp(seconds, ZoneInfo(ZONE)).date()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home, world = tmp_path_factory.mktemp("shop"), make_world(days=DAYS)
    settings = write_home(home, world)
    measure(settings, now=NOW)
    engine = open_engine(settings.metadata_url)
    app = application(settings, engine, lambda: NOW)
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        yield Shop(client, world)
    engine.dispose()


def clicked_share(world: ProductWorld, first: str, last: str, **names: str) -> float:
    """The share of lists of some days with at least one click."""
    clicked = {one.request_id for one in world.feedback if one.event_type == "click"}
    lists = [
        one.request_id in clicked
        for one in world.requests
        if date.fromisoformat(first) <= berlin(one.occurred_at) <= date.fromisoformat(last)
        and one.version == names.get("version", one.version)
        and one.assignment is not None
        and one.assignment.variant == names.get("variant", one.assignment.variant)
    ]
    return sum(lists) / len(lists)


def test_engagement(shop: Shop) -> None:
    rows = [
        row for row in shop.rows("engagement", "figures") if row["figure"] == "Click-through rate per list"
    ]
    assert {row["version"] for row in rows} == {"r2", "p1"}
    for row in rows:
        truth = clicked_share(shop.world, row["first"], row["last"], version=row["version"])
        assert float(row["value"]) == pytest.approx(truth)
        assert float(row["low"]) < truth < float(row["high"])


def test_experiments(shop: Shop) -> None:
    rows = [
        row for row in shop.rows("experiments", "figures") if row["figure"] == "Click-through rate per list"
    ]
    values = {row["variant"]: float(row["value"]) for row in rows}
    assert values == {
        row["variant"]: pytest.approx(
            clicked_share(shop.world, row["first"], row["last"], variant=row["variant"])
        )
        for row in rows
    }
    assert values["treatment"] > 1.5 * values["control"]
    assert f"Experiment {EXPERIMENT}" in shop.client.get("/experiments").text


def test_churn(shop: Shop) -> None:
    rows, active = shop.rows("churn", "periods"), shop.active_days()
    assert len(rows) == 2
    for row in rows:
        last = date.fromisoformat(row["until"])
        now = {user for user, days in active.items() if any(last - 27 * DAY <= one <= last for one in days)}
        before = {
            user
            for user, days in active.items()
            if any(last - 55 * DAY <= one <= last - 28 * DAY for one in days)
        }
        new = {user for user in now if min(active[user]) > last - 28 * DAY}
        truth = {
            "active": now, "new": new, "retained": now & before, "lost": before - now,
            "resurrected": now - before - new,
        }  # fmt: skip
        assert {name: float(row[name]) for name in truth} == {
            name: len(users) for name, users in truth.items()
        }


def test_retention(shop: Shop) -> None:
    rows, active = shop.rows("retention", "cohorts"), shop.active_days()
    shown = 0
    for row in rows:
        monday = date.fromisoformat(row["cohort"])
        cohort = [days for days in active.values() if monday <= min(days) <= monday + 6 * DAY]
        for week in range(13):
            if row[f"week_{week}"]:
                came = [
                    any(min(d) + 7 * week * DAY <= one <= min(d) + (7 * week + 6) * DAY for one in d)
                    for d in cohort
                ]
                assert float(row[f"week_{week}"]) == pytest.approx(sum(came) / len(cohort))
                shown += 1
    assert shown > 5


def test_every_page_answers_in_words(shop: Shop) -> None:
    for page, words in {
        "engagement": "Users acted on ",
        "catalogue": "The lists of ",
        "retention": "of the users whose first visit was in the week from ",
        "churn": "Of the users active before, ",
        "experiments": "This is not a verdict.",
    }.items():
        assert words in shop.client.get(f"/{page}").text, page
