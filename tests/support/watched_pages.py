"""A metrics page that a test sets, a receiver of notifications, and a watch between the two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.commands import environment_as_it_is
from support.repository import ROOT
from support.servers import free_port


class WatchedPage:
    """A page of gauges on a port of its own, and the notifications that were posted there."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {}
        """Series, such as `tastemaker_fault{model="a"}` -> value."""
        self.notifications: list[dict[str, Any]] = []
        self.status = 202
        """What notifications are answered with."""
        self.hang = threading.Event()
        self.hang.set()
        """While it is cleared, notifications are not answered."""
        self.beats = 0
        handler = self._handler()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End the server."""
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()

    def distinct(self) -> list[dict[str, Any]]:
        """The notifications, each once, in the order in which they came first."""
        return list({one["delivery_id"]: one for one in reversed(self.notifications)}.values())[::-1]

    def counts(self) -> dict[str, int]:
        """Event -> number of distinct notifications."""
        events = [one["event"] for one in self.distinct()]
        return {event: events.count(event) for event in dict.fromkeys(events)}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "".join(f"{series} {value}\n" for series, value in list(page.gauges.items()))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body.encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path == "/beat":
                    page.beats += 1
                else:
                    page.hang.wait(60)
                    if page.status < 300:
                        page.notifications.append(json.loads(body))
                self.send_response(202 if self.path == "/beat" else page.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        return Handler


@contextmanager
def watched_page() -> Iterator[WatchedPage]:
    """A page, closed at the end."""
    page = WatchedPage()
    try:
        yield page
    finally:
        page.close()


class WatchProcess:
    """`tastemaker watch` in a home folder, which may be killed and started again."""

    def __init__(self, home: Path, page: WatchedPage, *, database_url: str | None = None) -> None:
        self.home, self.port = home, free_port()
        home.mkdir(parents=True, exist_ok=True)
        (home / "tastemaker.toml").write_text(
            f"""
            [watch]
            targets = ["{page.url}"]
            interval_seconds = 1
            port = {self.port}
            flapping_per_hour = 100000
            [watch.channels.receiver]
            type = "webhook"
            url = "{page.url}/notify"
            timeout_seconds = 2
            """
        )
        self._database_url = database_url
        self._process: subprocess.Popen[bytes] | None = None
        self._log = home / "watch.log"

    def __enter__(self) -> WatchProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the process, and of commands about it."""
        more = {"PYTHONPATH": str(ROOT / "tests"), "TASTEMAKER_HOME": str(self.home)}
        if self._database_url is not None:
            more["TASTEMAKER_DATABASE_URL"] = self._database_url
        return environment_as_it_is(self.home, more)

    def start(self) -> None:
        """Start the process; it needs a second or two until it evaluates."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.watch_process"],
                cwd=self.home,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the process by a signal."""
        if self._process is not None:
            if self._process.poll() is None:
                os.kill(self._process.pid, number)
            self._process.wait(30)

    def log(self) -> str:
        """What the process has said."""
        return self._log.read_text(errors="replace")


def wait_until(is_true: Callable[[], bool], seconds: float, what: Callable[[], object]) -> None:
    """Wait until something is true; fail with `what` if it is not in time."""
    give_up = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < give_up, what()
        time.sleep(0.05)
