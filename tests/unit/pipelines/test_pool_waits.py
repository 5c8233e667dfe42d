"""A run says what it waits for while other runs hold the places of a pool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from support import small_shop
from tastemaker.settings import Settings
from tastemaker_pipelines.common import TRAINING_POOL
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.pool_waits import AGAIN_SECONDS, PoolWaits
from tastemaker_pipelines.run import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # libraries of libraries
]


@dg.asset(key_prefix="backtests", pool=TRAINING_POOL)
def ease() -> None:
    """Nothing."""


JOB = dg.Definitions([ease]).resolve_implicit_global_asset_job_def()


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_instance(Settings(home=tmp_path / "home")) as opened:
        yield opened


def hold_the_place(instance: dg.DagsterInstance) -> str:
    """Take the one place of the pool for another run, and return its id."""
    holder = instance.create_run_for_job(JOB, status=dg.DagsterRunStatus.STARTED).run_id
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(TRAINING_POOL)
    assert storage.claim_concurrency_slot(TRAINING_POOL, holder, "backtests__ease").is_claimed
    return holder


def expected(holder: str) -> str:
    return (
        f"waiting for a place in the pool training, held by run {holder[:8]} (backtests/ease); to free it "
        "now, end that run: Ctrl-C where it was started, or Dagster's page"
    )


@pytest.mark.processes
def test_a_run_says_who_holds_the_place_and_continues_once_it_is_free(tmp_path: Path) -> None:
    settings, said = small_shop.settings(tmp_path / "home"), list[str]()
    with open_instance(settings) as instance:
        holder = hold_the_place(instance)

        def free(text: str) -> None:
            said.append(text)
            instance.event_log_storage.free_concurrency_slots_for_run(holder)

        outcome = run(settings, select="key:backtests/popularity", on_wait=free)
    assert said == [expected(holder)]
    assert "the table events is empty" in outcome.steps["backtests__popularity"].problem


def waiting(run_id: str, at: float) -> dg.EventLogEntry:
    """The event by which Dagster reports that a step has found no place."""
    event = dg.DagsterEvent(
        dg.DagsterEventType.ENGINE_EVENT.value,
        JOB.name,
        step_key="backtests__ease",
        event_specific_data=EngineEventData({"pool": dg.MetadataValue.pool(TRAINING_POOL)}),
    )
    return dg.EventLogEntry(None, 10, "", run_id, at, dagster_event=event)  # type: ignore[no-untyped-call]


def test_it_is_said_once_for_all_steps_and_again_after_minutes(instance: dg.DagsterInstance) -> None:
    holder, said = hold_the_place(instance), list[str]()
    waits = PoolWaits(instance, "mine", said.append)
    for seconds in (0.0, 1.0, AGAIN_SECONDS - 1):
        waits.note(waiting("mine", 1e9 + seconds))
    assert said == [expected(holder)]
    waits.note(waiting("mine", 1e9 + AGAIN_SECONDS))
    assert said == [expected(holder)] * 2


def test_nothing_is_said_of_places_that_the_run_itself_holds(instance: dg.DagsterInstance) -> None:
    own, said = hold_the_place(instance), list[str]()
    PoolWaits(instance, own, said.append).note(waiting(own, 1e9))
    assert said == []
