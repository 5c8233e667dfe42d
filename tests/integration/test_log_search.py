"""`tastemaker log` on the log of a live service, and on that of many services in a real Postgres."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.bento_servers import run, running
from support.request_logs import NOON, fill, request, settings_of
from support.served_homes import make_home
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain
from tastemaker.event_log.postgres import PostgresSink, pull
from tastemaker.log_search.query import Parser
from tastemaker.log_search.search import search

pytestmark = pytest.mark.servers

WAIT_SECONDS = 30


def test_an_answer_is_found_in_the_spool_and_after_it_was_shipped(tmp_path: Path) -> None:
    """By its user and item, as soon as its record is on disk, while the service runs."""
    home = tmp_path / "home"
    make_home(home)
    environment = {"TASTEMAKER_HOME": str(home), "TASTEMAKER_PROBLEM": str(tmp_path / "none.yaml")}
    with running(
        ["bentoml", "serve", "tastemaker_baselines.service:Popularity"], tmp_path, environment
    ) as client:
        asked = {"user_id": "user-07", "k": 3, "context": {"page": "Basket"}}
        answer = client.post("/recommend", json=asked).json()
        first = answer["items"][0]["item_id"]
        words = ["user:user-07", f"shown:{first}", "basket", "items=3", "since:10m", "--json"]
        search_words = ["tastemaker", "log", "search", *words]
        give_up = time.monotonic() + WAIT_SECONDS
        found: list[dict[str, Any]] = []
        while not found and time.monotonic() < give_up:
            found = json.loads(run(search_words, tmp_path, environment).stdout)
        assert [one["request_id"] for one in found] == [answer["request_id"]]
        assert [one["item_id"] for one in found[0]["items"]] == [one["item_id"] for one in answer["items"]]
        assert not list((home / "lake").glob("requests/**/*.parquet"))
        assert run(["tastemaker", "ship"], tmp_path, environment).returncode == 0
        assert list((home / "lake").glob("requests/**/*.parquet"))
        shipped = json.loads(run(search_words, tmp_path, environment).stdout)
        assert [one["request_id"] for one in shipped] == [answer["request_id"]]


def test_records_in_postgres_are_found_before_and_after_they_are_pulled(
    tmp_path: Path, postgres_url: str
) -> None:
    """Also while some are in the lake, some only in the database and some in the spool."""
    home = settings_of(tmp_path, postgres_url)
    lake, parser = Lake(home.lake), Parser(datetime.fromtimestamp(NOON + 60, UTC))

    def found(text: str) -> list[int]:
        return [int(one.request_id, 16) for one in search(parser.parse(text), home, 3)]

    fill(home.spool, [request(number) for number in (1, 4)])
    drain(home.spool, PostgresSink(postgres_url))
    assert found("") == [4, 1]
    pull(postgres_url, lake)
    fill(tmp_path / "other", [request(number) for number in (2, 5)])
    drain(tmp_path / "other", PostgresSink(postgres_url))
    fill(home.spool, [request(number, user_id="ann") for number in (0, 3)])
    assert found("") == [5, 4, 3]
    assert found("until:2026-03-01T12:00:03") == [2, 1, 0]
    assert found("user:user-5") == [5]
    assert found("user:ann") == [3, 0]
    assert found("stage:popular") == []
    pull(postgres_url, lake)
    assert found("") == [5, 4, 3]
