"""Online Retail through the gate: every count exactly, and found again by an independent computation."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sqlalchemy import create_engine

from tastemaker.data.ingest import land
from tastemaker.data.lake import Lake
from tastemaker.data.sources import open_source
from tastemaker.data.validation.publishing import Published, validate_and_publish
from tastemaker.html import index
from tastemaker.settings import SourceSettings
from tastemaker.storage.tables import metadata
from tastemaker_expectations.gate import GreatExpectationsGate

ACCEPTED = 388_558
QUARANTINED = {
    "exact_duplicate": 5_268,
    "cancellation_matched": 7_444,
    "cancellation_unmatched": 1_807,
    "no_customer": 134_658,
    "not_a_product": 1_549,
    "price_not_positive": 33,
    "purchase_cancelled": 2_592,
}


@pytest.fixture(scope="module")
def published(online_retail: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Published, Path]:
    """The whole file, landed and validated, with its Data Docs."""
    folder = tmp_path_factory.mktemp("online_retail")
    lake, engine = Lake(folder / "lake"), create_engine("sqlite://")
    metadata.create_all(engine)
    land(open_source(SourceSettings(name="online_retail", path=online_retail)), lake)
    gate = GreatExpectationsGate("online_retail")
    result = validate_and_publish("online_retail", lake, gate, engine)
    gate.write_docs(folder / "docs")
    return lake, result, folder / "docs"


def test_every_row_is_accounted_for(published: tuple[Lake, Published, Path]) -> None:
    lake, result, _ = published
    assert result.total.quarantined == QUARANTINED
    assert list(result.total.quarantined) == list(QUARANTINED), "reasons in the suite's order"
    assert (result.total.read, result.total.accepted) == (541_909, ACCEPTED)
    assert ACCEPTED + sum(QUARANTINED.values()) == 541_909
    assert len(result.days) == 305
    quarantine = lake.read("quarantine")
    assert Counter(quarantine.column("rule").to_pylist()) == QUARANTINED
    assert set(quarantine.column("source").to_pylist()) == {"online_retail"}
    assert lake.read("events").num_rows == ACCEPTED


def test_an_independent_computation_agrees(
    published: tuple[Lake, Published, Path], online_retail: Path
) -> None:
    """The same rules, written again row by row in pandas."""
    lines = pd.read_parquet(online_retail).reset_index(drop=True)
    cancels = lines.InvoiceNo.str.startswith("C")
    duplicate = lines.duplicated(keep="first")
    taken_from, matched = take_back(lines[~duplicate & lines.CustomerID.notna()])
    left = lines.Quantity - lines.index.map(taken_from).fillna(0)
    product = lines.StockCode.str.upper().str.match(r"^(\d{5}[A-Z]*|DCGS[0-9A-Z]+)$")
    reasons = [
        ("exact_duplicate", duplicate),
        ("cancellation_matched", cancels & lines.index.isin(matched)),
        ("cancellation_unmatched", cancels),
        ("no_customer", lines.CustomerID.isna()),
        ("not_a_product", ~product),
        ("quantity_not_positive", lines.Quantity <= 0),
        ("price_not_positive", lines.UnitPrice <= 0),
        ("purchase_cancelled", left <= 0),
    ]
    verdict = pd.Series("accepted", index=lines.index)
    for name, failed in reversed(reasons):
        verdict[failed] = name
    assert dict(Counter(verdict)) == {**QUARANTINED, "accepted": ACCEPTED}

    sound = verdict == "accepted"
    events = published[0].read("events")
    value = (left * lines.UnitPrice)[sound].round(2).sum()
    assert pc.sum(events.column("value")).as_py() == pytest.approx(value, abs=0.01)
    ours = Counter(events.column("user_id").to_pylist())
    assert ours == Counter(lines.CustomerID[sound].astype(int).astype(str))


def take_back(lines: pd.DataFrame) -> tuple[dict[int, int], set[int]]:
    """Purchase -> quantity taken back, and the cancellations that took it: one walk through time."""
    taken: dict[int, int] = {}
    matched: set[int] = set()
    open_purchases: dict[tuple[float, str], list[tuple[int, int]]] = defaultdict(list)
    ordered = lines.sort_values("InvoiceDate", kind="stable")
    columns = (ordered[name].tolist() for name in ("InvoiceNo", "CustomerID", "StockCode", "Quantity"))
    for row, invoice, customer, code, quantity in zip(ordered.index, *columns, strict=True):
        purchases = open_purchases[customer, code.upper()]
        if not invoice.startswith("C"):
            purchases.append((row, quantity))
            continue
        enough = [p for p, sold in reversed(purchases) if sold - taken.get(p, 0) >= -quantity]
        if enough:
            taken[enough[0]] = taken.get(enough[0], 0) - quantity
            matched.add(row)
    return taken, matched


def test_items_and_users(published: tuple[Lake, Published, Path]) -> None:
    lake, result, _ = published
    items = {row["item_id"]: row for row in lake.read("items").to_pylist()}
    assert items["85123A"]["title"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert items["85123A"]["price"] == pytest.approx(2.95)
    assert "85123a" not in items
    assert "POST" not in items
    assert len(items) == 3_798
    users = {row["user_id"]: row for row in lake.read("users").to_pylist()}
    assert users["12347"]["country"] == "Iceland"
    assert len(users) == 4_372
    assert result.tables["items"].refused == result.tables["users"].refused == 0
    with lake.connect() as connection:
        orphans = connection.sql("SELECT * FROM events ANTI JOIN items USING (item_id)")
        assert orphans.fetchall() == []


def test_british_summer_time(published: tuple[Lake, Published, Path]) -> None:
    """The shop's clock is ahead of UTC in July: its first sound line of that month is of 08:16."""
    events = published[0].read("events")
    times = dict(zip(events["event_id"].to_pylist(), events["occurred_at"].to_pylist(), strict=True))
    assert times["536365-85123A-1"].isoformat() == "2010-12-01T08:26:00+00:00"
    summer = min(time for time in times.values() if time.month == 7)
    assert summer.isoformat() == "2011-07-01T07:16:00+00:00"


def test_data_docs_need_no_network(published: tuple[Lake, Published, Path]) -> None:
    pages = {path.name: path.read_text() for path in published[2].iterdir()}
    assert set(pages) == {
        f"online_retail-{table}{end}.html"
        for table in ("events", "items", "users")
        for end in ("", "-details")
    }
    details = pages["online_retail-events-details.html"]
    assert "7444 unexpected values found" in details
    assert "of 541909 total rows" in details
    head = index.head_of(published[2] / "online_retail-events.html")
    assert head is not None
    assert head.title == "Data check: events of online_retail"
    assert head.rows == "541,909 rows checked, 2010-12-01 to 2011-12-09"
    assert "rules are broken" in head.summary
    assert "(7,444)" in head.summary
    items = index.head_of(published[2] / "online_retail-items.html")
    assert items is not None
    assert items.summary.startswith("No row breaks any of the")
    remote = ("<link", "<script", "src=", "url(", "http:", "https:")
    assert [(name, mark) for name, page in pages.items() for mark in remote if mark in page] == []


@pytest.mark.parametrize("kind", ["csv", "kaggle.csv", "xlsx"])
def test_other_formats_read_the_same(online_retail: Path, tmp_path: Path, kind: str) -> None:
    lines = pd.read_parquet(online_retail).iloc[:2_000]
    lines.to_parquet(tmp_path / "lines.parquet")
    path = tmp_path / f"lines.{kind}"
    if kind == "xlsx":
        lines.to_excel(path, index=False)
    elif kind == "csv":
        lines.to_csv(path, index=False)
    else:
        lines.to_csv(path, index=False, date_format="%m/%d/%Y %H:%M", encoding="latin-1")
    expected, found = (read(each) for each in (tmp_path / "lines.parquet", path))
    own = [name for name in expected.column_names if not name.startswith("raw_")]
    assert found.select(own).equals(expected.select(own))


def read(path: Path) -> pa.Table:
    source = open_source(SourceSettings(name="online_retail", path=path))
    return pa.concat_tables(source.read(None, 1_000))
