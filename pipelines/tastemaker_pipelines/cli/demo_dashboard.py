"""The end of the demo: what the dashboard says, and a picture of it where Chromium is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.workflows.workspace import Workspace

PICTURE_SECONDS = 30
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--window-size=1280,1400",
)


def show_dashboard(workspace: Workspace, console: Console) -> None:
    """Print the sentence of the page Today, and where a picture of it is.

    Args:
        workspace: Of the demo's home, in whose `dashboard/today.png` the picture is.
        console: Where it is printed.
    """
    from tastemaker.dashboard.filters import PageFilters
    from tastemaker.dashboard.pages import today
    from tastemaker.dashboard.reader import DashboardReader
    from tastemaker.dashboard.viewer import ON_THIS_MACHINE

    reader = DashboardReader(workspace.engine, workspace.settings)
    console.print(today.PAGE.load(reader, PageFilters(), ON_THIS_MACHINE).answer)
    with _served(workspace) as url, console.status("picture of the dashboard"):
        picture = take_picture(f"{url}{today.PAGE.path}", workspace.settings.home / "dashboard" / "today.png")
    if picture is not None:
        console.print(f"  {picture}    a picture of this page")


def take_picture(url: str, path: Path) -> Path | None:
    """Take a picture of a page.

    Args:
        url: The page.
        path: The file to write.

    Returns:
        The file; None if there is no browser, or if it fails.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [found, *FLAGS, f"--user-data-dir={profile}", f"--screenshot={path.resolve()}", url]
        try:
            subprocess.run(command, capture_output=True, timeout=PICTURE_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
    return path if path.exists() else None


@contextmanager
def _served(workspace: Workspace) -> Iterator[str]:
    """Serve the dashboard on a free port of this machine, and yield its address."""
    import uvicorn

    from tastemaker.dashboard.app import application

    app = application(workspace.settings, workspace.engine)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
