"""The lake and its source: what was corrected or deleted, what is not covered, and a source that moved."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine

from support import small_shop
from support.home_copies import copy_home
from tastemaker.cli.main import cli
from tastemaker.data import source_identity
from tastemaker.data.ingest import LandedDays, land
from tastemaker.data.lake import UNDATED, Lake
from tastemaker.data.prune import prune
from tastemaker.data.source_period import Period
from tastemaker.data.sources import Source, open_source
from tastemaker.data.validation.gate import GateCounts
from tastemaker.data.validation.ingested_days import read_ingested_days
from tastemaker.data.validation.publishing import validate_and_publish
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings
from tastemaker.storage.tables import metadata
from tastemaker_expectations.gate import GreatExpectationsGate

GATE = GreatExpectationsGate("table")


class Shop:
    """A CSV file, a lake and a database in one folder."""

    def __init__(self, folder: Path, file: str = "orders.csv") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / file
        self.lake = Lake(folder / "home" / "lake")
        self.engine: Engine = create_engine(f"sqlite:///{folder / 'meta.db'}")
        metadata.create_all(self.engine)

    def write(self, days: Sequence[int | str], *, rows: int = 2, user: str = "u") -> None:
        """Days of January 2024, `rows` rows each; a text is a time as it stands."""
        lines = [
            f"{user}{n},i{n},{f'2024-01-{day:02}' if isinstance(day, int) else day}"
            for day in days
            for n in range(rows)
        ]
        self.file.write_text("\n".join(["user_id,item_id,occurred_at", *lines]) + "\n")

    @property
    def source(self) -> Source:
        return open_source(SourceSettings(name="table", path=self.file))

    def load(self, days: Period | None = None) -> LandedDays:
        landed = land(self.source, self.lake, days=days)
        validate_and_publish("table", self.lake, GATE, self.engine)
        return landed

    @property
    def days(self) -> list[int]:
        """The days of January that have events in the lake; the ingested days and the landed files agree."""
        made = self.lake.days("events")
        assert made == self.lake.days("landed_events") == sorted(read_ingested_days(self.engine, "table"))
        return [day.day for day in made if day != UNDATED]

    @property
    def counts(self) -> tuple[int, int]:
        """Rows accepted and in quarantine."""
        return len(self.lake.read("events")), len(self.lake.read("quarantine"))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


def test_days_that_vanished_within_the_period_are_removed(shop: Shop) -> None:
    shop.write([1, 2, 3, 4])
    shop.load()
    shop.write([1, 3, 4])
    landed = shop.load()
    assert shop.days == [1, 3, 4]
    assert (landed.removed.rows, landed.outside.rows) == (2, 0)
    assert len(shop.lake.read("events")) == 6


def test_days_outside_the_period_stay_and_are_counted_until_they_are_pruned(shop: Shop) -> None:
    shop.write([1, 2, 3], rows=3)
    shop.load()
    shop.write([3, 4], rows=2)
    landed = shop.load()
    assert shop.days == [1, 2, 3, 4]
    assert str(landed.outside) == "6 rows on 2 days (2024-01-01 to 2024-01-02)"
    assert shop.load().outside == landed.outside
    assert prune(shop.source, shop.lake, shop.engine) == landed.outside
    assert shop.days == [3, 4]
    assert shop.load().outside.days == ()


def test_corrected_dates_leave_nothing_behind_within_the_period(shop: Shop) -> None:
    """Day and month were read the wrong way around: all rows move to other days."""
    shop.write([1, 5, 9, 13])
    shop.load()
    shop.write([1, 6, 10, 13])
    shop.load()
    assert shop.days == [1, 6, 10, 13]


def test_a_chosen_range_is_the_truth_for_itself_alone(shop: Shop) -> None:
    shop.write([1, 2, 3, 4, 5])
    shop.load()
    shop.write([1, 5])
    shop.load(Period(date(2024, 1, 2), date(2024, 1, 3)))
    assert shop.days == [1, 4, 5]


def test_an_empty_file_changes_nothing_and_is_refused(shop: Shop) -> None:
    shop.write([1, 2])
    shop.load()
    shop.write([])
    with pytest.raises(SourceError, match="is empty: 0 rows were read; the lake keeps its 4 rows on 2 days"):
        shop.load()
    with pytest.raises(SourceError, match="is empty"):
        prune(shop.source, shop.lake, shop.engine)
    assert shop.days == [1, 2]


def test_rows_without_a_time_are_those_of_the_last_reading(shop: Shop) -> None:
    shop.write([1, 2, "no time"], rows=1)
    shop.load()
    assert shop.counts == (2, 1)
    shop.write([1, 2], rows=1)
    landed = shop.load()
    assert shop.counts == (2, 0)
    assert landed.removed.rows == 1
    assert landed.outside.rows == 0


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sets(st.integers(1, 9), min_size=1), min_size=1, max_size=4))
def test_the_lake_is_what_an_independent_model_says(
    tmp_path_factory: pytest.TempPathFactory, files: list[set[int]]
) -> None:
    shop = Shop(tmp_path_factory.mktemp("model"))
    expected: set[int] = set()
    for days in files:
        shop.write(sorted(days), rows=1)
        shop.load()
        expected = {day for day in expected if not min(days) <= day <= max(days)} | days
        assert shop.days == sorted(expected)
    total = GateCounts()
    for entry in read_ingested_days(shop.engine, "table").values():
        total.add(entry.counts)
    assert total.read == total.accepted + total.refused == len(expected) == shop.counts[0]


def test_a_folder_that_is_moved_and_copied_stays_the_same_source(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "here")
    shop.write([1, 2])
    shop.load()
    copy_home(tmp_path / "here", tmp_path / "copy")
    shutil.move(tmp_path / "here", tmp_path / "there")
    for name in ("copy", "there"):
        moved = Shop(tmp_path / name)
        assert moved.load().unchanged == 2
        moved.write([1, 2, 3], user="other")  # no day of the same content any more
        assert len(moved.load().days) == 3
        assert moved.counts == (6, 0)


def test_a_file_of_the_same_content_elsewhere_is_the_same_source(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    shop.write([1, 2])
    shop.load()
    elsewhere = tmp_path / "elsewhere" / "renamed.csv"
    elsewhere.parent.mkdir()
    shop.file = shop.file.rename(elsewhere)
    shop.write([1, 2, 3])
    assert shop.load().unchanged == 2
    assert shop.days == [1, 2, 3]


def test_another_shops_file_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    shop.write([1, 2, 3])
    shop.load()
    shop.file = tmp_path / "other.csv"
    shop.write([2, 3], user="other")
    with pytest.raises(SourceError, match="would be mixed") as refused:
        shop.load()
    assert "tastemaker data adopt" in str(refused.value)
    source_identity.adopt(shop.source, shop.lake)
    assert shop.load().outside.rows == 2
    assert shop.counts == (6, 0)  # two days were replaced, none is there twice
    third = Shop(tmp_path / "shop")
    third.file = tmp_path / "third.csv"
    third.write([1], user="third")
    with pytest.raises(SourceError, match="would be mixed"):
        third.load()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries
def test_prune_and_adopt_show_before_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, file, other = tmp_path / "home", tmp_path / "orders.csv", tmp_path / "other.csv"
    small_shop.settings(home)
    monkeypatch.chdir(tmp_path)

    def done(*words: str, status: int = 0) -> str:
        answer = CliRunner().invoke(cli, words)
        assert answer.exit_code == status, answer.output
        return " ".join(answer.output.split())

    def read(path: Path) -> None:
        monkeypatch.setenv("TASTEMAKER_SOURCE__PATH", str(path))

    monkeypatch.setenv("TASTEMAKER_HOME", str(home))
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(home / "problem.yaml"))
    monkeypatch.setenv("TASTEMAKER_SOURCE__NAME", "table")
    read(file)
    rows = [f"u{n},i{n % 7},2024-01-{n % 9 + 1:02}" for n in range(90)]
    file.write_text("\n".join(["user_id,item_id,occurred_at", *rows]))
    done("run", "--select", "+key:events")
    file.write_text("\n".join(["user_id,item_id,occurred_at", *(row for row in rows if row[-1] not in "15")]))
    said = done("data", "check")
    assert "10 rows on 1 day (2024-01-05) within the period of the source table" in said
    assert "the next run removes them" in said
    assert "10 rows on 1 day (2024-01-01) that the source table does not cover; they stay" in said
    file.write_text("\n".join(["user_id,item_id,occurred_at", *(row for row in rows if row[-1] > "3")]))
    held = "30 rows on 3 days (2024-01-01 to 2024-01-03)"
    assert f"the lake also holds {held}" in done("run", "--select", "+key:events")
    assert f"{held} are in the lake" in (dry := done("data", "prune"))
    assert "Nothing was removed" in dry
    assert len(Lake(home / "lake").days("events")) == 9
    assert f"Removed {held}" in done("data", "prune", "--yes")
    assert len(Lake(home / "lake").days("events")) == 6
    other.write_text("user_id,item_id,occurred_at\nsomebody,else,2024-01-05\n")
    read(other)
    refused = CliRunner().invoke(cli, ["data", "prune", "--yes"])
    assert "tastemaker data adopt" in str(refused.exception)
    assert "1 of them in the lake too" in done("data", "adopt")
    assert "tastemaker data adopt" in str(CliRunner().invoke(cli, ["data", "prune"]).exception)
    assert "Adopted" in done("data", "adopt", "--yes")
    assert "50 rows on 5 days" in done("data", "prune")


def test_a_mistyped_year_in_a_month_does_not_remove_the_months_before(shop: Shop) -> None:
    shop.write([1, 2, 3, "2023-11-11", "2023-12-12"], rows=40)
    shop.load()
    shop.write(list(range(10, 20)), rows=40)
    rows = shop.file.read_text()
    shop.file.write_text(rows + "u1,i1,2019-01-12\n")
    landed = shop.load()
    assert landed.removed.rows == 0
    assert landed.outside.rows == 200
    assert landed.stray.startswith(
        "1 row on 1 day (2019-01-12) lie apart from all others, 2024-01-10 to 2024-01-19: check their dates"
    )
    assert len(shop.lake.days("events")) == 5 + 10 + 1
