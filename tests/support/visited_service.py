"""A service that real people of the simulated shop visit while a test does harm to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from support import bento_servers, shop_homes
from support.child_processes import ended
from support.servers import free_port
from tastemaker.registry import Version

BIN = Path(sys.executable).parent
KEEPER = Path(__file__).parent / "service_keeper.py"
TARGETS = {
    "popularity": "tastemaker_baselines.service:Popularity",
    "ranker": "tastemaker_ranker.service:Ranker",
}
START_SECONDS = 180.0
"""A busy machine with two cores takes its time."""


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """For a process of the shop's home: nothing of the developer's own settings."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TASTEMAKER_", "BENTOML_"))
    }
    own = {
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(home / "bentoml"),
        "OPENBLAS_NUM_THREADS": "1",
    }
    return kept | own | shop_homes.environment(home) | dict(more or {})


class Service:
    """A running service and the process that keeps it alive."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.url, self.log = f"http://127.0.0.1:{port}", log
        self._keeper = psutil.Process(process.pid)
        self._client = httpx.Client(base_url=self.url, timeout=5)

    def ready(self) -> bool:
        """Does it answer?"""
        try:
            return self._client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def wait(self) -> None:
        """Until it is ready."""
        until(self.ready, "the service is not ready", log=self.log)

    def kill(self) -> None:
        """kill -9 of whatever answers. Returns when it is gone."""
        answering = self._keeper.children(recursive=True)
        for process in answering:
            process.kill()
        psutil.wait_procs(answering, timeout=10)

    def recommend(self, user_id: str = "u0000001", k: int = 10) -> dict[str, Any]:
        """One list."""
        answer: dict[str, Any] = self._client.post("/recommend", json={"user_id": user_id, "k": k}).json()
        return answer

    def get(self, path: str) -> httpx.Response:
        """Any page."""
        return self._client.get(path)

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Any other request."""
        return self._client.post(path, json=body)

    def close(self) -> None:
        """Of the client only."""
        self._client.close()


@contextmanager
def served(
    home: Path,
    version: Version,
    *,
    command: list[str] | None = None,
    more: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[Service]:
    """The version, served until the block ends: by `keeper`, or by a command that takes `--port`."""
    port, log = free_port(), log or home / "service.log"
    words = [sys.executable, str(KEEPER), TARGETS[version.model], str(port)]
    if command is not None:
        words = [str(BIN / command[0]), *command[1:], "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            words,
            env=environment(home, {"TASTEMAKER_VERSION": version.id, **(more or {})}),
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(process, port, log)
    try:
        service.wait()
        yield service
    finally:
        service.close()
        bento_servers.stop(process)


class Visits:
    """A running `tastemaker simulate`."""

    def __init__(self, process: subprocess.Popen[str], client_log: Path, log: Path) -> None:
        self._process, self.client_log, self._log = process, client_log, log
        self._acknowledged = self._read = 0

    def acknowledged(self) -> int:
        """Acknowledgements that the client log holds by now."""
        if self.client_log.exists():
            with self.client_log.open("rb") as file:
                file.seek(self._read)
                lines, end, _ = file.read().rpartition(b"\n")
            self._acknowledged += lines.count(b'"acknowledged"')
            self._read += len(lines + end)
        return self._acknowledged

    def proceed(self, times: int = 1) -> None:
        """Wait until the service has acknowledged something from now on."""
        enough = self.acknowledged() + times

        def proceeds() -> bool:
            assert self._process.poll() is None, f"the visits ended: {self._process.communicate()}"
            return self.acknowledged() >= enough

        until(proceeds, "nothing is acknowledged any more", log=self._log)

    def end(self) -> dict[str, Any]:
        """Stop new visits, wait for the running ones, and return the summary."""
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=2 * START_SECONDS)
        assert self._process.returncode == 0, err
        summary: dict[str, Any] = json.loads(out)
        return summary


@contextmanager
def visiting(
    home: Path, service: Service, *words: str, more: Mapping[str, str] | None = None
) -> Iterator[Visits]:
    """People visit until `end`, or until the block ends. Returns when the first events are acknowledged."""
    client_log = home / "client_log.jsonl"
    command = [str(BIN / "tastemaker"), "simulate", service.url, "--for", "1h", "--json"]
    process = subprocess.Popen(
        [*command, "--client-log", str(client_log), *words],
        env=environment(home, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    visits = Visits(process, client_log, service.log)
    with ended(process):
        visits.proceed()
        yield visits


def until(
    happens: Callable[[], bool], otherwise: str, seconds: float = START_SECONDS, *, log: Path | None = None
) -> None:
    """Wait for something; AssertionError, with the log's end, if it does not happen."""
    give_up = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > give_up:
            raise AssertionError(otherwise if log is None else f"{otherwise}:\n{log.read_text()[-5_000:]}")
        time.sleep(0.05)
