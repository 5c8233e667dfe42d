"""A served bandit learns from users' feedback, serves what it learned, and loses none of it to kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import home_copies, learning_homes, served_homes
from support.bento_servers import run, running
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.plugins import discovery
from tastemaker.registry import Version

pytestmark = pytest.mark.servers

LOVED = "item-17"
TIMEOUT_SECONDS = 120
ENVIRONMENT = {
    "TASTEMAKER_HOME": "home",
    "TASTEMAKER_PROBLEM": "problem.yaml",
    "TASTEMAKER_LEARNING__FEEDBACK_DELAY_SECONDS": "3",
    "TASTEMAKER_LEARNING__POLL_SECONDS": "0.2",
}


def home_of(folder: Path) -> Version:
    """A home with a Thompson sampler that starts knowing nothing."""
    (folder / "problem.yaml").write_text(served_homes.problem().model_dump_json())
    served_homes.make_home(folder / "home", ())
    model = discovery.get("thompson").recommender(history_impressions=0)
    dataset = Dataset.load(Lake(folder / "home" / "lake"), served_homes.problem())
    return served_homes.register(folder / "home", model, dataset)


def visits(client: httpx.Client, n: int, *, name: str) -> list[str]:
    """Return what n users are shown at the first position. Each buys the loved item if it is in the list."""
    firsts = []
    for number in range(n):
        answer = client.post("/recommend", json={"user_id": f"{name}-{number}", "k": 5}).json()
        shown = [item["item_id"] for item in answer["items"]]
        firsts.append(shown[0])
        if LOVED in shown:
            event = {"event_id": f"{name}-{number}", "event_type": "purchase", "item_id": LOVED}
            sent = {"events": [event | {"request_id": answer["request_id"]}]}
            assert client.post("/feedback", json=sent).status_code in (200, 202)
    return firsts


def until(found: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while not found():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def lag(client: httpx.Client) -> float:
    """How far behind its log the service says that its model is, in seconds."""
    name = 'tastemaker_learning_lag_seconds{model="thompson"} '
    (line,) = (line for line in client.get("/metrics").text.splitlines() if line.startswith(name))
    return float(line.removeprefix(name))


def test_a_served_bandit_learns_and_a_restart_loses_nothing(tmp_path: Path) -> None:
    version = home_of(tmp_path)
    serve = ["bentoml", "serve", "tastemaker_bandits.service:Thompson"]

    def learn() -> dict[str, Any]:
        time.sleep(5)  # so that all is three seconds old, and on disk
        done = run(["tastemaker", "learn", "thompson", "--json"], tmp_path, ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    with running(serve, tmp_path, ENVIRONMENT) as client:
        ignorant = visits(client, 150, name="early")
        until(lambda: lag(client) > 1, "the lag is not reported")
        assert ignorant.count(LOVED) < 40  # one in twenty-five, by chance
        first = learn()
        assert (first["requests"], first["impressions"]) == (150, 750)
        assert first["rewarded"] > 10
        until(lambda: lag(client) == 0, "the end of the lag is not reported")
        until(lambda: visits(client, 10, name="asking").count(LOVED) >= 9, "the list did not change")
    with running(serve, tmp_path, ENVIRONMENT) as client:
        assert visits(client, 20, name="after the restart").count(LOVED) >= 18
        again = learn()
    assert again["position"]["impressions"] == first["impressions"] + again["impressions"]
    assert again["position"]["rewarded"] == first["rewarded"] + again["rewarded"]
    assert not again["replayed"]
    states = list((tmp_path / "home" / "learning" / version.id).glob("[!.]*/state.json"))
    assert len(states) >= 2


def test_killed_again_and_again_it_has_learned_what_one_has_that_was_not(tmp_path: Path) -> None:
    version = home_of(tmp_path)
    home, whole = tmp_path / "home", tmp_path / "whole"
    entries = sorted(
        learning_homes.traffic(version.id, 400, seconds=2_000), key=lambda entry: entry.occurred_at
    )
    home_copies.copy_home(home, whole)
    learning_homes.log(whole, entries)
    learning_homes.learn(whole, version)

    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASTEMAKER_")}
    delay = {"TASTEMAKER_LEARNING__FEEDBACK_DELAY_SECONDS": str(learning_homes.FEEDBACK_DELAY)}
    environment = inherited | ENVIRONMENT | delay
    command = [str(Path(sys.executable).parent / "tastemaker"), "learn", "thompson", "--follow", "--json"]
    chance, size = random.Random(1), len(entries) // 4
    looks = 0
    for start in range(0, len(entries), size):
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as learner:
            for part in range(start, min(start + size, len(entries)), 30):
                learning_homes.log(home, entries[part : part + 30])
                time.sleep(chance.uniform(0, 0.5))
            assert learner.stdout is not None
            learner.stdout.readline()  # it has learned something
            time.sleep(chance.uniform(0, 0.5))
            learner.send_signal(signal.SIGKILL)
            looks += 1 + len(learner.stdout.read().splitlines())
    assert looks > 4
    last = learning_homes.learn(home, version)
    assert last.position.impressions == 1_200
    assert last.impressions < 1_200  # it continued at the last checkpoint
    assert learning_homes.state(home, version) == learning_homes.state(whole, version)
