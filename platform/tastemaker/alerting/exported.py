"""The metrics that rules may read, and their labels: those of services and those of `tastemaker watch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tastemaker.alerting.rule import Exporter

SCRAPED: Final = ("job", "instance")
"""Labels that a scrape adds to every metric."""
_HISTOGRAM = ("_bucket", "_count", "_sum")

SERVICE: Final[Mapping[str, tuple[str, ...]]] = {
    "answers_total": ("model", "stage", "reason"),
    "build_info": ("version", "python"),
    "cpu_limit_cores": (),
    "degraded": ("reason",),
    "disk_free_bytes": ("folder",),
    "disk_size_bytes": ("folder",),
    "empty_answers_total": ("model", "kind"),
    "feature_values_total": ("model", "feature", "state"),
    "feedback_events_total": ("event_type", "outcome"),
    "learning_lag_seconds": ("model",),
    "log_backlog_bytes": (),
    "log_backlog_oldest_seconds": (),
    "log_backlog_records": (),
    "log_limit_bytes": (),
    "log_lost_records_total": ("cause",),
    "log_records_total": ("outcome",),
    "log_waiting_limit_records": (),
    "log_waiting_records": (),
    "memory_limit_bytes": (),
    "memory_used_bytes": (),
    "model_batch_duration_seconds": ("model",),
    "process_cpu_seconds_total": ("process",),
    "process_max_fds": ("process",),
    "process_open_fds": ("process",),
    "process_resident_memory_bytes": ("process",),
    "process_start_time_seconds": ("process",),
    "ready": ("model",),
    "request_duration_seconds": ("endpoint",),
    "requests_total": ("endpoint", "status"),
    "served_version_info": ("model", "version"),
    "shadow_answers_total": ("model", "stage"),
    "short_answers_total": ("model", "kind"),
    "shown_items_total": ("model", "source"),
    "swaps_total": ("model", "outcome"),
    "user_features_total": ("model", "outcome"),
    "version_differs": (),
    "waiting_limit_requests": ("model",),
    "waiting_requests": ("model",),
    "wanted_version_info": ("model", "version"),
    "worker_restarts_total": ("process",),
}
"""Name without `tastemaker_` -> labels. Histograms are there by the names of their families."""
HISTOGRAMS: Final = ("model_batch_duration_seconds", "request_duration_seconds")

WATCH: Final[Mapping[str, tuple[str, ...]]] = {
    "answers_total": ("model", "stage", "reason"),
    "champion_below_baseline": ("model", "version"),
    "dependency_changed_timestamp_seconds": ("kind", "dependency"),
    "drift_distance": ("model", "version", "side", "column"),
    "drift_threshold": ("model", "version", "side", "column"),
    "empty_answers_total": ("model", "kind"),
    "events_newest_timestamp_seconds": ("source",),
    "erasure_overdue_requests": (),
    "executor_queue_tasks": ("queue",),
    "experiment_checked_timestamp_seconds": ("experiment",),
    "experiment_held": ("experiment",),
    "experiment_ratio_failed": ("experiment",),
    "experiment_rolled_back": ("experiment",),
    "experiment_stale_guardrails": ("experiment",),
    "fact_failed": ("subject",),
    "feature_missing_learned_ratio": ("model", "version", "feature"),
    "feature_missing_ratio": ("model", "version", "feature"),
    "feature_skew_ratio": ("model", "version"),
    "feature_skew_requests": ("model", "version"),
    "gate_passed": ("source",),
    "gate_quarantined_ratio": ("source",),
    "gate_quarantined_rows": ("source",),
    "gate_quarantined_usual_ratio": ("source",),
    "job_failed": ("job_name",),
    "job_refused": ("job_name",),
    "job_succeeded_timestamp_seconds": ("job_name",),
    "orchestrator_seen_timestamp_seconds": (),
    "reported_health_timestamp_seconds": ("model",),
    "reported_p99_seconds": ("model",),
    "reward_per_request": ("model", "window"),
    "reward_per_request_high": ("model", "window"),
    "reward_per_request_low": ("model", "window"),
    "rollout_due_timestamp_seconds": ("rollout",),
    "run_queue_runs": (),
    "version_data_end_timestamp_seconds": ("model", "version"),
    "version_stale_after_seconds": ("model", "version"),
    "watch_database_up": (),
    "watch_dropped_series": (),
    "watch_evaluated_timestamp_seconds": (),
    "watch_evaluates": (),
    "watch_evaluation_duration_seconds": (),
    "watch_failed_rules": (),
    "watch_incidents": ("severity",),
    "watch_notifications_total": ("channel", "outcome"),
    "watch_outbox_oldest_seconds": ("channel",),
    "watch_unwritten_changes": (),
}


def names(exporter: Exporter) -> Mapping[str, frozenset[str]]:
    """Return the full name of each series that a rule may select -> its labels."""
    found = {"up": frozenset(SCRAPED)}
    for short, labels in (SERVICE if exporter == "service" else WATCH).items():
        name = f"tastemaker_{short}"
        if short in HISTOGRAMS:
            of_buckets = {"_bucket": ("le",)}
            found |= {
                name + end: frozenset((*SCRAPED, *labels, *of_buckets.get(end, ()))) for end in _HISTOGRAM
            }
        else:
            found[name] = frozenset((*SCRAPED, *labels))
    return found
