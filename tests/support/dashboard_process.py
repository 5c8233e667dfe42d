"""`tastemaker dashboard` in a process of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from support import commands
from support.child_processes import ended
from support.servers import free_port
from support.watched_pages import wait_until


@contextmanager
def dashboard_process(home: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a dashboard of a home folder, once it answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = commands.start(home, "tastemaker", "dashboard", "--port", str(port), more=more)

    def answers() -> bool:
        assert process.poll() is None, process.communicate()
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/healthz").status_code == 200
        return False

    with ended(process):
        wait_until(answers, 120, lambda: "the dashboard does not answer")
        yield url
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert "Traceback" not in said, said
