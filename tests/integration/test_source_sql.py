"""The source `sql` on a real Postgres: tables and SELECTs, types, chunks, and errors without the password."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest
import sqlalchemy as sa

from tastemaker.data.sources import open_source
from tastemaker.data.tabular import rows as written_rows
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings

MAPPING = {
    "user_id": "customer",
    "item_id": "sku",
    "occurred_at": "ordered",
    "value": "amount",
    "title": "name",
}


@pytest.fixture
def shop_url(postgres_url: str) -> str:
    """A shop of 2,500 orders in two time zones' notation."""
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA shop"))
        connection.execute(
            sa.text(
                "CREATE TABLE shop.orders AS SELECT n AS id, 'kundin-' || n % 7 AS customer, n % 5 AS sku, "
                "(n * 0.25)::numeric(10, 2) AS amount, "
                "timestamptz '2024-03-30 12:00+01' + n * interval '1 minute' AS ordered "
                "FROM generate_series(1, 2500) AS n"
            )
        )
        connection.execute(sa.text("CREATE TABLE goods (sku int, name text, price float)"))
        connection.execute(sa.text("INSERT INTO goods VALUES (0, 'Tee', 2.5), (1, NULL, NULL)"))
    return postgres_url


@pytest.mark.servers
@pytest.mark.parametrize("events", ["shop.orders", "SELECT * FROM shop.orders"])
def test_a_table_and_a_select_read_the_same(
    shop_url: str, events: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written_rows, "CHUNK_ROWS", 300)
    settings = SourceSettings(name="sql", url=shop_url, events=events, items="goods", columns=MAPPING)
    source = open_source(settings)
    rows = pa.concat_tables(source.read(None, 400)).sort_by("value").to_pylist()
    assert len(rows) == 2_500
    assert [row["value"] for row in rows] == [n * 0.25 for n in range(1, 2_501)]
    assert rows[0]["occurred_at"].isoformat() == "2024-03-30T11:01:00+00:00"
    assert (rows[9]["user_id"], rows[9]["item_id"], rows[9]["raw_id"]) == ("kundin-3", "0", "10")
    assert source.items().select(["item_id", "title", "price"]).to_pylist() == [
        {"item_id": "0", "title": "Tee", "price": 2.5},
        {"item_id": "1", "title": None, "price": None},
    ]
    assert list(source.days()) == sorted({row["occurred_at"].date() for row in rows})


@pytest.mark.servers
def test_own_columns_of_users(shop_url: str) -> None:
    """A SELECT gives them any name; one that is not asked for is not kept."""
    users = "SELECT 'kundin-' || n AS customer, n > 1 AS \"is big\", NULLIF(n, 1) AS age, 'a@b' AS mail, "
    users += "timestamp '2024-07-05 12:00' AS joined, 'Ü' || n AS place FROM generate_series(1, 2) AS n"
    settings = SourceSettings(
        name="sql",
        url=shop_url,
        events="shop.orders",
        users=users,
        columns=MAPPING,
        user_columns=("is big", "age", "joined", "place"),
    )
    assert [dict(row) for row in open_source(settings).users()["own"].to_pylist()] == [
        {"is big": "false", "age": None, "joined": "2024-07-05 12:00:00", "place": "Ü1"},
        {"is big": "true", "age": "2", "joined": "2024-07-05 12:00:00", "place": "Ü2"},
    ]


@pytest.mark.servers
def test_the_server_hands_over_a_chunk_at_a_time(shop_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement runs under a named cursor, so the client never holds the whole result."""
    seen: list[bool] = []

    def watch(connection: sa.Connection, cursor: object, *_: object) -> None:
        seen.append(getattr(cursor, "name", None) is not None)

    sa.event.listen(sa.Engine, "before_cursor_execute", watch)
    try:
        open_source(SourceSettings(name="sql", url=shop_url, events="shop.orders", columns=MAPPING))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", watch)
    assert seen[-1] is True


@pytest.mark.servers
def test_errors_name_the_database_but_no_password(shop_url: str) -> None:
    url = sa.make_url(shop_url).set(password="s3cret").render_as_string(hide_password=False)
    with pytest.raises(SourceError, match="nowhere") as caught:
        open_source(SourceSettings(name="sql", url=url, events="nowhere", columns=MAPPING))
    assert "s3cret" not in str(caught.value)
    with pytest.raises(SourceError, match="goods has no column item_id, occurred_at; it has sku"):
        open_source(SourceSettings(name="sql", url=url, events="goods", columns={"user_id": "sku"}))


def test_what_is_needed_is_said() -> None:
    with pytest.raises(SourceError, match="needs a database and a table"):
        open_source(SourceSettings(name="sql", events="orders"))
    with pytest.raises(SourceError, match="is not a SQLAlchemy URL"):
        open_source(SourceSettings(name="sql", url="localhost", events="orders"))
    with pytest.raises(SourceError, match="can't be read"):
        open_source(SourceSettings(name="sql", url="nosuch://host/db", events="orders"))


def test_numbers_as_ids_meet_whatever_their_type(tmp_path: Path) -> None:
    """REAL, NUMERIC, INTEGER and TEXT of one database are one id each."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (user_id TEXT, item_id REAL, occurred_at TEXT)"))
        connection.execute(
            sa.text("INSERT INTO orders VALUES (' 7\u00a0', 27, '2024-01-01'), ('8', 1e17, '2024-01-02')")
        )
        connection.execute(sa.text("CREATE TABLE goods (item_id INTEGER)"))
        connection.execute(sa.text("INSERT INTO goods VALUES (27)"))
    engine.dispose()
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    source = open_source(SourceSettings(name="sql", url=url, events="orders", items="goods"))
    rows = pa.concat_tables(source.read(None, 10)).select(["user_id", "item_id"]).to_pylist()
    assert rows == [{"user_id": "7", "item_id": "27"}, {"user_id": "8", "item_id": "1e+17"}]
    assert source.items().column("item_id").to_pylist() == ["27"]


@pytest.mark.parametrize("name", ["shop.db", "a b [1].db", "50%41?x=1#y.db", "\u00fc.db"])
def test_a_file_of_sqlite_may_have_any_name(tmp_path: Path, name: str) -> None:
    _shop(tmp_path / name)
    for written in {name, quote(name)}:
        url = f"sqlite:///{tmp_path / written}"
        source = open_source(SourceSettings(name="sql", url=url, events="orders"))
        assert pa.concat_tables(source.read(None, 10)).column("user_id").to_pylist() == ["u:1"]


def test_a_file_of_sqlite_that_is_missing_is_not_made(tmp_path: Path) -> None:
    for name in ("none.db", "none.db?mode=rw"):
        with pytest.raises(SourceError, match=r"none\.db, and there is no such file") as caught:
            open_source(SourceSettings(name="sql", url=f"sqlite:///{tmp_path / name}", events="orders"))
        assert "four slashes" in str(caught.value.fix)
    assert list(tmp_path.iterdir()) == []


def test_a_colon_in_a_select_is_not_a_parameter(tmp_path: Path) -> None:
    _shop(tmp_path / "shop.db")
    query = "SELECT * FROM orders WHERE user_id LIKE ':%' OR user_id LIKE 'u:1' -- :all"
    source = open_source(SourceSettings(name="sql", url=f"sqlite:///{tmp_path / 'shop.db'}", events=query))
    assert pa.concat_tables(source.read(None, 10)).column("user_id").to_pylist() == ["u:1"]


def _shop(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (user_id TEXT, item_id REAL, occurred_at TEXT)")
        connection.execute("INSERT INTO orders VALUES ('u:1', 27, '2024-01-01')")
        connection.commit()
