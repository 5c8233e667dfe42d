"""Report-in of a real dashboard: a foreign recommender of forty lines, kills while it reports, SQL users."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, select, text
from sqlalchemy.exc import ProgrammingError

from support.child_processes import ended
from support.commands import done, start
from support.reporting_homes import measurement, shown
from support.repository import ROOT
from support.servers import free_port
from support.watched_pages import wait_until
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain, read_log
from tastemaker.monitoring import facts
from tastemaker.report_in.takeover import take_over
from tastemaker.serving.http.api_keys import add, changed
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import in_rejected, measurements
from tastemaker.workflows.workspace import Workspace

pytestmark = [pytest.mark.processes, pytest.mark.slow]
EXAMPLE = ROOT / "docs" / "examples" / "foreign_recommender.py"
GUIDE = ROOT / "docs" / "how-to" / "report-in.md"
PROBLEM = """
name: shop
objectives:
  - name: interest
    events:
      click: {weight: 1.0, window_days: 1}
"""
USERS = 90


class Board:
    """A home folder whose dashboard runs in a process of its own, and can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.settings = Settings(home=folder, problem=folder / "problem.yaml")
        self.settings.problem.write_text(PROBLEM, "utf-8")
        with changed(self.settings.keys) as keys:
            self.key = add(keys, "search-team", ["report"]).secret
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = start(self.settings.home, "tastemaker", "dashboard", "--port", str(self.port))
        wait_until(self._answers, 120, lambda: "the dashboard did not start")

    def kill(self) -> None:
        with ended(self._process):
            pass

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)

    def post(self, path: str, rows: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", json.dumps(rows).encode(), headers)
        with urllib.request.urlopen(request, timeout=20) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=20) as response:
            content: str = response.read().decode()
        return content

    def _answers(self) -> bool:
        try:
            return bool(self.page("/healthz"))
        except OSError:
            return False


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "home")
    try:
        made.start()
        yield made
    finally:
        made.kill()


def test_a_foreign_recommender_of_forty_lines_is_on_every_page(board: Board) -> None:
    shown_at = (datetime.now(UTC) - timedelta(days=3)).replace(hour=12)
    environment = {
        "PATH": os.environ["PATH"], "REPORT_URL": board.url, "REPORT_KEY": board.key,
        "REPORT_TIME": str(shown_at.timestamp()), "USERS": str(USERS),
    }  # fmt: skip
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 40
    isolated = [sys.executable, "-I", "-S", str(EXAMPLE)]  # without our package
    subprocess.run(isolated, env=environment, check=True, timeout=60, capture_output=True)
    later = {"event_id": "later", "event_type": "click", "item_id": "x", "user_id": "u0"}
    board.post("feedback", [later | {"occurred_at": time.time()}])  # the lists' attribution windows are over
    board.stop()
    drain(board.settings.spool, Lake(board.settings.lake))
    Workspace(board.settings).product_metrics.measure()
    figures = of_day(board, shown_at)
    clicked = len(range(0, USERS, 3))
    assert figures["requests"] == figures["users"] == USERS
    assert figures["ctr_list"] == pytest.approx(clicked / USERS)
    assert figures["ctr_impression"] == pytest.approx(clicked / (6 * USERS))
    assert figures["fallback_share"] == figures["empty_share"] == 0
    assert {one.name: one.samples for one in facts.collect(board.settings)}["tastemaker_answers"][
        0
    ].value == USERS
    board.start()
    assert "shop_search" in board.page("/models?period=7")
    foreign = board.page("/foreign-models")
    assert "Yes, foreign models report: 1 of 1." in foreign
    assert "x_queries" in foreign


def of_day(board: Board, timestamp: datetime) -> dict[str, float]:
    """The platform's own figures of the foreign model on a day."""
    start_of_day = timestamp.replace(hour=0, minute=0, second=0, microsecond=0)
    columns = measurements.c
    query = select(columns.metric, columns.value).where(
        columns.source == "tastemaker", columns.model == "shop_search", columns.version == "7",
        columns.slice == "", columns.experiment == "", columns.window_start == start_of_day,
        columns.window_end == start_of_day + timedelta(days=1),
    )  # fmt: skip
    with create_engine(board.settings.metadata_url).connect() as connection:
        return {metric: value for metric, value in connection.execute(query) if value is not None}


def test_the_example_is_the_one_of_the_guide() -> None:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert found[1] == EXAMPLE.read_text("utf-8")


def test_acknowledged_lists_survive_kills_and_count_once(board: Board) -> None:
    acknowledged: set[str] = set()
    for round_ in range(2):
        batches = [[shown(1_000 * round_ + 50 * n + one) for one in range(50)] for n in range(12)]
        for n, batch in enumerate(batches):
            if n == 4 + round_:
                board.kill()
            try:
                assert board.post("impressions", batch)["accepted"] == 50
                acknowledged |= {one["request_id"] for one in batch}
            except OSError:
                board.start()
                board.post("impressions", batch)  # the reporter sends again what was not acknowledged
                acknowledged |= {one["request_id"] for one in batch}
    board.kill()
    lake = Lake(board.settings.lake)
    drain(board.settings.spool, lake)
    logged = [one.removeprefix("search-team/") for one in read_log(lake)["request_id"].to_pylist()]
    assert len(logged) == len(set(logged))
    assert set(logged) == acknowledged
    board.start()


def test_a_takeover_that_is_killed_loses_and_doubles_nothing(board: Board) -> None:
    folder, rows = board.settings.report_in / "batch", 15_000
    folder.mkdir(parents=True)
    lines = (json.dumps(measurement(version=str(n), low=float(n % 3 == 0))) for n in range(rows))
    (folder / "measurements.ndjson").write_text("\n".join(lines))
    for seconds in (1.0, 1.8):
        process = start(board.settings.home, "tastemaker", "report", "take")
        with ended(process):
            time.sleep(seconds)
    done(board.settings.home, "tastemaker", "report", "take", "--json")
    with create_engine(board.settings.metadata_url).connect() as connection:
        figures = connection.execute(select(measurements.c.version)).scalars().all()
        refused = connection.execute(select(in_rejected.c.number)).scalars().all()
    assert sorted(map(int, figures)) == [n for n in range(rows) if n % 3]
    assert sorted(refused) == list(range(0, rows, 3))


def test_the_contract_check_passes_and_says_what_fails(board: Board) -> None:
    key = {"TASTEMAKER_REPORT_KEY": board.key}
    result = done(board.settings.home, "tastemaker", "report", "check", board.url, "--json", more=key)
    levels = {one["level"]: one["passed"] for one in json.loads(result.stdout)}
    assert levels == dict.fromkeys(
        ("metrics", "announcement", "measurements", "impressions", "feedback", "health"), True
    )
    status = json.loads(done(board.settings.home, "tastemaker", "report", "status", "--json").stdout)
    assert status == {"models": [], "refusals": []}
    with changed(board.settings.keys) as keys:
        other = {"TASTEMAKER_REPORT_KEY": add(keys, "reader", ["recommend"]).secret}
    words = ("tastemaker", "report", "check", board.url)
    time.sleep(1.5)  # the dashboard looks for new keys every second
    failed = done(board.settings.home, *words, more=other, status=1)
    assert "does not allow 'report'" in failed.stdout
    board.kill()
    away = done(board.settings.home, *words, more=key, status=2)
    assert "does not answer" in away.stderr
    board.start()


@pytest.mark.servers
def test_the_documented_role_inserts_and_does_nothing_else(postgres_url: str, tmp_path: Path) -> None:
    engine = open_engine(postgres_url)
    documented = re.search(r"```sql\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert documented is not None
    try:
        with engine.begin() as connection:
            connection.execute(text(documented[1]))
        team = create_engine(make_url(postgres_url).set(username="search_team"))
        insert = (
            "INSERT INTO in_measurements (model, version, metric, unit, value, n, window_start, window_end)"
            " VALUES ('m', '7', 'x_a', 'points', :v, 9, (now() - interval '2 days')::text, now()::text)"
        )
        with team.begin() as connection:
            for value in (1.5, float("nan")):
                connection.execute(text(insert), {"v": value})
        for forbidden in (
            "INSERT INTO in_measurements (source, model) VALUES ('tastemaker', 'm')",
            "SELECT * FROM in_measurements",
            "UPDATE in_measurements SET value = 2",
            "DELETE FROM in_measurements",
            "SELECT * FROM measurements",
            "INSERT INTO in_rejected (source) VALUES ('x')",
        ):
            with team.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
                connection.execute(text(forbidden))
        team.dispose()
        settings = Settings(home=tmp_path / "home", problem=tmp_path / "none.yaml", database_url=postgres_url)
        assert take_over(settings, engine)[:2] == (1, 1)
        with engine.connect() as connection:
            [figure] = connection.execute(select(measurements)).all()
            [refused] = connection.execute(select(in_rejected)).all()
        assert (figure.source, figure.value, figure.n) == ("search_team", 1.5, 9)
        assert refused.reason == "value = nan: must be a finite number"
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY reporter; DROP ROLE IF EXISTS search_team, reporter"))
        engine.dispose()
