"""The servers that `serving` compares: how each is started, and how it is stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import serving_rivals
from serving_shop import N_USERS, user_id

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.servers import free_port

BINARIES = Path(sys.executable).parent
NOOP, BARE, BY_HAND = (
    "bentoml, @bentoml.api no-op",
    "Starlette + msgspec, no-op",
    "FastAPI + Redis, 4,000 items",
)
SPOOL_BYTES = 4 << 30
"""Room for all answers of a run, for nothing ships them. Answers that find none cost less than those that are
logged."""


class Server(NamedTuple):
    """A server that runs."""

    port: int
    process: subprocess.Popen[bytes]


class Home(NamedTuple):
    """A home folder to be served."""

    name: str
    n_items: int
    indexed: bool = False
    pin: bool = False
    """Whether the worker keeps to one processor."""


Command = tuple[Sequence[str], dict[str, str], Path]


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Start a Redis with all users' features, for `by_hand`, and yield its URL."""
    port = free_port()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--appendonly", "yes", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(port, process, path=None)
        url = f"redis://127.0.0.1:{port}/0"
        serving_rivals.fill(url, N_USERS)
        yield url
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder / "appendonlydir", ignore_errors=True)


def rival_commands(folder: Path, environment: dict[str, str], redis_url: str | None) -> dict[str, Command]:
    """Return the commands that start the other services."""
    uvicorn = [str(BINARIES / "uvicorn"), "--no-access-log", "--log-level", "warning"]
    noop = environment | {"BENTOML_HOME": str(folder / "bento-noop")}
    rivals: dict[str, Command] = {
        NOOP: ([str(BINARIES / "bentoml"), "serve", "noop_service:Noop"], noop, folder),
        BARE: ([*uvicorn, "--factory", "serving_rivals:bare"], environment, folder),
    }
    if redis_url is None:
        print(f"redis-server is not installed: without {BY_HAND!r}", file=sys.stderr)
        return rivals
    by_hand = environment | {"BENCHMARK_REDIS": redis_url}
    return rivals | {BY_HAND: ([*uvicorn, "serving_by_hand:app"], by_hand, folder)}


def service_command(folder: Path, environment: dict[str, str], home: Home, workers: int = 1) -> Command:
    more = {
        "TASTEMAKER_HOME": str(folder / home.name),
        "TASTEMAKER_SERVING__PIN_WORKERS": str(home.pin),
        "TASTEMAKER_LOG__SPOOL_BYTES": str(SPOOL_BYTES),
        "BENTOML_HOME": str(folder / f"bento-{home.name}-{workers}"),
        "BENTOML_CONFIG_OPTIONS": f"services.factors.workers={workers}",
    }
    command = [str(BINARIES / "bentoml"), "serve", "tastemaker_factors.service:Factors"]
    return command, environment | more, folder


@contextmanager
def server(command: Sequence[str], environment: dict[str, str], folder: Path) -> Iterator[Server]:
    """Start a server on a port of its own, and yield it once it answers."""
    port = free_port()
    with (folder / f"server-{port}.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, env=environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        _wait(port, process, path="/recommend")
        yield Server(port, process)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait(port: int, process: subprocess.Popen[bytes], path: str | None) -> None:
    """Wait until the server answers or, without a path, until it listens."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            if path is None:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            body = json.dumps({"user_id": user_id(1), "k": 10}).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
            if urllib.request.urlopen(request, timeout=5).status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"no server on port {port}: {process.args!r}")
