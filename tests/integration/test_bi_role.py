"""The role of BI tools on a real Postgres: it reads the views, and every other access is refused."""

# ruff: noqa: S608 - names of tables and of the role are constants

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, NullPool, create_engine, make_url, select, text
from sqlalchemy.exc import ProgrammingError

from support import planted_metadata
from tastemaker.cli.main import cli
from tastemaker.errors import TastemakerError
from tastemaker.storage.bi_role import ROLE, grant_bi_role
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import metadata
from tastemaker.storage.views import views

pytestmark = pytest.mark.servers


@pytest.fixture
def owner(postgres_url: str) -> Iterator[Engine]:
    """The database as its owner; at the end the role is gone, which belongs to the whole server."""
    engine = open_engine(postgres_url)
    planted_metadata.plant(engine)
    yield engine
    with engine.begin() as connection:
        if connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": ROLE}).scalar():
            connection.execute(text(f"DROP OWNED BY {ROLE}"))
            connection.execute(text(f"DROP ROLE {ROLE}"))
    engine.dispose()


@pytest.fixture
def reader(owner: Engine) -> Iterator[Engine]:
    """The database as the role."""
    url = make_url(owner.url).set(username=ROLE, password="p@ss'word")
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def refused(engine: Engine, statement: str) -> None:
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        engine.connect() as connection,
    ):
        connection.execute(text(statement))


def test_it_reads_each_view_and_no_table(owner: Engine, reader: Engine) -> None:
    assert grant_bi_role(owner, "p@ss'word") == list(views.tables)
    with reader.connect() as connection:
        for view in views.tables.values():
            assert connection.execute(select(view)).first() is not None
    for table in (*metadata.tables, "alembic_version"):
        refused(reader, f"SELECT * FROM {table}")
    for statement in (
        "DELETE FROM v1_jobs",
        "UPDATE v1_jobs SET job_name = 'x'",
        "INSERT INTO v1_jobs VALUES ('r', 'j', true, now())",
        "CREATE TABLE mine (x int)",
        "DROP VIEW v1_jobs",
        "CREATE ROLE another",
        "SELECT pg_read_file('/etc/passwd')",
    ):
        refused(reader, statement)


def test_repeated_it_restores_what_it_should_have(owner: Engine, reader: Engine) -> None:
    grant_bi_role(owner, "p@ss'word")
    with owner.begin() as connection:
        connection.execute(text(f"GRANT SELECT, DELETE ON log_records TO {ROLE}"))
        connection.execute(text(f"GRANT DELETE ON v1_jobs TO {ROLE}"))
        connection.execute(text(f"REVOKE SELECT ON v1_daily FROM {ROLE}"))
        connection.execute(text(f"ALTER ROLE {ROLE} CREATEDB"))
    grant_bi_role(owner, None)
    grant_bi_role(owner, None)
    refused(reader, "SELECT * FROM log_records")
    refused(reader, "DELETE FROM v1_jobs")
    refused(reader, "CREATE DATABASE mine")
    with reader.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM v1_daily")).scalar_one() > 0


def test_the_password_is_stored_as_a_hash(owner: Engine) -> None:
    grant_bi_role(owner, "p@ss'word")
    with owner.connect() as connection:
        stored = connection.execute(
            text("SELECT rolpassword FROM pg_authid WHERE rolname = :role"), {"role": ROLE}
        ).scalar_one()
    assert stored.startswith("SCRAM-SHA-256$")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("GRANT SELECT ON log_records TO PUBLIC", "public.log_records"),
        ("GRANT SELECT (user_id) ON log_records TO PUBLIC", "public.log_records"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "CREATE in the schema public"),
        ("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO PUBLIC", "log_records_number_seq"),
        (f"CREATE ROLE {ROLE}; GRANT pg_read_all_data TO {ROLE}", "the role pg_read_all_data"),
        (f"CREATE ROLE {ROLE} BYPASSRLS", "BYPASSRLS"),
        (f"CREATE ROLE {ROLE} SUPERUSER", "SUPERUSER"),
    ],
)
def test_rights_by_another_way_are_an_error_that_names_them(
    owner: Engine, statement: str, named: str
) -> None:
    with owner.begin() as connection:
        connection.execute(text(statement))
    with pytest.raises(TastemakerError, match="more than the views") as caught:
        grant_bi_role(owner, "p@ss'word")
    assert named in str(caught.value)
    assert "revoke" in str(caught.value.fix)


def test_an_owner_who_is_not_a_superuser_may_run_it_twice(postgres_server: str) -> None:
    server = create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text("CREATE ROLE owning LOGIN CREATEROLE"))
        connection.execute(text("CREATE DATABASE owned OWNER owning"))
    owned = open_engine(make_url(postgres_server).set(username="owning", database="owned").render_as_string())
    try:
        for _ in range(2):
            assert grant_bi_role(owned, "p@ss'word") == list(views.tables)
        reader = create_engine(make_url(owned.url).set(username=ROLE), poolclass=NullPool)
        refused(reader, "SELECT * FROM log_records")
    finally:
        owned.dispose()
        with server.connect() as connection:
            connection.execute(text("DROP DATABASE owned WITH (FORCE)"))
            connection.execute(text(f"DROP ROLE IF EXISTS {ROLE}"))
            connection.execute(text("DROP ROLE owning"))


def test_without_the_right_to_make_roles(owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(text("CREATE ROLE plain LOGIN"))
    plain = create_engine(make_url(owner.url).set(username="plain"), poolclass=NullPool)
    try:
        with pytest.raises(TastemakerError, match="permission denied") as caught:
            grant_bi_role(plain, None)
        assert "CREATEROLE" in str(caught.value.fix)
    finally:
        plain.dispose()
        with owner.begin() as connection:
            connection.execute(text("DROP ROLE plain"))


def test_the_command(owner: Engine, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("TASTEMAKER_BI_PASSWORD", "p@ss'word")
    done = CliRunner().invoke(cli, ["bi", "role"], catch_exceptions=False)
    assert done.output.startswith(f"{ROLE} may read {len(views.tables)} views and nothing else: v1_models")
    assert "p@ss" not in done.output


def test_sqlite_has_no_roles() -> None:
    with pytest.raises(TastemakerError, match="has no roles"):
        grant_bi_role(open_engine("sqlite://"), None)
