"""Runs of a model that has a place in the pool of trainings, as processes of their own.

python pooled_runs.py hold    # keeps the place
python pooled_runs.py pass    # says when it waits for the place, and gives it back
"""

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

HELD, BLOCKED = "the place is taken", "it waits for the place"
LONG_SECONDS = 3_600.0


def train(settings: Settings, work: Callable[[], None]) -> None:
    """Run the model in this process, with the resource of the asset graph, and print when it is blocked."""

    @dg.asset(pool=TRAINING_POOL, required_resource_keys={"workspace"})
    def model() -> None:
        work()

    def listen(entry: dg.EventLogEntry) -> None:
        if entry.dagster_event and "blocked by limit for pool" in (entry.dagster_event.message or ""):
            print(BLOCKED, flush=True)

    workspace = workspace_resource(LazyWorkspace(settings))
    job = dg.Definitions([model], resources={"workspace": workspace}).resolve_implicit_global_asset_job_def()
    run_id = str(uuid.uuid4())
    with open_instance(settings) as instance:
        instance.add_event_listener(run_id, listen)
        assert job.execute_in_process(instance=instance, run_id=run_id).success


def _hold() -> None:
    print(HELD, flush=True)
    time.sleep(LONG_SECONDS)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of libraries
    train(load_settings(), {"hold": _hold, "pass": lambda: None}[sys.argv[1]])
