"""The drift report: real traffic in, an offline page and a summary out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from served_homes import DAYS, N_ITEMS, START, events, make_home
from tastemaker.data.lake import Lake
from tastemaker.health.drift import MIN_REQUESTS, drift_report
from tastemaker.health.traffic import most_served, traffic
from tastemaker.logs.drain import drain
from tastemaker.logs.records import Item, Record
from tastemaker.logs.spool import Spool
from tastemaker.registry import Version
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import reports

# Evidently's own use of other libraries.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::RuntimeWarning"
)


def serve(home: Path, version: str, shown: list[tuple[str, list[str], datetime]]) -> None:
    """Log answers as a service would, and drain them."""
    spool = Spool(home / "spool")
    for number, (user_id, item_ids, moment) in enumerate(shown):
        items = [Item(item_id, 0.0, 1.0) for item_id in item_ids]
        spool.offer(
            Record(
                f"{version}-{number}",
                moment.timestamp(),
                user_id,
                len(items),
                "popularity",
                version,
                items,
                0.5,
            )
        )
    spool.close()
    drain(home / "spool", Lake(home / "lake"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    return tmp_path / "home"


@pytest.fixture
def version(home: Path) -> Version:
    """A version that learned from 600 purchases."""
    return make_home(home)["popularity"]


def as_learned() -> list[tuple[str, list[str], datetime]]:
    """Traffic that repeats the training window: the same users are shown what they bought, a month later."""
    later = timedelta(days=DAYS)
    return [(row["user_id"], [row["item_id"]], row["occurred_at"] + later) for row in events().to_pylist()]


def test_traffic_like_the_training_window_has_not_drifted(home: Path, version: Version) -> None:
    serve(home, version.id, as_learned())
    report = drift_report(
        Lake(home / "lake"), open_engine(f"sqlite:///{home / 'tastemaker.db'}"), home, version
    )
    assert report.drifted == []
    assert set(report.summary["columns"]) == {
        "item_popularity_percent", "item_price", "user_events_count", "user_recency_days", "hour_of_day",
        "item_category", "user_known",
    }  # fmt: skip
    assert max(column["distance"] for column in report.summary["columns"].values()) < 1e-6
    assert (report.summary["requests"], report.summary["events_learned"]) == (600, 600)


def test_strangers_who_are_shown_dear_items_at_night_are_drift(home: Path, version: Version) -> None:
    night = START + timedelta(days=DAYS, hours=3)
    dear = [f"item-{N_ITEMS - 1 - number:02d}" for number in range(5)]
    serve(home, version.id, [(f"stranger-{number}", dear, night) for number in range(MIN_REQUESTS)])
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    report = drift_report(Lake(home / "lake"), engine, home / "reports", version)
    assert {"item_popularity_percent", "item_price", "hour_of_day", "user_known", "user_events_count"} <= set(
        report.drifted
    )
    assert "user_recency_days" not in report.summary["columns"], "strangers have none: it can't be compared"
    page = report.path.read_text()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?https?:", page), (
        "works offline"
    )
    assert f"{MIN_REQUESTS:,} answers" in page
    with engine.connect() as connection:
        row = connection.execute(select(reports)).mappings().one()
    assert (row["kind"], row["problem"], row["version_id"]) == ("drift", "small shop", version.id)
    assert row["summary"] == report.summary
    assert row["path"] == str(report.path)
    assert row["window_start"].replace(tzinfo=UTC) == night


@pytest.mark.parametrize("n", [0, MIN_REQUESTS - 1])
def test_too_few_requests_are_said_and_not_measured(home: Path, version: Version, n: int) -> None:
    serve(home, version.id, as_learned()[:n])
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    report = drift_report(Lake(home / "lake"), engine, home / "reports", version)
    assert report.summary["columns"] == {}
    assert f"has answered {n} logged requests" in report.summary["note"]
    assert report.summary["note"] in report.path.read_text()


def test_only_what_this_version_showed_counts(home: Path, version: Version) -> None:
    serve(home, "another version", as_learned())
    serve(home, version.id, as_learned()[:7])
    lake = Lake(home / "lake")
    assert most_served(lake) == "another version"
    found = traffic(lake, version.manifest)
    assert (found.requests, found.impressions, len(found.shown)) == (7, 7, 7)
    assert found.last == max(moment for _, _, moment in as_learned()[:7])


def test_what_is_described_agrees_with_an_independent_count(home: Path, version: Version) -> None:
    """The popularity percentile and the user's events, recomputed with numpy from the raw purchases."""
    serve(home, version.id, as_learned()[:50])
    rows = events().to_pylist()
    buyers = {
        item: {row["user_id"] for row in rows if row["item_id"] == item}
        for item in {r["item_id"] for r in rows}
    }
    counts = np.array([len(users) for users in buyers.values()])
    shown = traffic(Lake(home / "lake"), version.manifest).shown.to_pylist()
    expected = []
    for user, (item,), moment in as_learned()[:50]:
        mine = [row["occurred_at"] for row in rows if row["user_id"] == user]
        below = np.sum(counts < len(buyers[item]))
        end = datetime.fromtimestamp(version.manifest.window.end, UTC)
        expected.append(
            (
                100 * below / (len(counts) - 1),
                len(mine),
                (end - max(mine)).total_seconds() / 86_400,
                moment.hour,
            )
        )
    found = [
        (
            row["item_popularity_percent"],
            row["user_events_count"],
            row["user_recency_days"],
            row["hour_of_day"],
        )
        for row in shown
    ]
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), rtol=1e-9)


def test_nothing_served_has_no_most_served_version(tmp_path: Path) -> None:
    assert most_served(Lake(tmp_path)) is None
