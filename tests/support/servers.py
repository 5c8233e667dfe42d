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
from contextlib import closing, contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from typing import NoReturn, Self

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

START_SECONDS = 120.0


class Server:
    """A server process that can be started, stopped, frozen and started again on what it left."""

    def __init__(
        self, command: list[str], folder: Path, account: str | None, answers: Callable[[], bool]
    ) -> None:
        self._command, self._account, self._answers = command, account, answers
        self._folder, self._log = folder, folder / "server.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                user=self._account,
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        give_up = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"{self._command[0]} did not start:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Returns when it is gone."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)  # both servers drop their clients and stop at once
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay open without an answer."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)


@contextmanager
def postgres(*, fsync: bool = False) -> Iterator[tuple[Server, str]]:
    """A running Postgres that forgets everything at the end, and its URL without a database's name."""
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
            f"--fsync={'on' if fsync else 'off'}",
        ]
        command += ["--listen_addresses=127.0.0.1", "--unix_socket_directories=", "--timezone=UTC"]
        with Server(command, folder, account, lambda: _postgres_answers(url)) as server:
            yield server, url


@contextmanager
def redis() -> Iterator[tuple[Server, str]]:
    """A running Redis that keeps nothing on disk, and its URL."""
    binary = shutil.which("redis-server")
    if binary is None:
        not_installed("redis-server")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with _folder(None) as folder, Server(command, folder, None, lambda: _redis_answers(port)) as server:
        yield server, f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """SQLAlchemy URL, without a database's name, of a Postgres that forgets everything at the end."""
    with postgres() as (_, url):
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
    with redis() as (_, url):
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """redis:// URL of the session's Redis, emptied."""
    from redis import Redis

    with closing(Redis.from_url(redis_server)) as client:
        client.flushall()
    return redis_server


def _own_ports() -> Iterator[int]:
    """The ports that this process gives out, each once until all were.

    They lie below those that the system gives to outgoing connections and to whoever binds port 0: such a
    port may be taken before a server, which needs seconds to start, listens on it. The workers of a test run
    have separate ones.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(10_000 + worker, 32_768, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    first = 101 * os.getpid()  # other runs on this machine probably begin elsewhere
    return (ports[(first + number) % len(ports)] for number in count())


_PORTS = _own_ports()


def free_port() -> int:
    """A TCP port of the loopback on which no process listens, for a server that starts soon."""
    for port in islice(_PORTS, 1_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port among 1,000: close other servers of this machine")


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
