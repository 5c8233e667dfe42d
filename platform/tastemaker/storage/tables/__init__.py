"""The metadata tables, for SQLite and Postgres. A change here needs a migration in `migrations/`."""

from tastemaker.storage.tables.alerts import (
    alert_incidents,
    alert_notes,
    alert_outbox,
    alert_silences,
    alert_states,
    watch_beats,
    watch_leases,
    watch_samples,
)
from tastemaker.storage.tables.columns import Moment, metadata
from tastemaker.storage.tables.dashboard import dashboard_sessions, dashboard_users, search_audit
from tastemaker.storage.tables.facts import (
    dependency_changes,
    feature_cutoffs,
    gate_results,
    job_runs,
    lake_readings,
    queue_lengths,
    reward_figures,
    skew_checks,
)
from tastemaker.storage.tables.log import ingested_days, log_records
from tastemaker.storage.tables.measurements import OWN_SOURCE, measurements
from tastemaker.storage.tables.report_in import (
    in_feedback,
    in_measurements,
    in_rejected,
    in_requests,
    report_counts,
    reported_health,
    reported_models,
)
from tastemaker.storage.tables.training import (
    backtests,
    failed_backtests,
    forecasts,
    promotions,
    reports,
    seed_spreads,
    stalenesses,
    versions,
)

__all__ = [
    "OWN_SOURCE",
    "Moment",
    "alert_incidents",
    "alert_notes",
    "alert_outbox",
    "alert_silences",
    "alert_states",
    "backtests",
    "dashboard_sessions",
    "dashboard_users",
    "dependency_changes",
    "failed_backtests",
    "feature_cutoffs",
    "forecasts",
    "gate_results",
    "in_feedback",
    "in_measurements",
    "in_rejected",
    "in_requests",
    "ingested_days",
    "job_runs",
    "lake_readings",
    "log_records",
    "measurements",
    "metadata",
    "promotions",
    "queue_lengths",
    "report_counts",
    "reported_health",
    "reported_models",
    "reports",
    "reward_figures",
    "search_audit",
    "seed_spreads",
    "skew_checks",
    "stalenesses",
    "versions",
    "watch_beats",
    "watch_leases",
    "watch_samples",
]
