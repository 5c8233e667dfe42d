"""Real `bentoml serve` processes for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from support.servers import free_port

START_SECONDS = 300


def run(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run one of the environment's programs to its end."""
    return subprocess.run(
        _program(command),
        cwd=cwd,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )


class Started(NamedTuple):
    """A server, its processes and what it says."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    client: httpx.Client

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.client.base_url)

    def children(self) -> list[psutil.Process]:
        """The processes that it started, the first one first."""
        return sorted(psutil.Process(self.process.pid).children(), key=lambda child: child.pid)

    def workers(self, n: int) -> list[psutil.Process]:
        """The same, once so many workers were loaded."""
        end = time.monotonic() + START_SECONDS
        while self.log.read_text().count("Completed startup hook: load") < n:
            if time.monotonic() > end:
                raise RuntimeError(f"{n} workers are not ready:\n{self.log.read_text()}")
            time.sleep(0.1)
        return self.children()


@contextmanager
def running(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Iterator[httpx.Client]:
    """A server that is ready, as a client of it. The command gets `--port`."""
    with started(command, cwd, environment) as server:
        yield server.client


@contextmanager
def started(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    *,
    port: int | None = None,
    ready: bool = True,
) -> Iterator[Started]:
    """A server of its own session; `ready`: once it answers. The command gets `--port`."""
    port = free_port() if port is None else port
    log = cwd / f"server-{port}-{time.monotonic_ns()}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*_program(command), "--port", str(port)],
            cwd=cwd,
            env=_environment(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            if ready:
                wait(client, process, log)
            yield Started(process, port, log, client)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that leads a session of its own, and whatever it started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _program(command: Sequence[str]) -> list[str]:
    """The command with the program that is installed beside this Python."""
    return [str(Path(sys.executable).parent / command[0]), *command[1:]]


def wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server is ready."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}:\n{log.read_text()}")
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the server is not ready after {START_SECONDS} seconds:\n{log.read_text()}")


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what another test or the developer set for Tastemaker."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TASTEMAKER_", "BENTOML_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"  # bentoml build looks for uv
    return kept | {"BENTOML_DO_NOT_TRACK": "True", "PATH": path} | dict(more)
