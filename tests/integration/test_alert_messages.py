"""The message of a real fault: a real service under traffic, `tastemaker watch`, and PagerDuty's API."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import bento_servers, served_homes
from support.pagerduty_server import ROUTING_KEY, PagerDutyServer
from support.servers import free_port
from tastemaker.registry import Registry
from tastemaker.storage.engine import open_engine

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SECONDS = 120
"""The longest time to the page."""


def promoted_home(home: Path) -> str:
    """Make a home with two champions, one after the other, and return the second version."""
    first, second = (served_homes.make_home(home)["popularity"] for _ in range(2))
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    for version in (first, second):
        Registry(engine, home / "artifacts").make_champion(version, "better", forced=False)
    engine.dispose()
    (home / "problem.yaml").write_text(served_homes.problem().model_dump_json())
    return second.id


def settings(home: Path, service: str, pager: PagerDutyServer) -> dict[str, str]:
    """Return the environment of a watch of one service."""
    channel = {"pager": {"type": "pagerduty", "url": pager.events_url}}
    return {
        "TASTEMAKER_HOME": str(home),
        "TASTEMAKER_WATCH__TARGETS": service,
        "TASTEMAKER_WATCH__PORT": str(free_port()),
        "TASTEMAKER_WATCH__CHANNELS": json.dumps(channel),
        "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
    }


def page_of(client: httpx.Client, pager: PagerDutyServer) -> tuple[dict[str, Any], set[str]]:
    """Ask for lists until a page arrives; return its payload, and the ids of the requests."""
    asked: set[str] = set()
    end = time.monotonic() + SECONDS
    while not pager.alerts:
        assert time.monotonic() < end, "no page arrived"
        answer = client.post("/recommend", json={"user_id": f"user-{len(asked) % 40:02d}", "k": 5})
        asked.add(answer.json()["request_id"])
        time.sleep(0.1)
    return pager.alerts[0].events[0]["payload"], asked


def test_a_page_says_why_and_its_commands_work(tmp_path: Path) -> None:
    home = tmp_path / "home"
    version = promoted_home(home)
    late = {"TASTEMAKER_HOME": str(home), "TASTEMAKER_SERVING__MODEL_TIMEOUT_SECONDS": "0.000001"}
    with (
        PagerDutyServer() as pager,
        bento_servers.started(("tastemaker", "serve", "popularity"), home, late) as service,
    ):
        environment = settings(home, service.url, pager)
        watch = subprocess.Popen(
            [str(Path(sys.executable).parent / "tastemaker"), "watch"],
            cwd=home,
            env=os.environ | environment,
            start_new_session=True,
        )
        try:
            payload, asked = page_of(service.client, pager)
        finally:
            bento_servers.stop(watch)
        assert pager.invalid == []
        assert [alert.key.split("/")[2] for alert in pager.alerts] == ["fallback_share"]
        assert payload["component"] == "popularity"
        details = payload["custom_details"]
        began = details["details"][0]
        assert began.startswith("It began ")
        assert began.endswith(f" after popularity {version} was promoted.")
        assert any("model_timeout" in one and "in place of the model" in one for one in details["details"])
        assert len(details["requests"]) == 3
        assert set(details["requests"]) <= asked
        by_name = {" ".join(shlex.split(one)[1:3]): one for one in details["commands"]}
        assert {"alerts ack", "log search", "models rollback"} <= by_name.keys()
        search = [*shlex.split(by_name["log search"]), "--json", "--limit", "1000"]
        found = bento_servers.run(search, home, environment)
        assert found.returncode == 0, found.stderr
        ids = {one["request_id"] for one in json.loads(found.stdout)}
        assert set(details["requests"]) <= ids <= asked
        undone = bento_servers.run(shlex.split(by_name["models rollback"]), home, environment)
        assert undone.returncode == 0, undone.stdout + undone.stderr
