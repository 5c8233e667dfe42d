"""The service's clock jumps back and forth, under traffic."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import keeper
import shop_homes
import visited
from tastemaker.data.lake import Lake
from tastemaker.logs.drain import served
from tastemaker.simulator.live.verdict import verdict

pytestmark = pytest.mark.servers

HOUR = 3_600.0


def test_no_list_fails_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    home, clock = tmp_path / "home", tmp_path / "clock"
    clock.write_bytes(struct.pack("d", 0.0))
    version = shop_homes.make_shop_home(home)["popularity"]
    with (
        visited.served(home, version, more={keeper.CLOCK: str(clock)}) as service,
        visited.visiting(home, service, "--rate", "40", "--anonymous", "0") as visits,
    ):
        for ahead in (-HOUR, 25 * HOUR, -49 * HOUR, 0.0):
            with clock.open("r+b") as file:
                file.write(struct.pack("d", ahead))
            visits.go_on(4)
        summary = visits.end()
    assert (summary["failed"], summary["events_abandoned"]) == (0, 0)
    assert summary["stages"].keys() == {"model"}
    assert verdict(shop_homes.settings(home), visits.ledger).sound
    moments = served(Lake(home / "lake"))["occurred_at"].to_pylist()
    assert (max(moments) - min(moments)).total_seconds() > 73 * HOUR, "the clock did jump"
