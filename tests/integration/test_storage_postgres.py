"""The metadata database on SQLite and on a real Postgres: the same tests on both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, insert, inspect, make_url, select, text, update
from sqlalchemy.exc import IntegrityError, StatementError

from support import registered_versions
from support.child_processes import ended
from support.repository import ROOT
from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.evaluation import results
from tastemaker.plugins import discovery
from tastemaker.registry import Registry
from tastemaker.registry.artifact import load_version
from tastemaker.storage import migrations
from tastemaker.storage.engine import check, open_engine
from tastemaker.storage.tables import metadata, promotions
from tastemaker.util.atomic_files import sqlite_url
from tastemaker.workflows.promotion_gate import PromotionGate

pytestmark = pytest.mark.usefixtures("step_by_step")

PROCESSES = 4


def test_the_migrations_make_the_tables_that_the_code_uses(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == migrations.HEAD


def test_a_database_is_checked_without_making_or_changing_anything(database_url: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TastemakerError, match="can't be used"):
        check(database_url)
    assert sorted(tmp_path.rglob("*")) == before
    open_engine(database_url).dispose()
    check(database_url)


@pytest.mark.parametrize("name", ["plain.db", "with a space.db", "a?b#c%20.db", "ünï.db"])
def test_a_file_of_any_name_is_checked(name: str, tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / name)
    with pytest.raises(TastemakerError):
        check(url)
    assert not (tmp_path / name).exists()
    open_engine(url).dispose()
    check(url)
    (tmp_path / name).write_bytes(b"no database" * 1_000)
    with pytest.raises(TastemakerError, match="not a database"):
        check(url)


def test_what_a_check_says_has_no_password() -> None:
    with pytest.raises(TastemakerError) as caught:
        check("postgresql+psycopg2://someuser:s3cret@127.0.0.1:1/nowhere")
    assert "s3cret" not in str(caught.value)


def test_head_is_the_newest_step() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_backtests_of_an_older_tastemaker_stay_on_the_leaderboard(database_url: str) -> None:
    path, sqlite = make_url(database_url).database or "", database_url.startswith("sqlite")
    if sqlite:
        Path(path).parent.mkdir(parents=True)
    older = create_engine(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with older.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(
            text(
                "INSERT INTO backtests (id, problem, model, config, data_hash, train_start, train_end, "
                "test_end, metrics, users_path, users, train_seconds, score_seconds, artifact_bytes, "
                "created_at) VALUES "
                "('b', 'shop', 'toy', '{}', 'd', :t, :t, :t, '{}', 'p', 1, 1, 1, 1, :t)"
            ),
            {"t": "2026-01-01 00:00:00" if sqlite else "2026-01-01 00:00:00+00:00"},
        )
    older.dispose()
    opened = open_engine(database_url)
    assert [one.model for one in results.newest(opened, "shop")] == ["toy"]
    opened.dispose()


def test_opened_again_nothing_changes(database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
    again = open_engine(database_url)
    assert set(inspect(again).get_table_names()) == {*metadata.tables, "alembic_version"}
    again.dispose()


def test_many_processes_may_open_a_new_database_at_once(database_url: str) -> None:
    code = "import sys; from tastemaker.storage.engine import open_engine; open_engine(sys.argv[1])"
    command = [sys.executable, "-W", "error", "-c", code, database_url]
    started = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) for _ in range(PROCESSES)
    ]
    with ended(*started):
        for process in started:
            _out, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
    engine.dispose()


def test_threads_of_one_process_may_open_several_new_databases_at_once(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / f'{number}.db'}" for number in range(6)]
    with ThreadPoolExecutor(len(urls)) as pool:
        opened = list(pool.map(open_engine, urls))
    for engine in opened:
        assert set(inspect(engine).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_a_failed_migration_leaves_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("alembic.op.create_index", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_engine(database_url)
    engine = open_engine(database_url)
    assert "reports" in inspect(engine).get_table_names()
    engine.dispose()


def test_a_database_of_a_newer_tastemaker(database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(TastemakerError, match="step 9999, unknown to this Tastemaker") as caught:
        open_engine(database_url)
    assert "upgrade" in str(caught.value.fix)


def test_without_alembic_a_migrated_database_opens_and_another_is_refused(
    database_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alembic", "alembic.config", "alembic.util"):
        monkeypatch.setitem(sys.modules, name, None)
    open_engine(database_url).dispose()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(TastemakerError, match="at step none, this Tastemaker needs") as caught:
        open_engine(database_url)
    assert "tastemaker[data]" in str(caught.value.fix)


def test_times_come_back_in_utc(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    version = registered_versions.add(Registry(engine, tmp_path))
    timestamp = datetime(2026, 5, 1, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
    row = {"problem": "shop", "version_id": version.id, "action": "promote", "forced": False, "reason": ""}
    with engine.begin() as connection:
        connection.execute(insert(promotions).values(at=timestamp, **row))
        found = connection.execute(select(promotions.c.at)).scalar_one()
        assert found == timestamp
        assert found.tzinfo is UTC
        with pytest.raises(StatementError, match="no time zone"):
            connection.execute(update(promotions).values(at=datetime(2026, 5, 1)))


def test_references_are_kept(engine: Engine) -> None:
    row = {"problem": "shop", "version_id": "missing", "action": "promote", "forced": False, "reason": ""}
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(insert(promotions).values(at=datetime.now(UTC), **row))


def test_a_version_from_registration_to_rollback(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    registry = Registry(engine, tmp_path / "artifacts")
    registered_versions.put_backtest(engine, registry.artifacts, "popularity", [0.1] * 50)
    mine = registered_versions.put_backtest(engine, registry.artifacts, "toy", [0.2] * 50)
    first, second = (registered_versions.add(registry, backtest_id=mine) for _ in range(2))
    assert [version.id for version in registry.list("toy")] == [second.id, first.id]
    assert registry.get(first.id).manifest == first.manifest
    for version in (first, second):
        PromotionGate(registry).promote(version.id)
    assert registry.rollback("shop", "a test").version_id == first.id
    champion = registry.champion("shop")
    assert champion is not None
    assert registry.open(champion).manifest.version == first.id


def test_versions_may_be_registered_at_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share one snapshot's folder and one table."""
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    registry = Registry(engine, tmp_path / "artifacts")
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda n: registered_versions.add(registry, weight=n % 3), range(12)))
    assert {version.id for version in registry.list()} == {version.id for version in added}
    assert len(added) == 12
    assert registry.broken() == ()


def test_a_process_killed_while_it_saves_leaves_nothing_visible(
    engine: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import os, signal, sys, pathlib
from support import registered_versions
from tastemaker.plugins import discovery as finder
from tastemaker.registry import Registry
from tastemaker.registry.artifact import load_version
from tastemaker.storage.engine import open_engine
finder.get = registered_versions.plugin
def save(self, folder):
    (folder / "scores.npy").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
registered_versions.Toy.save = save
registered_versions.add(Registry(open_engine(sys.argv[1]), pathlib.Path(sys.argv[2])))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    artifacts = tmp_path / "artifacts"
    done = subprocess.run([sys.executable, "-c", code, database_url, str(artifacts)], env=environment)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    registry = Registry(engine, artifacts)
    assert registry.list() == []
    assert [path for path in (artifacts / "toy").iterdir() if not path.name.startswith(".")] == []
    (unfinished,) = (artifacts / "toy").iterdir()
    with pytest.raises(ArtifactError, match="one that was never finished"):
        load_version(unfinished)
    assert registry.open(registered_versions.add(registry)).manifest.parent is None


def test_sqlite_waits_instead_of_failing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'meta.db'}")
    with engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    assert settings == ["wal", 1, 60_000]
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://me:s3cret%2Fword@127.0.0.1:1/shop",
        "postgresql://me@127.0.0.1:1/shop?password=s3cret/word",
    ],
)
def test_an_unreachable_database_hides_its_password(url: str) -> None:
    with pytest.raises(TastemakerError, match=r"127\.0\.0\.1.*can't be used.*refused") as caught:
        open_engine(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me:s3cret@host/shop", "the database mysql is not supported"),
        ("s3cret", "can't be read"),
        ("sqlite:////dev/null/meta.db", "can't be used"),
        ("sqlite:////proc/meta.db", "can't be used"),
        ("postgresql+s3cret://me@host/shop", "driver"),
    ],
)
def test_a_url_that_leads_nowhere(url: str, message: str) -> None:
    with pytest.raises(TastemakerError, match=message) as caught:
        open_engine(url)
    assert caught.value.fix


def _fill(registry: Registry) -> None:
    for weight in range(2, 40):
        registered_versions.add(registry, weight=weight)


def test_a_really_full_disk(
    small_disk: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    registry = Registry(engine, small_disk)
    kept = registered_versions.add(registry)
    (small_disk / "filler").write_bytes(b"\0" * 150_000)
    with pytest.raises(ArtifactError, match="can't be written"):
        _fill(registry)
    assert list(small_disk.rglob(".new-*")) == []
    assert registry.broken() == ()
    (small_disk / "filler").unlink()
    assert registry.open(registered_versions.add(registry)).manifest.model == "toy"
    assert registry.open(kept)


def test_a_freeze_is_ended_by_an_entry_of_the_log(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    registry = Registry(engine, tmp_path / "artifacts")
    first, second = (registered_versions.add(registry, weight=weight).id for weight in (1, 2))
    for version_id in (first, second):
        PromotionGate(registry).promote(version_id, force_reason="a test")
    registry.rollback("shop", "slow")
    assert registry.frozen("shop") is not None
    registry.unfreeze("shop", "fast again")
    assert registry.frozen("shop") is None
    with engine.connect() as connection:
        rows = connection.execute(
            select(promotions.c.action, promotions.c.version_id, promotions.c.reason).order_by(
                promotions.c.id
            )
        )
        assert [tuple(row) for row in rows] == [
            ("promote", first, "a test"),
            ("promote", second, "a test"),
            ("rollback", first, "slow"),
            ("unfreeze", first, "fast again"),
        ]
