"""`tastemaker report`: who reports, what was refused, and what is taken over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from support.reporting_homes import Reporting, health, measurement, reporting
from tastemaker.cli.report import report
from tastemaker.storage.tables import in_measurements


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Reporting]:
    with reporting(tmp_path / "home") as made:
        yield made


def run(home: Reporting, *words: str) -> Result:
    environment = {"TASTEMAKER_HOME": str(home.settings.home)}
    return CliRunner().invoke(report, list(words), env=environment, catch_exceptions=False)


def test_status_names_models_their_state_and_refused_rows(home: Reporting) -> None:
    assert run(home, "status").output == "no model reports\n"
    home.post("/health", [health()])
    home.post("/measurements", [measurement(model="second"), measurement(low=0.5)])
    silent, second, refused = run(home, "status").output.splitlines()
    assert silent.startswith("second  unannounced  from search team  reports, last ")
    assert second.startswith("shop_search  unannounced  from search team  silent, last ")
    assert refused.endswith("http row 1: low = 0.5: must be at most the value, 0.1")
    found = json.loads(run(home, "status", "--json").output)
    assert [(one["model"], one["state"]) for one in found["models"]] == [
        ("second", "reports"), ("shop_search", "silent"),
    ]  # fmt: skip
    assert [one["field"] for one in found["refusals"]] == ["low"]


def test_take_says_what_it_took_over(home: Reporting) -> None:
    with home.engine.begin() as connection:
        connection.execute(insert(in_measurements).values(measurement(source="bi")))
        connection.execute(insert(in_measurements).values(source="bi"))
    assert run(home, "take").output == "1 rows taken over, 1 refused; 0 files\n"
    assert json.loads(run(home, "take", "--json").output) == {"accepted": 0, "rejected": 0, "files": 0}
