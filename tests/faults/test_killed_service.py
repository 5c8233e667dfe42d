"""kill -9 under traffic: what was acknowledged is in the log, once."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import shop_homes
import visited
from tastemaker.simulator.live.verdict import verdict

pytestmark = pytest.mark.servers

KILLS = 20


def test_no_acknowledged_feedback_is_lost_or_doubled_in_twenty_kills(tmp_path: Path) -> None:
    """Clients send again what was not acknowledged, and some what was: by its id it counts once."""
    home, rng = tmp_path / "home", random.Random(0)
    version = shop_homes.make_shop_home(home)["popularity"]
    words = ("--rate", "60", "--at-once", "16", "--anonymous", "0", "--patience", "60s")
    faults = ("--fault", "repeated=0.2", "--fault", "dropped=0.1", "--fault", "late=0.1")
    with visited.served(home, version) as service, visited.visiting(home, service, *words, *faults) as visits:
        for _ in range(KILLS):
            visits.go_on()
            time.sleep(rng.random() * 0.3)
            service.kill()
            service.wait()
        visits.go_on()
        summary = visits.end()
    found = verdict(shop_homes.settings(home), visits.ledger)
    assert found.lost_events == found.doubled_events == []
    assert found.doubled_answers == found.altered_answers == []
    assert found.acknowledged > 2 * KILLS
    assert summary["duplicates"] > 0
    assert len(found.lost_answers) <= 16 * KILLS, "an answer does not wait for its log: those of an instant"


def test_a_killed_worker_is_replaced_without_a_person(tmp_path: Path) -> None:
    """By BentoML's own supervisor, which looks every ten seconds."""
    home = tmp_path / "home"
    version = shop_homes.make_shop_home(home)["popularity"]
    command = ["tastemaker", "serve", "popularity"]
    words = ("--rate", "30", "--anonymous", "0", "--patience", "60s")
    with (
        visited.served(home, version, command=command) as service,
        visited.visiting(home, service, *words) as visits,
    ):
        service.kill()
        service.wait()
        visits.go_on()
        visits.end()
    assert verdict(shop_homes.settings(home), visits.ledger).feedback_sound
