"""No room on the spool's disk, under traffic: recommendations go on, and nothing that counts is lost."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import shop_homes
import visited
from disks import mounted
from tastemaker.simulator.live.verdict import verdict

pytestmark = pytest.mark.servers


def fill(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def event(number: int) -> dict[str, object]:
    return {"events": [{"event_id": f"mine-{number}", "event_type": "view", "item_id": "i", "user_id": "u"}]}


def test_lists_go_on_feedback_waits_and_all_is_logged_once_there_is_room(tmp_path: Path) -> None:
    home = tmp_path / "home"
    version = shop_homes.make_shop_home(home)["popularity"]
    words = ("--rate", "40", "--anonymous", "0", "--patience", "120s")
    with mounted(home / "spool", "16m") as spool:
        with visited.served(home, version) as service, visited.visiting(home, service, *words) as visits:
            fill(spool / "ballast")
            sent = iter(range(1_000_000))
            visited.until(
                lambda: service.post("/feedback", event(next(sent))).status_code != 200,
                "feedback is acknowledged though there is no room for it",
            )
            told = service.post("/feedback", event(next(sent)))
            assert told.status_code in {429, 503, 507}
            assert told.headers["content-type"] == "application/problem+json"
            assert [service.recommend()["stage"] for _ in range(100)] == ["model"] * 100
            (spool / "ballast").unlink()
            visits.go_on(5)
            visited.until(
                lambda: service.post("/feedback", event(next(sent))).status_code == 200,
                "nothing is acknowledged",
            )
            summary = visits.end()
        found = verdict(shop_homes.settings(home), visits.ledger)
    assert set(summary["statuses"]["/recommend"]) == {"200"}
    assert summary["failed"] == summary["events_abandoned"] == 0
    assert found.sound
