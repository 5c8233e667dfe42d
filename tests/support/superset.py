"""A real Superset on a free loopback port, its own SQLite in a folder, and its dashboards in a browser."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from playwright.sync_api import Page, Response

from support.browsers import Browser
from support.repository import ROOT
from support.servers import Server, free_port

PROGRAM = ROOT / "build" / "superset" / "bin" / "superset"
"""`make bi` installs it."""
ADMIN, PASSWORD = "admin", "a-password-of-the-test"
COMMAND_SECONDS = 300
DRAW_MS = 90_000
PAGE_WIDTH, PAGE_HEIGHT = 1_280, 2_900
"""The height of the whole dashboard: Superset draws what is in view."""


class Drawn(NamedTuple):
    """What a chart got from Superset's API while it was drawn."""

    columns: list[str]
    rows: list[dict[str, Any]]


class Superset:
    """An instance that runs, and its address."""

    def __init__(self, folder: Path) -> None:
        self._environment = os.environ | {
            "SUPERSET_CONFIG_PATH": str(ROOT / "deploy" / "superset" / "superset_config.py"),
            "SUPERSET_HOME": str(folder),
            "SUPERSET_SECRET_KEY": os.urandom(32).hex(),
        }
        self.url = ""

    def command(self, *words: str) -> None:
        """Run a command of Superset to its end."""
        done = subprocess.run(
            [PROGRAM, *words], env=self._environment, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
        assert done.returncode == 0, f"superset {words[0]}:\n{done.stdout}{done.stderr}"

    @contextmanager
    def running(self, folder: Path) -> Iterator[None]:
        """The web server, while this is entered."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = ["env", *(f"{name}={value}" for name, value in self._environment.items())]
        command += [str(PROGRAM), "run", "--host", "127.0.0.1", "--port", str(port)]
        with Server(command, folder, None, self._answers):
            yield

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def superset(folder: Path) -> Iterator[Superset]:
    """A new Superset with the user ADMIN."""
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is missing: run `make bi`")
    found = Superset(folder)
    found.command("db", "upgrade")
    names = ("--username", ADMIN, "--password", PASSWORD, "--email", "admin@shop.example")
    found.command("fab", "create-admin", *names, "--firstname", "A", "--lastname", "B")
    found.command("init")
    yield found


def draw(instance: Superset, browser: Browser, slug: str) -> tuple[Page, dict[str, Drawn]]:
    """Log in, open a dashboard, and return the page and what each chart was drawn from, by its name."""
    page = browser.open(f"{instance.url}/login/")
    page.fill("#username", ADMIN)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    answers: dict[int, Drawn] = {}
    page.on("response", lambda response: _keep(response, answers))
    page.set_viewport_size({"width": PAGE_WIDTH, "height": PAGE_HEIGHT})
    names = _charts(page, instance, slug)
    page.goto(f"{instance.url}/superset/dashboard/{slug}/")
    give_up = time.monotonic() + DRAW_MS / 1_000
    while set(answers) != set(names):
        page.wait_for_timeout(500)
        assert time.monotonic() < give_up, f"not drawn: {sorted(set(names) - set(answers))}"
    page.wait_for_timeout(5_000)
    return page, {names[number]: drawn for number, drawn in answers.items()}


def _charts(page: Page, instance: Superset, slug: str) -> dict[int, str]:
    """Return the names of a dashboard's charts by their numbers."""
    answer = page.request.get(f"{instance.url}/api/v1/dashboard/{slug}/charts")
    assert answer.ok, answer.text()
    return {chart["id"]: chart["slice_name"] for chart in answer.json()["result"]}


def _keep(response: Response, answers: dict[int, Drawn]) -> None:
    if "/api/v1/chart/data" not in response.url:
        return
    assert response.ok, response.text()
    (result,) = response.json()["result"]
    asked = response.request.post_data_json
    assert asked is not None
    number = asked["form_data"]["slice_id"]
    answers[number] = Drawn(result["colnames"], result["data"])
