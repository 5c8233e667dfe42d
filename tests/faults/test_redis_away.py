"""The online store goes away, under traffic: first it refuses, then it hangs. Lists go on."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import pytest

import shop_homes
import visited
from servers import redis
from tastemaker.logs.records import Record
from tastemaker.logs.spool_file import FILE_NAME, find_request
from tastemaker.settings import OnlineStoreSettings
from tastemaker.simulator.live.verdict import verdict

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Feast's own
]

AWAY_SECONDS = 6.0
"""benchmarks/faults.py stays away for a minute."""


def reads_features(home: Path, service: visited.Service, user_id: str) -> bool:
    """Was anything known of the user when this list was made?"""
    request_id = service.recommend(user_id)["request_id"]
    found: list[Record] = []

    def logged() -> bool:
        record = find_request(home / "spool" / FILE_NAME, request_id)
        found.extend([] if record is None else [record])
        return bool(found)

    visited.until(logged, f"{request_id} is not logged")
    return any(value is not None for value in (found[0].features or {}).values())


def test_no_list_fails_while_redis_refuses_or_hangs_and_features_come_back(tmp_path: Path) -> None:
    from tastemaker_features import store

    home = tmp_path / "home"
    with redis() as (server, url):
        online = OnlineStoreSettings(type="redis", url=url)
        version = shop_homes.make_ranker_home(home, online)
        more = {
            "TASTEMAKER_ONLINE_STORE__TYPE": "redis",
            "TASTEMAKER_ONLINE_STORE__URL": url,
            "TASTEMAKER_SERVING__FEATURES_FRESH_SECONDS": "0",  # what was read is not kept
            "TASTEMAKER_SERVING__FEATURES_SECONDS": "0.2",  # a busy machine is no reason not to read
        }
        people = (f"u{number % 200:07d}" for number in count())
        with (
            visited.served(home, version, more=more) as service,
            visited.visiting(home, service, "--rate", "20", "--anonymous", "0") as visits,
        ):
            assert any(reads_features(home, service, next(people)) for _ in range(20))
            server.stop()
            assert not any(reads_features(home, service, next(people)) for _ in range(20))
            time.sleep(AWAY_SECONDS)
            server.start()
            store.materialize(shop_homes.settings(home, online_store=online), version.manifest.window.end)
            visited.until(lambda: reads_features(home, service, next(people)), "features are not read again")
            with server.frozen():
                time.sleep(AWAY_SECONDS)
            visited.until(lambda: reads_features(home, service, next(people)), "features are not read again")
            visits.go_on()
            summary = visits.end()
    assert (summary["failed"], summary["events_abandoned"]) == (0, 0)
    assert set(summary["statuses"]["/recommend"]) == {"200"}
    assert verdict(shop_homes.settings(home), visits.ledger).sound
