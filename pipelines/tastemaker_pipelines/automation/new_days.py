"""The sensor that looks for new and changed days of the source, and the job that brings them in."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from tastemaker.data.ingest import days_to_land
from tastemaker.settings import SourceSettings
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.data_versions import version_of
from tastemaker_pipelines.resources import WorkspaceResource

LANDING = "landing"
LANDED_GROUPS = ("ingestion", "log", "validation", "features")


def landing_job() -> Any:
    """Return the job that brings in what is new, up to the features."""
    return dg.define_asset_job(
        LANDING,
        selection=dg.AssetSelection.groups(*LANDED_GROUPS),
        description="New days of the source and new records of the log, validated, and their features.",
    )


def new_days_sensor(poll_seconds: int) -> dg.SensorDefinition:
    """Return the sensor.

    Args:
        poll_seconds: The time between two looks.
    """

    @dg.sensor(
        name="new_days",
        job_name=LANDING,
        minimum_interval_seconds=poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the job landing when days of the source are new or have changed.",
    )
    def new_days(
        context: dg.SensorEvaluationContext, workspace: WorkspaceResource
    ) -> dg.RunRequest | dg.SkipReason:
        workspace.reload()
        opened = workspace.open()
        if not opened.settings.problem.exists():
            return dg.SkipReason(f"there is no problem file {opened.settings.problem}: tastemaker frame")
        file, days, requests = json.loads(context.cursor or '["", "", 0]')
        now = _file_state(opened.settings.source)  # before it is read: what is written meanwhile is seen next
        if now and now == file:
            return dg.SkipReason("the file of the source has not changed")
        source = Workspace(opened.settings).source  # one that is open already has read its file
        offered = source.days()
        seen = version_of({day.isoformat(): digest for day, digest in offered.items()}).value
        pending = [] if seen == days else days_to_land(opened.lake, source.name, offered)
        requests += bool(pending)
        context.update_cursor(json.dumps([now, seen, requests]))
        if not pending:
            return dg.SkipReason("the lake has all days of the source")
        # The number: a day that changes and changes back is landed both times.
        return dg.RunRequest(run_key=f"{requests} {seen}")

    return new_days


def _file_state(source: SourceSettings) -> str:
    """Return a digest of the source's settings and of its file's size and time; "" if it is not a file."""
    if source.path is None or not source.path.is_file():
        return ""
    status = source.path.stat()
    return version_of(source.model_dump(mode="json"), status.st_size, status.st_mtime_ns).value
