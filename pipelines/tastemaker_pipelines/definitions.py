"""Assembly only: the assets of the installed plugins, the resource they share, the executor, the schedule."""

from __future__ import annotations

import dagster as dg

from tastemaker.plugins.discovery import find
from tastemaker_pipelines.assets.features import feature_registry, feature_snapshots, online_features
from tastemaker_pipelines.assets.ingestion import landed_events, landed_feedback, retention
from tastemaker_pipelines.assets.judgement import judgement_assets
from tastemaker_pipelines.assets.monitoring import (
    attributed_impressions,
    drift_report,
    learned_states,
    product_metrics,
    served_requests,
)
from tastemaker_pipelines.assets.training import broken_assets, training_assets
from tastemaker_pipelines.assets.validation import gate
from tastemaker_pipelines.resources import LazyWorkspace


def build_defs(workspace: LazyWorkspace | None = None) -> dg.Definitions:
    """The whole graph; `workspace` binds it to settings of one's own (tests, `tastemaker run`)."""
    found = find() if workspace is None else workspace.open().plugins()
    plugins = found.sound
    assets = [
        retention,
        landed_events,
        landed_feedback,
        gate,
        feature_snapshots,
        feature_registry,
        online_features,
        *(asset for plugin in plugins for asset in training_assets(plugin)),
        *broken_assets(found.broken),
        *judgement_assets(found),
        served_requests,
        attributed_impressions,
        product_metrics,
        learned_states,
        drift_report,
    ]
    everything = dg.define_asset_job(
        "everything", description="From new events to a judged, served champion."
    )
    return dg.Definitions(
        assets=assets,
        resources={"workspace": workspace or LazyWorkspace()},
        executor=dg.in_process_executor,
        jobs=[everything],
        schedules=[
            dg.ScheduleDefinition(
                name="nightly",
                job=everything,
                cron_schedule="0 3 * * *",
                execution_timezone="UTC",
                description="Every night: new days in, models trained anew, the champion reconsidered.",
            )
        ],
    )


defs = build_defs()
