"""The demo's experiment, with a real controller: it is decided as the truth of the simulated shop demands."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from support.shop_homes import CONFIG, make_shop_home, settings
from tastemaker.experiments.lifecycle.states import ActionRefused
from tastemaker.settings import SourceSettings
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.cli import demo_experiment
from tastemaker_pipelines.cli.demo_experiment import NAMESPACE, draft_experiment, run_experiment

pytestmark = pytest.mark.servers


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Returns a shop whose champion shows items by chance, and whose baseline is far better.

    As in the demo, it has ended, and its last day is of this week: callers report the same types of events.
    """
    # The difference is smaller than in the demo's shop: with so many users it is found surely.
    monkeypatch.setattr(demo_experiment, "PLANNED_UNITS", 2_000)
    shop = CONFIG.model_copy(update={"dated": datetime.now(UTC).date() - timedelta(days=CONFIG.n_days)})
    versions = make_shop_home(tmp_path, ("item_knn", "random"), shop)
    with (tmp_path / "problem.yaml").open("a") as file:
        file.write("baseline: item_knn\n")
    options = shop.model_dump(mode="json", exclude_defaults=True)
    made = Workspace(settings(tmp_path, source=SourceSettings(name="simulated", options=options)))
    made.lake.source_has_ended = True
    made.registry.make_champion(versions["random"], "the worst one", forced=True)
    return made


def _said(workspace: Workspace) -> str:
    console = Console(file=io.StringIO(), width=300)
    run_experiment(workspace, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_it_is_decided_as_the_truth_demands_and_can_be_repeated(workspace: Workspace) -> None:
    experiments = workspace.experiments
    before = psutil.Process().children(recursive=True)  # such as a database of other tests
    interrupted = draft_experiment(workspace).name
    text = _said(workspace)
    assert experiments.get(interrupted).state == "archived", "a demo that was interrupted holds no users"

    found = experiments.get("demo-2")
    assert found.state == "decided"
    assert "b is shipped" in text
    assert "b is better; the result agrees with it" in text
    assert [one.action for one in experiments.history("demo-2")] == ["create", "ready", "start", "ship"]
    assert not experiments.verify("demo-2")
    champion = workspace.registry.champion(workspace.problem.name)
    assert champion is not None
    assert champion.model == "item_knn"
    left = [one for one in psutil.Process().children(recursive=True) if one not in before]
    assert [one.cmdline() for one in left] == []

    assert "No experiment: the design of demo-3" in _said(workspace), "the champion is the baseline now"
    with pytest.raises(ActionRefused):
        experiments.change("demo-2", "ship", actor="ada", reason="again")
    assert {one.namespace for one in experiments.list()} == {NAMESPACE}
