"""Real servers for tests: Postgres and Redis, each started once a session on a free loopback port.

A test takes `postgres_url` (a new, empty database) or `redis_url` (an emptied Redis) and is marked `servers`.
Where a server is not installed the test skips with that reason, and fails in CI.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

START_SECONDS = 30.0


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """SQLAlchemy URL, without a database's name, of a Postgres that forgets everything at the end."""
    binaries = _postgres_binaries()
    account = "postgres" if os.geteuid() == 0 else None  # Postgres refuses to run as root
    with _folder(account) as folder:
        data, port = folder / "data", free_port()
        url = f"postgresql+psycopg2://postgres@127.0.0.1:{port}"
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
        initdb += ["-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(initdb, check=True, user=account, cwd=folder, stdout=subprocess.DEVNULL)
        command = [
            str(binaries / "postgres"),
            "-D",
            str(data),
            "-p",
            str(port),
            "--fsync=off",
            "--timezone=UTC",
        ]
        command += ["--listen_addresses=127.0.0.1", "--unix_socket_directories=", "--timezone=UTC"]
        with _running(command, folder, account, lambda: _postgres_answers(url)):
            yield url


_database_numbers = count(1)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """SQLAlchemy URL of a new, empty database, dropped after the test."""
    name = f"test_{next(_database_numbers)}"
    _administer(postgres_server, f"CREATE DATABASE {name}")
    yield f"{postgres_server}/{name}"
    _administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """redis:// URL of a Redis that keeps nothing on disk."""
    binary = shutil.which("redis-server")
    if binary is None:
        not_installed("redis-server")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with _folder(None) as folder, _running(command, folder, None, lambda: _redis_answers(port)):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """redis:// URL of the session's Redis, emptied."""
    import redis

    with closing(redis.Redis.from_url(redis_server)) as client:
        client.flushall()
    return redis_server


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def not_installed(what: str) -> NoReturn:
    """Skip the test with the reason; in CI, fail."""
    reason = f"{what} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _postgres_binaries() -> Path:
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        not_installed("Postgres")
    return found[-1]


@contextmanager
def _folder(account: str | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tastemaker-server-"))
    try:
        if account is not None:
            entry = pwd.getpwnam(account)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(
    command: list[str], folder: Path, account: str | None, answers: Callable[[], bool]
) -> Iterator[None]:
    """Run a server while the context lasts, from the moment that it answers."""
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, user=account, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        give_up = time.monotonic() + START_SECONDS
        while not answers():
            if server.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # both servers drop their clients and stop at once
        try:
            server.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _postgres_answers(server: str) -> bool:
    try:
        _administer(server, "SELECT 1")
    except OperationalError:
        return False
    return True


def _redis_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _administer(server: str, statement: str) -> None:
    """Run one statement outside a transaction, on the database `postgres`."""
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))
