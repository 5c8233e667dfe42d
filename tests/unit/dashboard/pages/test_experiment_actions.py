"""Editors hold, stop and kill experiments on their page; viewers see what may be done."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from support import experiment_homes
from support.dashboard_homes import dashboard_client
from support.dashboard_users import NAME, dashboard_with_users, quick_hashes, token_of
from support.experiment_homes import ExperimentHome
from tastemaker.dashboard.viewer import Role
from tastemaker.experiments.lifecycle.kills import PLAN, read_plan
from tastemaker.experiments.lifecycle.store import Experiments
from tastemaker.settings import load_settings
from tastemaker.storage.engine import open_engine

pytestmark = pytest.mark.slow
__all__ = ["quick_hashes"]
PAGE = "/experiments/ranker-2"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A dashboard whose problem file is in its home."""
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(tmp_path / "problem.yaml"))
    with dashboard_client(tmp_path) as opened:
        yield opened


@pytest.fixture
def home(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExperimentHome]:
    """A home in which ranker-2 runs."""
    engine = open_engine(load_settings(home=tmp_path).metadata_url)
    made = experiment_homes.make(engine, tmp_path, monkeypatch)
    (tmp_path / "problem.yaml").write_text(made.experiments.problem.model_dump_json(), "utf-8")
    made.running()
    yield made
    engine.dispose()


def forms(text: str) -> set[str]:
    """Return the buttons of the page's forms."""
    content = text.split("<main", 1)[1]
    return {one.split("</button>")[0] for one in content.split("<button>")[1:]}


def post(client: TestClient, action: str, **fields: str) -> Any:
    token = token_of(client.get(PAGE).text)
    return client.post(f"{PAGE}/{action}", data={"csrf_token": token, **fields}, follow_redirects=False)


def seen(home: ExperimentHome) -> str:
    return str(home.experiments.get("ranker-2").changes)


def test_what_may_be_done_is_said_with_what_stands_against_it(
    client: TestClient, home: ExperimentHome
) -> None:
    rows = client.get(f"/blocks{PAGE}/next.csv").text.splitlines()
    assert rows[0] == "action,effect,allowed,command"
    allowed = {row.split(",")[0]: ",yes," in row for row in rows[1:]}
    assert allowed["hold"]
    assert allowed["kill"]
    assert not allowed["step"], "the step's time is not over"
    assert "this step began" in client.get(PAGE).text
    assert forms(client.get(PAGE).text) == {"Hold", "Stop", "Kill"}
    (listed,) = csv.DictReader(client.get("/blocks/experiments/experiments.csv").text.splitlines())
    assert {"hold", "stop", "kill"} <= set(listed["next"].split(", "))
    assert "step" not in listed["next"].split(", ")


def test_an_editor_holds_and_stops_with_a_reason(client: TestClient, home: ExperimentHome) -> None:
    done = post(client, "hold", reason="delayed rewards", changes=seen(home))
    assert (done.status_code, done.headers["location"]) == (303, PAGE)
    assert home.experiments.get("ranker-2").state == "holding"
    last = home.experiments.history("ranker-2")[-1]
    assert (last.actor, last.action, last.reason) == ("this machine", "hold", "delayed rewards")
    assert forms(client.get(PAGE).text) == {"Stop", "Kill"}
    assert post(client, "stop", reason="enough", changes=seen(home)).status_code == 303
    assert home.experiments.get("ranker-2").state == "stopped"
    assert forms(client.get(PAGE).text) == set()


def test_a_kill_takes_effect_and_is_recorded(client: TestClient, home: ExperimentHome) -> None:
    assert post(client, "kill", reason="it shows nothing").status_code == 303
    assert read_plan(home.experiments.folder / PLAN).experiments == ()
    last = home.experiments.history("ranker-2")[-1]
    assert (last.actor, last.action, last.reason) == ("this machine", "kill", "it shows nothing")
    assert home.experiments.verify("ranker-2") == []


def test_a_kill_takes_effect_before_the_database_has_it(
    client: TestClient, home: ExperimentHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: Experiments) -> None:
        raise OperationalError("UPDATE", {}, Exception("connection refused"))

    monkeypatch.setattr(Experiments, "settle_kills", away)
    assert post(client, "kill", reason="it shows nothing").status_code == 303
    (planned,) = read_plan(home.experiments.folder / PLAN).experiments
    assert planned.killed
    (kept,) = (home.experiments.folder / "killed").glob("*.json")
    assert json.loads(kept.read_text("utf-8"))["reason"] == "it shows nothing"
    assert home.experiments.get("ranker-2").state == "running"
    assert "this machine killed it at" in client.get(PAGE).text
    monkeypatch.undo()
    home.experiments.settle_kills()
    assert "killed it at" not in client.get(f"{PAGE}?page=2").text, "a page that was not read before"


@pytest.mark.parametrize(
    ("action", "fields", "says"),
    [
        ("hold", {"reason": " ", "changes": "3"}, "needs a reason"),
        ("kill", {"reason": " "}, "needs a reason"),
        ("stop", {"reason": "x", "changes": "2"}, "was changed"),
        ("stop", {"reason": "x", "changes": "all"}, "must be a whole number"),
        ("stop", {"reason": "x"}, "must be a whole number"),
    ],
)
def test_what_can_not_be_done_is_said(
    client: TestClient, home: ExperimentHome, action: str, fields: dict[str, str], says: str
) -> None:
    refused = post(client, action, **fields)
    assert refused.status_code == 400
    assert says in refused.text
    assert home.experiments.get("ranker-2").state == "running"


@pytest.mark.parametrize("action", ["ship", "start", "step", "roll_back"])
def test_nothing_ships_or_enrols_on_the_page(client: TestClient, home: ExperimentHome, action: str) -> None:
    assert post(client, action, reason="x", changes=seen(home)).status_code in (404, 405)


def test_without_a_token_nothing_is_changed(client: TestClient, home: ExperimentHome) -> None:
    refused = client.post(f"{PAGE}/stop", data={"reason": "x", "changes": seen(home)})
    assert refused.status_code == 403
    assert home.experiments.get("ranker-2").state == "running"


@pytest.mark.usefixtures("quick_hashes", "client")
def test_a_viewer_sees_and_an_editor_acts_in_their_name(home: ExperimentHome, tmp_path: Path) -> None:
    with dashboard_with_users(tmp_path) as dashboard:
        dashboard.add()
        dashboard.add("Eve", Role.EDITOR)
        viewer, editor = dashboard.logged_in(NAME), dashboard.logged_in("Eve")
        assert forms(viewer.get(PAGE).text) == set()
        fields = {"reason": "x", "changes": seen(home)}
        page = viewer.get(PAGE).text
        refused = viewer.post(f"{PAGE}/stop", data={"csrf_token": token_of(page), **fields})
        assert (refused.status_code, home.experiments.get("ranker-2").state) == (403, "running")
        page = editor.get(PAGE).text
        done = editor.post(f"{PAGE}/stop", data={"csrf_token": token_of(page), **fields})
        assert done.status_code == 303
        assert home.experiments.history("ranker-2")[-1].actor == "Eve"
