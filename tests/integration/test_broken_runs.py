"""What breaks around a run: files cut short, a disk that fills up, two runs at once, a run that is killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from support import commands, pooled_runs, served_homes, small_shop
from support.bento_servers import running
from support.child_processes import ended
from support.small_disks import mounted
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.plugins import discovery
from tastemaker.settings import Settings
from tastemaker.storage.tables import backtests, ingested_days, versions
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.run import run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries

MODELS = ("bought_again", "popularity")
SELECT = "+key:models/bought_again or +key:models/popularity or key:leaderboard"


def cut_short(folder: Path) -> None:
    """Halve the first array of a version's model."""
    path = sorted((folder / "model").glob("*.npy"))[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.servers
def test_a_half_written_artifact_is_passed_over_for_an_older_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    small_shop.settings(home, problem=SALES)
    older = served_homes.make_home(home)["popularity"]
    newer = served_homes.register(
        home,
        discovery.get("popularity").recommender(),
        Dataset.load(Lake(home / "lake"), served_homes.problem()),
    )
    cut_short(newer.folder)
    with running(["tastemaker", "serve", "popularity"], home, commands.environment(home)) as client:
        answer = client.post("/recommend", json={"user_id": "user-01", "k": 3}).json()
    assert answer["version"] == older.id
    refused = commands.done(home, "tastemaker", "models", "promote", newer.id, "--force", "a test", status=2)
    assert "cut short or altered" in refused.stderr
    cut_short(older.folder)
    refused = commands.done(home, "tastemaker", "serve", "popularity", status=2)
    assert "no sound version of 'popularity'" in refused.stderr
    assert refused.stderr.count("cut short or altered") == 2 + 2  # a warning each, and the reasons
    assert "fix: train it" in refused.stderr


SALES = "name: small shop\nobjectives:\n  - name: sales\n    events: {purchase: {weight: 1}}\n"


def test_a_disk_that_fills_up_while_training_leaves_nothing_half_written(
    tmp_path: Path,
) -> None:
    with mounted(tmp_path / "disk", "4m") as disk:
        check_a_disk_that_fills_up(small_shop.settings(tmp_path / "home"), disk)


def check_a_disk_that_fills_up(settings: Settings, disk: Path) -> None:
    settings.artifacts.symlink_to(disk)
    filler = disk / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(disk).free - 70_000))
    outcome = run(settings, select=SELECT)
    assert not outcome.success
    failed = {name: step.problem for name, step in outcome.steps.items() if step.state == "failed"}
    assert "models__popularity" in failed
    for problem in failed.values():
        assert "No space left on device" in problem or "requested and" in problem  # as numpy says it
        assert "fix: free some space" in problem
    workspace = Workspace(settings)
    assert workspace.registry.broken() == ()
    assert workspace.registry.champion(workspace.problem.name) is None
    assert not [path for path in disk.rglob("*") if path.name.startswith(".new") or path.suffix == ".tmp"]
    filler.unlink()
    assert run(settings, select=SELECT).success
    assert sorted(version.model for version in workspace.registry.list()) == list(MODELS)


def figures(settings: Any) -> dict[str, Any]:
    """All that a run comes to, without ids and times of day."""
    workspace = Workspace(settings)
    with workspace.engine.connect() as connection:
        evaluated = connection.execute(select(backtests)).mappings().all()
        kept = connection.execute(select(versions)).mappings().all()
        days = connection.execute(select(ingested_days)).mappings().all()
    with workspace.lake.connect() as connection:
        counts = connection.sql(
            "SELECT count(*), count(DISTINCT event_id), sum(hash(COLUMNS(*)))::VARCHAR FROM events"
        ).fetchall()
    return {
        "backtests": sorted((row["model"], row["id"], str(row["metrics"])) for row in evaluated),
        "versions": sorted((row["model"], row["content_hash"]) for row in kept),
        "days": sorted((row["day"], row["rows_read"]) for row in days),
        "events": counts,
        "data": workspace.dataset().data_hash,
        "broken": workspace.registry.broken(),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run by itself comes to."""
    settings = small_shop.settings(tmp_path_factory.mktemp("undisturbed") / "home")
    assert run(settings, select=SELECT).success
    found = figures(settings)
    [(events, distinct, *_)] = found["events"]
    assert events == distinct > 0
    assert [model for model, *_ in found["versions"]] == list(MODELS)
    return found


def test_two_runs_at_once_come_to_what_one_does(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    settings = small_shop.settings(tmp_path / "home")
    both = [commands.start(settings.home, "tastemaker", "run", "--select", SELECT) for _ in range(2)]
    with ended(*both):
        for process in both:
            out, err = process.communicate(timeout=commands.LIMIT_SECONDS)
            assert process.returncode == 0, out + err
            assert "Traceback" not in out + err
    assert figures(settings) == undisturbed


def test_a_run_that_is_killed_continues_where_it_stopped(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    settings = small_shop.settings(tmp_path / "home")
    process = commands.start(settings.home, "tastemaker", "run", "--select", SELECT)
    assert process.stdout is not None
    with ended(process):
        assert any("backtests/bought_again" in line for line in process.stdout)
    assert process.returncode == -signal.SIGKILL
    outcome = run(settings, select=SELECT)
    assert outcome.success
    assert outcome.steps["landed_events"].facts["days_read"] == 0
    assert figures(settings) == undisturbed


def test_a_run_that_waits_for_a_place_gets_that_of_one_that_is_killed(tmp_path: Path) -> None:
    """No process of Dagster's runs that could notice it."""
    settings = small_shop.settings(tmp_path / "home")
    with ExitStack() as stack:

        def start(what: str, until: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, pooled_runs.__file__, what],
                env=commands.environment(settings.home),
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(ended(process))
            assert process.stdout is not None
            assert until in (line.strip() for line in process.stdout)
            return process

        holder = start("hold", pooled_runs.HELD)
        waiting = start("pass", pooled_runs.BLOCKED)
        holder.kill()
        assert waiting.wait(120) == 0
        assert holder.wait() == -signal.SIGKILL
    with open_instance(settings) as instance:
        statuses = sorted(one.status.value for one in instance.get_runs())
    assert statuses == ["FAILURE", "SUCCESS"]
