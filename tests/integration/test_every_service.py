"""Each installed model behind its own service; and a run that reads what they served.

One model of each family is behind `bentoml serve`, the others behind what BentoML's worker is: the service's
application in uvicorn, which starts in half the time. What one service does with every kind of request is
tested in test_bento_serve.py.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import pytest
from sqlalchemy import select

from support import commands
from support.bento_servers import running
from tastemaker.event_log.drain import drain, read_log
from tastemaker.plugins.discovery import Plugin, find, get
from tastemaker.storage.tables import backtests, versions
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run import Outcome, run

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Feast and Evidently import deprecated modules
]

MODELS = find().names
K = 7


class Served(NamedTuple):
    """What one service said."""

    known: dict[str, Any]
    unknown: dict[str, Any]
    live: dict[str, Any]
    ready: dict[str, Any]
    metrics: str


@pytest.fixture(scope="module")
def finished_home(finished: tuple[Workspace, Outcome]) -> Workspace:
    """The workspace of a finished run."""
    return finished[0]


@pytest.fixture(scope="module")
def said(finished_home: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    """Model -> what its service answered. Two servers at a time, and BentoML for the first of each family."""
    known = finished_home.dataset().user_ids.decode(np.array([0], np.int32))[0]
    folder = tmp_path_factory.mktemp("services")
    home = finished_home.settings.home
    first_of = {_module(plugin): plugin for plugin in reversed(find().sound)}.values()
    with ThreadPoolExecutor(2) as pool:
        asked = {
            plugin.name: pool.submit(
                _ask, home, folder / plugin.name, plugin, known, by_bentoml=plugin in first_of
            )
            for plugin in find().sound
        }
        return {name: future.result() for name, future in asked.items()}


def _module(plugin: Plugin) -> str:
    """Where the services of its family are."""
    return f"{plugin.entry_point.partition(':')[0].rpartition('.')[0]}.service"


def _ask(home: Path, folder: Path, plugin: Plugin, known: str, *, by_bentoml: bool) -> Served:
    folder.mkdir()
    target = f"{_module(plugin)}:{plugin.entry_point.partition(':')[2]}"
    command = ["bentoml", "serve", target] if by_bentoml else ["uvicorn", "--factory", f"{target}.to_asgi"]
    environment = commands.environment(home) | {"BENTOML_HOME": str(folder / "bentoml")}
    with running(command, folder, environment) as client:
        first, second = (
            client.post("/recommend", json={"user_id": user, "k": K}).raise_for_status().json()
            for user in (known, "an unknown user 🛍")
        )
        pages = [client.get(path).raise_for_status() for path in ("/livez", "/readyz", "/metrics")]
        return Served(first, second, pages[0].json(), pages[1].json(), pages[2].text)


@pytest.mark.parametrize("model", MODELS)
def test_it_answers_as_itself(model: str, said: dict[str, Served], finished_home: Workspace) -> None:
    version = finished_home.registry.newest(model).id
    catalogue = set(finished_home.dataset().item_ids.decode(np.arange(len(finished_home.dataset().item_ids))))
    for answer in (said[model].known, said[model].unknown):
        assert (answer["model"], answer["version"]) == (model, version)
        items = [item["item_id"] for item in answer["items"]]
        assert len(set(items)) == K
        assert set(items) <= catalogue
        assert all(0 < item["propensity"] <= 1 for item in answer["items"])
    assert said[model].known["fallback"] is None


@pytest.mark.parametrize("model", MODELS)
def test_it_says_how_it_does(model: str, said: dict[str, Served], finished_home: Workspace) -> None:
    version = finished_home.registry.newest(model).id
    assert said[model].live == {"status": "alive"}
    ready: dict[str, Any] = {
        "status": "ready",
        "model": model,
        "version": version,
        "degraded": [],
        "pinned": False,
    }
    champion = finished_home.registry.champion(finished_home.problem.name)
    if champion is not None and champion.id == version:
        ready["wanted"] = {"model": model, "version": version}
    assert said[model].ready == ready
    assert 'tastemaker_requests_total{endpoint="/recommend",status="200"} 2.0' in said[model].metrics


def test_what_it_read_of_a_user_is_logged_and_is_what_the_data_says(
    said: dict[str, Served], finished_home: Workspace
) -> None:
    """The ranker reads features from the online store, where the run put those of the latest snapshot."""
    drain(finished_home.settings.spool, finished_home.lake)
    logged = {row["request_id"]: row for row in read_log(finished_home.lake).to_pylist()}
    read = json.loads(logged[said["ranker"].known["request_id"]]["features"])
    cut = finished_home.dataset().cut()
    source = cut.training(0).features
    assert source is not None
    names = get("ranker").recommender.capabilities.user_features
    expected = source.users(cut.end).select(names).values[0]
    np.testing.assert_allclose(np.array([read[name] for name in names], np.float32), expected, rtol=1e-6)
    assert np.isfinite(expected).any()
    unknown = json.loads(logged[said["ranker"].unknown["request_id"]]["features"])
    assert set(unknown.values()) == {None}


def test_impressions_are_logged_and_nothing_is_learned_from_them(
    said: dict[str, Served], finished_home: Workspace
) -> None:
    """What the platform itself did changes no feature, no data and no backtest."""

    def state() -> list[Any]:
        workspace = Workspace(finished_home.settings)
        with workspace.engine.connect() as connection:
            rows = [
                sorted(connection.execute(select(table.c.id)).scalars()) for table in (backtests, versions)
            ]
        snapshots = {path: path.stat().st_mtime_ns for path in workspace.settings.features.rglob("*.parquet")}
        return [*rows, snapshots, workspace.dataset().data_hash, workspace.split().data_hash]

    before = state()
    drain(finished_home.settings.spool, finished_home.lake)
    outcome = run(finished_home.settings)
    assert {step.name: step.problem for step in outcome.steps.values() if step.state != "done"} == {}
    answers = [answer for one in said.values() for answer in (one.known, one.unknown)]
    requests = {answer["request_id"] for answer in answers}
    assert requests <= set(read_log(finished_home.lake).column("request_id").to_pylist())
    with finished_home.lake.connect() as connection:
        shown = connection.table("impressions").to_arrow_table()
    shown_of = pc.is_in(shown["request_id"], pc.cast(list(requests), "string"))
    assert pc.sum(shown_of).as_py() == K * len(answers)
    assert not requests & set(finished_home.lake.read("events")["request_id"].to_pylist())
    assert state() == before
