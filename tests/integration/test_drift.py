"""The drift report: real traffic in, an offline page and a summary out."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest
from sqlalchemy import select

from support.drift_worlds import DriftWorld
from support.served_homes import DAYS, N_ITEMS, START, events, make_home
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Item, Record
from tastemaker.event_log.spool import Spool
from tastemaker.monitoring.drift import MIN_REQUESTS, DriftReport, drift_report, most_served
from tastemaker.monitoring.drift_reference import DriftReference
from tastemaker.registry import Registry, Version
from tastemaker.simulator.shop.shifts import Shift
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import reports
from tastemaker.workflows.drift_reference import ensure_drift_reference

# Evidently's own use of other libraries.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::RuntimeWarning"
)


def serve(home: Path, version: str, shown: list[tuple[str, list[str], datetime]]) -> None:
    """Log answers as a service would, and drain them."""
    spool = Spool(home / "spool")
    for number, (user_id, item_ids, timestamp) in enumerate(shown):
        items = [Item(item_id, 0.0, 1.0) for item_id in item_ids]
        record = Record(
            f"{version}-{number}",
            timestamp.timestamp(),
            user_id,
            len(items),
            "popularity",
            version,
            items,
            0.5,
        )
        spool.offer(record)
    spool.close()
    drain(home / "spool", Lake(home / "lake"))


def report_on(home: Path, version: Version, now: datetime | None = None) -> DriftReport:
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    lake = Lake(home / "lake")
    reference = ensure_drift_reference(lake, Registry(engine, home / "artifacts"), version)
    return drift_report(lake, engine, home / "reports", version, reference, now=now)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    return tmp_path / "home"


@pytest.fixture
def version(home: Path) -> Version:
    """A version that learned from 600 purchases."""
    return make_home(home)["popularity"]


def as_learned() -> list[tuple[str, list[str], datetime]]:
    """Return data that repeat the training window: the same users see the most popular items."""
    later = timedelta(days=DAYS)
    best = [f"item-{number:02d}" for number in range(10)]
    return [(row["user_id"], best, row["occurred_at"] + later) for row in events().to_pylist()]


def alarms(report: DriftReport) -> set[str]:
    return {f"{one['side']}.{one['column']}" for one in report.summary["columns"] if one["alarm"]}


def test_unknown_users_with_expensive_items_at_night_are_found(home: Path, version: Version) -> None:
    night = START + timedelta(days=DAYS, hours=3)
    dear = [f"item-{N_ITEMS - 1 - number:02d}" for number in range(5)]
    serve(home, version.id, [(f"unknown-{number}", dear, night) for number in range(MIN_REQUESTS)])
    report = report_on(home, version)
    assert {"users.user_country", "lists.item_price", "lists.item_popularity_percent"} <= alarms(report)
    price = next(one for one in report.summary["columns"] if one["column"] == "item_price")
    assert (price["direction"], price["n"], price["window_days"]) == ("higher", 5 * MIN_REQUESTS, 1)
    assert re.search(r"price of the items shown: \d+% higher than in the reference", price["sentence"])
    page = html.unescape(report.path.read_text())
    assert report.summary["verdict"] in page
    assert "columns changed more than is usual" in report.summary["verdict"]
    json.dumps(report.summary, allow_nan=False)
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    with engine.connect() as connection:
        row = connection.execute(select(reports)).mappings().one()
    assert (row["kind"], row["problem"], row["version_id"]) == ("drift", "small shop", version.id)
    assert row["summary"] == report.summary
    assert (row["path"], row["window_start"].replace(tzinfo=UTC).date()) == (str(report.path), night.date())


def test_pages_by_evidently_have_titles_no_verdict_of_their_own_and_no_other_host(
    home: Path, version: Version
) -> None:
    night = START + timedelta(days=DAYS, hours=3)
    serve(home, version.id, [(f"user-{number % 40:02d}", ["item-03"], night) for number in range(200)])
    report = report_on(home, version)
    listed = (home / "reports" / "index.html").read_text()
    found = sorted(report.path.parent.glob("*-evidently.html"))
    assert [path.name for path in found] == ["lists-evidently.html", "users-evidently.html"]
    for path in found:
        document = path.read_text()
        assert path.name in report.path.read_text()
        assert quote(str(path.relative_to(home / "reports"))) in listed
        assert re.search(r"<title>Histograms of (users|lists): popularity", document)
        assert '<meta name="viewport"' in document
        assert "DriftedColumnsCount" not in document
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?https?:", document)


def test_days_without_any_data_do_not_count_as_time_since_the_last_visit(
    home: Path, version: Version
) -> None:
    users = [f"user-{number:02d}" for number in range(40)] * 3
    best = [f"item-{number:02d}" for number in range(10)]
    recency = []
    for days in (0, 100):
        timestamp = START + timedelta(days=DAYS + days, hours=12)
        serve(home, version.id, [(user, best, timestamp) for user in users])
        columns = report_on(home, version).summary["columns"]
        recency.append(next(one for one in columns if one["column"] == "user_recency_days")["current"])
        for path in (home / "lake" / "requests").glob("day=*/*.parquet"):
            path.unlink()
    assert recency[0] == recency[1]


@pytest.mark.parametrize("n", [0, MIN_REQUESTS - 1])
def test_too_few_requests_are_said_and_not_compared(home: Path, version: Version, n: int) -> None:
    serve(home, version.id, as_learned()[:n])
    report = report_on(home, version)
    assert report.summary["columns"] == []
    assert report.summary["verdict"].startswith("It can't be said yet whether something changed.")
    assert f"has answered {n} logged requests" in report.summary["note"]
    assert report.summary["note"] in html.unescape(report.path.read_text())
    assert not list(report.path.parent.glob("*-evidently.html"))


def test_only_what_this_version_answered_counts(home: Path, version: Version) -> None:
    serve(home, "another version", as_learned())
    serve(home, version.id, as_learned()[:7])
    assert most_served(Lake(home / "lake"), days=DAYS) == "another version"
    assert "has answered 7 logged requests" in report_on(home, version).summary["note"]


def test_nothing_served_has_no_most_served_version(tmp_path: Path) -> None:
    assert most_served(Lake(tmp_path)) is None


def test_the_newest_day_decides_which_version_is_reported_on(home: Path, version: Version) -> None:
    old = as_learned()
    serve(home, "before", old)
    serve(home, version.id, [(user, items, START + timedelta(days=3 * DAYS)) for user, items, _ in old[:3]])
    assert most_served(Lake(home / "lake")) == version.id


def test_a_reference_is_stored_with_the_version_and_keeps_the_prices_of_its_time(
    home: Path, version: Version
) -> None:
    lake = Lake(home / "lake")
    registry = Registry(open_engine(f"sqlite:///{home / 'tastemaker.db'}"), home / "artifacts")
    first = ensure_drift_reference(lake, registry, version)
    items = lake.read("items")
    at = items.column_names.index("price")
    lake.write("items", items.set_column(at, items.schema.field(at), pa.array([99.0] * len(items))))
    again = ensure_drift_reference(lake, registry, version)
    assert again.sides["lists"].equals(first.sides["lists"])
    assert set(first.sides) == {"users", "lists", "choices"}
    assert not any("user_id" in rows.column_names for rows in first.sides.values())
    (version.folder / "drift_reference" / "lists.parquet").write_bytes(b"damaged")
    assert DriftReference.load(version.folder) is None


@pytest.mark.slow
def test_a_price_shift_is_found_on_its_first_days_and_healthy_days_are_silent(tmp_path: Path) -> None:
    shift = Shift(kind="price", day=45, size=0.8)
    world = DriftWorld(
        tmp_path, learned_days=43, days=4, shifts=[shift], n_users=600, n_items=200, events_per_day=900
    )
    nights = [world.night() for _ in range(4)]
    before, after = nights[:2], nights[2:]
    assert [alarms(report) for report in before] == [set(), set()]
    assert all("choices.item_price" in alarms(report) for report in after)
    # The next version was trained with the new prices: to it they are usual.
    assert ["lists.item_price" in alarms(report) for report in after] == [True, False]
    assert "price of the items" in after[0].summary["verdict"]
