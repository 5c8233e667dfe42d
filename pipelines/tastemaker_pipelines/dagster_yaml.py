"""The text of dagster.yaml: what an instance of Dagster is like, in the home folder and in a project."""

from __future__ import annotations

import textwrap

from tastemaker.orchestrator_settings import OrchestratorSettings

WRITTEN = "# Written by Tastemaker from [orchestrator] in tastemaker.toml. Delete this line to keep edits.\n"
"""First line of a file that is written again when the settings change."""
FORMER = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
"""What was written before there was a first line."""
IN_PROJECT = """\
# Read by `dagster dev` in this folder while DAGSTER_HOME is not set: the runs, events and output of
# `tastemaker run` with the default home folder. Paths are relative to this folder.
"""
PROJECT_FOLDER = ".tastemaker/dagster"


def home_config(settings: OrchestratorSettings) -> str:
    """Return the text for the folder that is DAGSTER_HOME."""
    if settings.postgres_variable is None:
        storage = _storage("sqlite_runs", "SqliteRuns", "base_dir: {env: DAGSTER_HOME}")
    else:
        url = f"postgres_url: {{env: {settings.postgres_variable}}}"
        storage = _storage("postgres_runs", "PostgresRuns", url)
    return WRITTEN + storage + _instance(settings)


def project_config() -> str:
    """Return the text for a project's folder, for which DAGSTER_HOME need not be set."""
    folders = textwrap.dedent(f"""\
        local_artifact_storage:
          module: dagster._core.storage.root
          class: LocalArtifactStorage
          config:
            base_dir: {PROJECT_FOLDER}
        compute_logs:
          module: dagster._core.storage.local_compute_log_manager
          class: LocalComputeLogManager
          config:
            base_dir: {PROJECT_FOLDER}/storage
        """)
    storage = _storage("sqlite_runs", "SqliteRuns", f"base_dir: {PROJECT_FOLDER}")
    return IN_PROJECT + storage + folders + _instance(OrchestratorSettings())


def _storage(module: str, name: str, config: str) -> str:
    """Return where runs and events are kept: by a class that creates the tables once."""
    return textwrap.dedent(f"""\
        storage:
          custom:
            module: tastemaker_pipelines.{module}
            class: {name}
            config:
              {config}
        """)


def _instance(settings: OrchestratorSettings) -> str:
    """Return how runs are executed, watched and repeated."""
    return textwrap.dedent(f"""\
        telemetry:
          enabled: false
        nux:
          enabled: false
        concurrency:
          runs:
            max_concurrent_runs: {settings.max_concurrent_runs}
          pools:  # training, memory-high
            granularity: op
            default_limit: {settings.pool_limit}
        run_monitoring:
          enabled: true
          poll_interval_seconds: 30
          start_timeout_seconds: 300
          cancel_timeout_seconds: 180
          free_slots_after_run_end_seconds: 60  # else the slot of a run that was killed stays taken
        run_retries:  # of runs whose process was killed; a step that failed has retries of its own
          enabled: true
          max_retries: {settings.max_retries}
          retry_on_asset_or_op_failure: false
        sensors:  # a slow one does not delay the others
          use_threads: true
          num_workers: 4
        retention:  # of evaluations; the asset retention deletes runs
          schedule:
            purge_after_days: {settings.runs_days}
          sensor:
            purge_after_days:
              skipped: 1
              success: {settings.runs_days}
              failure: {settings.runs_days}
          auto_materialize:
            purge_after_days:
              skipped: 1
              success: {settings.runs_days}
              failure: {settings.runs_days}
        """)
