"""Features that a real service logged, compared with those computed again, after a real run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import ibis
import pytest
from sqlalchemy import select, update

from support import small_shop
from support.bento_servers import run, running
from tastemaker.event_log.shipping import collect
from tastemaker.features import recomputed
from tastemaker.features.snapshots import WEEK_SECONDS, write_snapshots
from tastemaker.features.users import user_features
from tastemaker.monitoring.skew import VersionSkew, check_skew, record_cutoff
from tastemaker.plugins import discovery
from tastemaker.storage.tables import feature_cutoffs, gate_results, job_runs
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run import run as run_graph

# Feast and Evidently import deprecated modules.
pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

MODELS = {"enabled": ["popularity", "ranker"], "ranker": small_shop.RANKER}
ENVIRONMENT = {"TASTEMAKER_HOME": "home", "TASTEMAKER_PROBLEM": "home/problem.yaml"}
STEPS = "+feature_skew"
READ = discovery.get("ranker").recommender.capabilities.user_features


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A home after a run of everything."""
    folder = tmp_path_factory.mktemp("skew")
    settings = small_shop.settings(folder / "home", models=MODELS)
    assert run_graph(settings).success
    return Workspace(settings)


@pytest.fixture(scope="module")
def service(home: Workspace) -> Iterator[httpx.Client]:
    """The ranker of that home."""
    folder = home.settings.home.parent
    environment = ENVIRONMENT | {
        "BENTOML_HOME": str(folder / "bentoml"),
        "TASTEMAKER_SERVING__FEATURES_TIMEOUT_SECONDS": "5",
        "TASTEMAKER_SERVING__FEATURES_CACHE_SECONDS": "0",
    }
    with running(("tastemaker", "serve", "ranker", "--workers", "1"), folder, environment) as client:
        yield client


def visit(client: httpx.Client, home: Workspace) -> None:
    """Every user asks once, and one that the shop does not know."""
    users = home.lake.read("users")["user_id"].to_pylist()
    for user_id in [*users, "unknown-user"]:
        answered = client.post("/recommend", json={"user_id": user_id, "k": 5})
        assert answered.status_code == 200
    collect(home.settings, home.lake)


def compared(home: Workspace) -> VersionSkew:
    [found] = check_skew(home.lake, home.settings.features, home.engine)
    assert found.requests > 100
    return found


def test_a_run_leaves_what_the_facts_read(home: Workspace) -> None:
    with home.engine.connect() as connection:
        [job] = connection.execute(select(job_runs)).all()
        gates = {row.source: row.passed for row in connection.execute(select(gate_results))}
        [ready] = connection.execute(select(feature_cutoffs)).all()
    assert (job.job_name, job.succeeded) == ("everything", True)
    assert gates == {"simulated": True, "user_features": True, "item_features": True}
    assert ready.cutoff.timestamp() == home.dataset().end


def test_each_kind_of_skew_is_found_in_what_a_service_logged(
    home: Workspace, service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(service, home)
    healthy = compared(home)
    assert (healthy.differences, dict(healthy.skipped)) == ([], {})
    assert healthy.feature_values == healthy.requests * len(READ)

    def changed(*tables: Any) -> ibis.Table:
        rows = user_features(*tables)
        return rows.mutate(user_active_days_count=rows.user_active_days_count + 1)

    with monkeypatch.context() as patched:
        patched.setattr(recomputed, "user_features", changed)
        redefined = compared(home)
        assert {(one.feature, one.reason) for one in redefined.differences} == {
            ("user_active_days_count", "definition")
        }
        outcome = run_graph(home.settings, select=STEPS)
    assert outcome.success, "a difference stops nothing"
    noted = " ".join(map(str, outcome.steps["feature_skew"].facts.values()))
    assert "user_active_days_count (definition," in noted

    # New snapshots, two hours ago; the online store is not written.
    end = home.dataset().end + WEEK_SECONDS
    write_snapshots(home.lake, home.settings.features, {home.dataset().end, end})
    record_cutoff(home.engine, home.settings.features, end)
    with home.engine.begin() as connection:
        newest = select(feature_cutoffs).order_by(feature_cutoffs.c.id.desc())
        row = connection.execute(newest).first()
        assert row is not None
        connection.execute(
            update(feature_cutoffs)
            .where(feature_cutoffs.c.id == row.id)
            .values(made_at=row.made_at - timedelta(hours=2))
        )
        connection.execute(
            update(feature_cutoffs)
            .where(feature_cutoffs.c.id != row.id)
            .values(made_at=row.made_at - timedelta(hours=3))
        )
    stale = compared(home)
    assert {one.reason for one in stale.differences} == {"stale"}
    assert "user_tenure_days" in {one.feature for one in stale.differences}


def test_the_command_names_feature_request_and_both_values(home: Workspace, service: httpx.Client) -> None:
    """The snapshots are newer than the online store since the last test."""
    folder = home.settings.home.parent
    said = run(("tastemaker", "data", "skew"), folder, ENVIRONMENT)
    assert said.returncode == 1, said.stderr
    assert "user_tenure_days" in said.stdout
    assert "stale" in said.stdout
    found = json.loads(run(("tastemaker", "data", "skew", "--json"), folder, ENVIRONMENT).stdout)
    [one] = found
    assert one["differing"] > 0
    example = one["examples"][0]
    assert example["feature"] in READ
    assert len(example["request_id"]) == 32
    assert example["logged"] != example["recomputed"]


def test_a_snapshot_that_is_not_sound_stops_what_is_made_from_it(
    home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def negative(*tables: Any) -> ibis.Table:
        rows = user_features(*tables)
        return rows.mutate(user_tenure_days=-rows.user_tenure_days)

    with home.engine.connect() as connection:
        ready = len(connection.execute(select(feature_cutoffs)).all())
    monkeypatch.setattr("tastemaker.features.fingerprint.FEATURES_VERSION", 1_000)
    monkeypatch.setattr("tastemaker.features.snapshots.user_features", negative)
    outcome = run_graph(home.settings, select="user_features+")
    assert not outcome.success
    assert "user_tenure_days is below 0" in outcome.steps["feature_snapshots"].problem
    assert outcome.steps["feature_registry"].state != "done"
    with home.engine.connect() as connection:
        newest = select(gate_results).order_by(gate_results.c.id)
        results = {row.source: row for row in connection.execute(newest)}
        assert len(connection.execute(select(feature_cutoffs)).all()) == ready, "no service gets it"
    assert not results["user_features"].passed
    assert "user_tenure_days is below 0" in results["user_features"].reason
    assert results["item_features"].passed
