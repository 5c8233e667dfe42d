"""Deletion of runs that ended long ago, with their events and output: Dagster keeps them without end."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqliteEventLogStorage

MOST_RUNS = 1_000
"""The most runs that one call deletes, so that the first one ends."""


def delete_old_runs(instance: dg.DagsterInstance, days: int, now: datetime) -> int:
    """Delete runs that ended so many days ago, but those that hold an asset's newest result.

    Without that result, Dagster would take the asset for one that was never made, and make it again. Results
    of checks are kept apart from runs.

    Args:
        instance: The instance that keeps the runs.
        days: How many days ago a run ended that is deleted.
        now: The current time, aware.

    Returns:
        The number of runs that were deleted.
    """
    newest = _newest_results(instance)
    old = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=now - timedelta(days=days))
    deleted = 0
    for record in instance.get_run_records(old, limit=MOST_RUNS + len(newest), ascending=True):
        if (run_id := record.dagster_run.run_id) not in newest and deleted < MOST_RUNS:
            instance.delete_run(run_id)
            _delete_files(instance, run_id)
            deleted += 1
    return deleted


def _newest_results(instance: dg.DagsterInstance) -> set[str]:
    """Return the runs that hold the newest result of an asset."""
    found: set[str | None] = set()
    for record in instance.get_asset_records():
        entry = record.asset_entry
        found.add(entry.last_run_id)
        found |= {
            one.run_id
            for one in (
                entry.last_materialization_record,
                entry.last_observation_record,
                entry.last_failed_to_materialize_record,
            )
            if one is not None
        }
    return {run_id for run_id in found if run_id is not None}


def _delete_files(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    if isinstance(instance.event_log_storage, SqliteEventLogStorage):  # its file is empty then
        shard = Path(instance.event_log_storage.path_for_shard(run_id))
        for path in shard.parent.glob(f"{shard.name}*"):
            path.unlink(missing_ok=True)
