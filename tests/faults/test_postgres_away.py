"""The database of metadata and logs goes away, under traffic: lists go on, logs wait and then arrive."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

import shop_homes
import visited
from servers import postgres
from tastemaker.settings import LogSettings
from tastemaker.simulator.live.verdict import verdict
from tastemaker.storage.engine import open_engine

pytestmark = pytest.mark.servers

AWAY_SECONDS = 6.0
"""benchmarks/faults.py stays away for a minute."""


def shipped(url: str) -> int:
    """Records in the database."""
    with psycopg2.connect(url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM log_records")
        (n,) = cursor.fetchone() or (0,)
    connection.close()
    return int(n)


@contextmanager
def shipping(home: Path, more: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A shipper at work."""
    with (home / "ship.log").open("wb") as log:
        process = subprocess.Popen(
            [str(visited.BIN / "tastemaker"), "ship", "--follow"],
            env=visited.environment(home, more),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_no_list_fails_and_the_logs_arrive_when_postgres_is_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    version = shop_homes.make_shop_home(home)["popularity"]
    with postgres() as (server, address):
        url = f"{address}/postgres"
        open_engine(url).dispose()  # makes the tables
        log = LogSettings(target="postgres", url=url)
        more = {"TASTEMAKER_DATABASE_URL": url, "TASTEMAKER_LOG__TARGET": "postgres"}
        with (
            visited.served(home, version, more=more) as service,
            visited.visiting(home, service, "--rate", "30", "--anonymous", "0") as visits,
        ):
            with shipping(home, more) as shipper:
                visited.until(lambda: shipper.poll() is not None or shipped(url) > 0, "nothing is shipped")
                before = shipped(url)
                server.stop()
                visits.go_on()
                time.sleep(AWAY_SECONDS)
                assert shipper.poll() is None, "the shipper gave up"
                server.start()
                visits.go_on()
                visited.until(lambda: shipped(url) > before, "nothing is shipped any more")
            summary = visits.end()
        found = verdict(shop_homes.settings(home, log=log), visits.ledger)
    assert (summary["failed"], summary["events_abandoned"]) == (0, 0)
    assert summary["statuses"]["/recommend"].keys() == {"200"}
    assert found.sound
