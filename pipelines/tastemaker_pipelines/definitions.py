"""Assembly only: the assets of each area, the workspace they share, the executor, schedule and sensor."""

from __future__ import annotations

import dagster as dg

from tastemaker.monitoring import job_runs
from tastemaker.plugins.discovery import Plugins
from tastemaker_pipelines.automation.new_days import landing_job
from tastemaker_pipelines.automation.sensors import automated, automation_sensors
from tastemaker_pipelines.evaluation.ablations import ABLATIONS, ablation_asset, has_ablations
from tastemaker_pipelines.evaluation.assets import leaderboard_asset
from tastemaker_pipelines.evaluation.backtests import backtest_asset, broken_assets
from tastemaker_pipelines.experiments.assets import experiment_looks
from tastemaker_pipelines.features.assets import feature_registry, feature_snapshots, online_features
from tastemaker_pipelines.features.skew import feature_skew
from tastemaker_pipelines.ingestion.assets import landed_events, retention
from tastemaker_pipelines.log.assets import landed_feedback, reported_rows, served_requests
from tastemaker_pipelines.model_checks import broken_names
from tastemaker_pipelines.monitoring.assets import (
    attributed_impressions,
    drift_report,
    product_metrics,
    reward_figures,
)
from tastemaker_pipelines.monitoring.dependencies import installed_packages
from tastemaker_pipelines.monitoring.ended_runs import ended_runs
from tastemaker_pipelines.monitoring.quality_reports import data_quality_report, ranking_report
from tastemaker_pipelines.monitoring.weekly_digest import weekly_digest_schedule
from tastemaker_pipelines.online_learning.assets import learned_states
from tastemaker_pipelines.promotion.assets import champion_asset
from tastemaker_pipelines.resources import LazyWorkspace, workspace_resource
from tastemaker_pipelines.training.assets import model_asset
from tastemaker_pipelines.training.requests import training_requests_sensor
from tastemaker_pipelines.validation.assets import gate

EVERYTHING = dg.AssetSelection.all() - dg.AssetSelection.key_prefixes(ABLATIONS)
"""What the nightly job and `tastemaker run` materialize."""

NIGHTLY_STATUS = {True: dg.DefaultScheduleStatus.RUNNING, False: dg.DefaultScheduleStatus.STOPPED}
"""By `automation.enabled`; either can be changed on Dagster's page."""


@dg.definitions
def defs() -> dg.Definitions:
    """Return the asset graph of the settings: the models that they leave out are not in it."""
    return build_defs(LazyWorkspace())


def build_defs(workspace: LazyWorkspace) -> dg.Definitions:
    """Return the asset graph over the models that take part by the settings of `workspace`.

    Raises TastemakerError where the settings, or the problem file that names the baseline, are wrong.
    """
    return assemble(workspace.open().plugins(), workspace)


def assemble(plugins: Plugins, workspace: LazyWorkspace) -> dg.Definitions:
    """Return the asset graph over these plugins; its assets read the settings when they run.

    Args:
        plugins: The models; a broken one has an asset that reports what is wrong with it.
        workspace: What the assets open; `automation.enabled` is read from it now, for the schedule.
    """
    names = [plugin.name for plugin in plugins.sound]
    everything = dg.define_asset_job(
        job_runs.ALL_ASSETS,
        selection=EVERYTHING,
        description="All assets but ablations: from new events to an evaluated, served champion.",
    )
    with_ablations = [plugin for plugin in plugins.sound if has_ablations(plugin)]
    return dg.Definitions(
        assets=dg.map_asset_specs(
            automated(plugins.sound, workspace),
            [
                retention,
                landed_events,
                reported_rows,
                served_requests,
                landed_feedback,
                gate,
                feature_skew,
                feature_snapshots,
                feature_registry,
                online_features,
                *map(backtest_asset, plugins.sound),
                *broken_assets(plugins.broken),
                *map(ablation_asset, with_ablations),
                leaderboard_asset([*names, *broken_names(plugins.broken)]),
                *map(model_asset, plugins.sound),
                champion_asset(names),
                learned_states,
                attributed_impressions,
                product_metrics,
                experiment_looks,
                reward_figures,
                drift_report,
                data_quality_report,
                ranking_report,
                installed_packages,
            ],
        ),
        resources={"workspace": workspace_resource(workspace)},
        executor=dg.in_process_executor,
        jobs=[everything, landing_job()],
        sensors=[ended_runs, training_requests_sensor(), *automation_sensors(workspace)],
        schedules=[
            dg.ScheduleDefinition(
                name="nightly",
                job=everything,
                cron_schedule="0 3 * * *",
                execution_timezone="UTC",
                description="Every night: read new days, train what is not up to date, choose the champion.",
                default_status=NIGHTLY_STATUS[workspace.open().settings.automation.enabled],
            ),
            weekly_digest_schedule(workspace),
        ],
    )
