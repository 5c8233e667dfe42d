"""Runs of a model that has a place in the pool of trainings: `python -m support.pooled_runs` keeps it."""

from __future__ import annotations

import sys
import time
import uuid
import warnings
from collections.abc import Callable

import dagster as dg

from tastemaker.settings import Settings, load_settings
from tastemaker_pipelines.common import TRAINING_POOL
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.resources import LazyWorkspace, workspace_resource

HELD = "the place is taken"
LONG_SECONDS = 3_600.0


def train(
    settings: Settings, work: Callable[[], None], on_event: Callable[[dg.DagsterEvent], None] = lambda _: None
) -> str:
    """Run the model in this process, with the resource of the asset graph; return the run's id.

    `on_event` gets each event of the run.
    """

    @dg.asset(pool=TRAINING_POOL, required_resource_keys={"workspace"})
    def model() -> None:
        work()

    def listen(entry: dg.EventLogEntry) -> None:
        if entry.dagster_event is not None:
            on_event(entry.dagster_event)

    workspace = workspace_resource(LazyWorkspace(settings))
    job = dg.Definitions([model], resources={"workspace": workspace}).resolve_implicit_global_asset_job_def()
    run_id = str(uuid.uuid4())
    with open_instance(settings) as instance:
        instance.add_event_listener(run_id, listen)
        assert job.execute_in_process(instance=instance, run_id=run_id).success
    return run_id


def _hold() -> None:
    print(HELD, flush=True)
    time.sleep(LONG_SECONDS)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of libraries
    sys.exit(train(load_settings(), _hold))
