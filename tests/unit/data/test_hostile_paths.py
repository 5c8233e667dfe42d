"""No path is a pattern or an unquoted URL, whatever characters its names have."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.ingest import land
from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import literal, open_duckdb
from tastemaker.data.sources import open_source
from tastemaker.notebook.load import load
from tastemaker.settings import Settings, SourceSettings
from tastemaker.storage.engine import open_engine
from tastemaker.util.atomic_files import plain_path, sqlite_url

pytestmark = pytest.mark.slow

NAMES = (
    *(
        "b[1]",
        "qu?est",
        "a*b",
        "h#a",
        "p%20c",
        "sp ace",
        "q'uote",
        'd"q',
        "back\\s",
        "[!x]",
        "c{a,b}",
        "se;mi",
    ),
    *("~t", "a=b", "day=2024-01-01", "$HOME", "nl\nx", "ünï", "**", "a&b"),
)
EVENTS = "user_id,item_id,occurred_at\n{},i1,2024-01-01\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_by_its_name_and_not_its_neighbours(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for other in ("b1", "quXest", "aXb", "x", "ca"):  # what the names match as patterns
        (tmp_path / other).mkdir(exist_ok=True)
        (tmp_path / other / "events.csv").write_text(EVENTS.format("DECOY"))
    (folder / "events.csv").write_text(EVENTS.format("real"))
    monkeypatch.chdir(tmp_path)
    for path in (folder / "events.csv", Path(name) / "events.csv"):
        (rows,) = open_source(SourceSettings(path=path)).read(None, 10)
        assert rows["user_id"].to_pylist() == ["real"]
        assert [each for each in rows.column_names if each in ("a", "day")] == []
    assert load(str(folder / "events.csv")).dataset.user_ids.decode([0]) == ["real"]


def test_a_name_may_have_bytes_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    path.write_text(EVENTS.format("real"))
    source = open_source(SourceSettings(path=path))
    assert land(source, Lake(tmp_path / "lake")).rows == 1
    assert land(source, Lake(tmp_path / "lake")).unchanged == 1


@pytest.mark.parametrize("name", ["events[12].csv", "events?.csv", "events*.csv", "e#%41.csv"])
def test_neighbours_of_a_file_are_not_read(tmp_path: Path, name: str) -> None:
    for decoy in ("events1.csv", "eventsX.csv", "e#A.csv"):
        (tmp_path / decoy).write_text(EVENTS.format("DECOY"))
    (tmp_path / name).write_text(EVENTS.format("real"))
    (rows,) = open_source(SourceSettings(path=tmp_path / name)).read(None, 10)
    assert rows["user_id"].to_pylist() == ["real"]


@pytest.mark.parametrize("name", NAMES)
def test_a_home_keeps_its_lake_and_its_database(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    settings = Settings(home=home)
    lake = Lake(settings.lake)
    lake.write_day("counts", date(2024, 1, 1), pa.table({"n": [1]}))
    assert lake.read("counts").to_pylist() == [{"n": 1}]
    engine = open_engine(settings.metadata_url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
    engine.dispose()
    assert (home / "tastemaker.db").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {name}


@settings(deadline=None, max_examples=50)
@given(name=st.text("ab[]?*{}#%&=\\'\" ~!", min_size=1, max_size=12).filter(lambda name: name.strip() != ""))
def test_duckdb_reads_the_one_file(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("t")
    for number, each in enumerate(("a", "b", "ab", name)):
        pq.write_table(pa.table({"n": [number]}), folder / each)
    with open_duckdb() as connection:
        rows = connection.read_parquet(literal(folder / name), hive_partitioning=False).fetchall()
    assert rows == [(3,)]


def test_a_plain_path_is_a_link_that_comes_back(tmp_path: Path) -> None:
    hostile = tmp_path / "b[1]"
    hostile.mkdir()
    (hostile / "x").write_text("x")
    link = plain_path(hostile)
    assert (link / "x").read_text() == "x"
    assert not set("[]?*#%") & set(str(link))
    link.unlink()
    assert plain_path(hostile) == link
    assert (link / "x").is_file()
    assert plain_path(tmp_path / "plain name") == (tmp_path / "plain name").resolve()
    assert link.parent.stat().st_mode & 0o077 == 0
    assert link.parent.stat().st_uid == os.getuid()
    link.unlink()


def test_a_url_of_sqlite_is_plain_where_it_can_be(tmp_path: Path) -> None:
    assert sqlite_url(tmp_path / "a.db") == f"sqlite:///{tmp_path.resolve() / 'a.db'}"
    assert "?uri=true" in sqlite_url(tmp_path / "a?b.db")
