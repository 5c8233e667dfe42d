"""The drift report: real traffic in, an offline page and a summary out."""

from __future__ import annotations

import html
import json
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select

from support.served_homes import DAYS, N_ITEMS, START, events, make_home
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Item, Record
from tastemaker.event_log.spool import Spool
from tastemaker.monitoring import distributions, drift
from tastemaker.monitoring.drift import MIN_REQUESTS, NO_VERDICT, DriftReport, drift_report
from tastemaker.monitoring.traffic import LABELS, NUMBERS, DriftData, drift_data, most_served
from tastemaker.registry import Version
from tastemaker.registry.manifest import Manifest
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
    """Data that repeat the training window: the same users are shown what they bought, a month later."""
    later = timedelta(days=DAYS)
    return [(row["user_id"], [row["item_id"]], row["occurred_at"] + later) for row in events().to_pylist()]


COLUMNS = {
    "item_popularity_percent", "item_price", "user_events_count", "user_recency_days", "hour_of_day",
    "item_category", "user_known",
}  # fmt: skip


def test_traffic_like_the_training_window_has_the_same_figures_on_both_sides(
    home: Path, version: Version
) -> None:
    serve(home, version.id, as_learned())
    report = drift_report(
        Lake(home / "lake"), open_engine(f"sqlite:///{home / 'tastemaker.db'}"), home, version
    )
    assert set(report.summary["columns"]) == COLUMNS
    assert all(column["learned"] == column["shown"] for column in report.summary["columns"].values())
    assert (report.summary["requests"], report.summary["events_learned"]) == (600, 600)


def verdicts(report: DriftReport) -> list[str]:
    """Words of a verdict on a column: in the summary, on the page, in what Evidently was asked for."""
    details = report.path.with_name(f"{report.path.stem}-evidently.html").read_text()
    page = html.unescape(report.path.read_text()).replace(NO_VERDICT, "")
    said = re.findall(r"drifted|detected|distance|alarm|threshold", json.dumps(report.summary) + page, re.I)
    return said + re.findall(r"ValueDrift|DriftedColumnsCount", details)


def test_unknown_users_with_expensive_items_at_night_get_no_verdict(home: Path, version: Version) -> None:
    night = START + timedelta(days=DAYS, hours=3)
    dear = [f"item-{N_ITEMS - 1 - number:02d}" for number in range(5)]
    serve(home, version.id, [(f"unknown-{number}", dear, night) for number in range(MIN_REQUESTS)])
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    report = drift_report(Lake(home / "lake"), engine, home / "reports", version)
    columns = report.summary["columns"]
    assert columns["hour_of_day"]["shown"]["quantiles"] == [3.0] * 5
    assert columns["user_known"]["shown"]["shares"] == {"known": 0.0, "unknown": 1.0}
    assert columns["user_recency_days"]["shown"] == {"rows": 500, "missing": 500, "quantiles": None}
    assert report.summary["evaluated"] is False
    assert verdicts(report) == []
    page = report.path.read_text()
    assert NO_VERDICT in html.unescape(page)
    assert f"{MIN_REQUESTS:,} answers" in page
    assert "no value" in page, "unknown users have no last event"
    details = report.path.with_name(f"{report.path.stem}-evidently.html")
    assert f'href="{details.name}"' in page
    assert "<title>Histograms: popularity" in details.read_text()
    for document in (page, details.read_text()):
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?https?:", document)
    listed = (report.path.parent / "index.html").read_text()
    assert report.path.name in listed
    assert details.name in listed
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
    assert [page.name for page in report.path.parent.glob("*-evidently.html")] == []


@pytest.mark.parametrize("price", [None, math.nan, math.inf])
@pytest.mark.parametrize("sides", [("learned",), ("shown",), ("learned", "shown")])
def test_a_column_without_any_value_is_said_and_does_not_stop_the_report(
    home: Path, version: Version, monkeypatch: pytest.MonkeyPatch, price: float | None, sides: tuple[str, ...]
) -> None:
    def without_prices(lake: Lake, manifest: Manifest) -> DriftData:
        found = drift_data(lake, manifest)
        for side in sides:
            table: pa.Table = getattr(found, side)
            at = table.column_names.index("item_price")
            prices = pa.array([price] * len(table), pa.float64())
            found = found._replace(**{side: table.set_column(at, "item_price", prices)})
        return found

    monkeypatch.setattr(drift, "drift_data", without_prices)
    serve(home, version.id, as_learned())
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    report = drift_report(Lake(home / "lake"), engine, home / "reports", version)
    for side in sides:
        assert report.summary["columns"]["item_price"][side] == {
            "rows": 600, "missing": 600, "quantiles": None
        }  # fmt: skip
    json.dumps(report.summary, allow_nan=False)
    assert report.path.read_text().count("no value") == len(sides)


def test_figures_agree_with_numpy_and_leave_out_what_is_no_number() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000)
    holes = np.where(rng.random(1000) < 0.2, rng.choice([math.nan, math.inf, -math.inf], 1000), values)
    table = pa.table(
        {name: pa.array(holes) for name in NUMBERS} | {name: pa.array(["a", "b"] * 500) for name in LABELS}
    )
    found = distributions.described(table, table)
    kept = holes[np.isfinite(holes)]
    column = found["item_price"]["learned"]
    assert column["missing"] == 1000 - len(kept)
    np.testing.assert_allclose(column["quantiles"], np.percentile(kept, [5, 25, 50, 75, 95]))
    assert distributions.finite(table)["item_price"].null_count == 1000 - len(kept)


def test_many_labels_are_listed_by_frequency_and_the_rest_together() -> None:
    labels = [f"label {at:02d}" for at in range(20) for _ in range(at + 1)]
    learned, shown = (
        pa.table(
            {name: pa.nulls(len(some), pa.float64()) for name in NUMBERS}
            | {name: pa.array(some) for name in LABELS}
        )
        for some in (labels, ["new", *labels[-2:], None])
    )
    found = distributions.described(learned, shown)["item_category"]
    assert list(found["learned"]["shares"]) == list(found["shown"]["shares"])
    assert len(found["learned"]["shares"]) == distributions.MOST + 1
    assert found["shown"]["missing"] == 1
    assert list(found["shown"]["shares"])[:2] == ["label 19", "new"]
    for side in ("learned", "shown"):
        assert sum(found[side]["shares"].values()) == pytest.approx(1)


def test_only_what_this_version_showed_counts(home: Path, version: Version) -> None:
    serve(home, "another version", as_learned())
    serve(home, version.id, as_learned()[:7])
    lake = Lake(home / "lake")
    assert most_served(lake) == "another version"
    found = drift_data(lake, version.manifest)
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
    shown = drift_data(Lake(home / "lake"), version.manifest).shown.to_pylist()
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
