"""The board of data and jobs: the gate, quarantine, freshness, runs."""

from __future__ import annotations

from tastemaker.alerting.grafana.panel import Board, BoardRow, Panel, PanelQuery, Threshold
from tastemaker.settings import Settings


def data_board(settings: Settings) -> Board:
    """Return the board, with the thresholds of the settings."""
    description = (
        "What arrives, what is refused, and the runs that read it; from the facts of `tastemaker watch`."
    )
    return Board("data", "Tastemaker: data and jobs", description, (_data(settings), _jobs(settings)))


def _data(settings: Settings) -> BoardRow:
    alerts = settings.alerts
    return BoardRow(
        "Data",
        (
            Panel(
                "Data gate",
                "1 if the newest batch of a source passed, else 0.",
                "short",
                (PanelQuery("min by (source) (tastemaker_gate_passed)", "{{source}}"),),
                Threshold(1, "gate_failed", worse="below"),
            ),
            Panel(
                "Rows in quarantine",
                "Share of the rows of a source's newest day, and that of the 28 days before.",
                "percentunit",
                (
                    PanelQuery("max by (source) (tastemaker_gate_quarantined_ratio)", "{{source}}"),
                    PanelQuery(
                        "max by (source) (tastemaker_gate_quarantined_usual_ratio)", "{{source}} usual"
                    ),
                ),
                Threshold(alerts.quarantine.above, "quarantine"),
            ),
            Panel(
                "Number of rows in quarantine",
                "Of a source's newest day.",
                "short",
                (PanelQuery("max by (source) (tastemaker_gate_quarantined_rows)", "{{source}}"),),
            ),
            Panel(
                "Age of the newest event",
                "Time since a source's newest event.",
                "s",
                (
                    PanelQuery(
                        "time() - max by (source) (tastemaker_events_newest_timestamp_seconds)", "{{source}}"
                    ),
                ),
                Threshold(alerts.data_stale.above_seconds, "data_stale"),
            ),
            Panel(
                "Dependencies",
                "When the form of a source or the installed packages last changed; 1970 for never.",
                "dateTimeAsIso",
                (
                    PanelQuery(
                        "1000 * max by (kind, dependency) (tastemaker_dependency_changed_timestamp_seconds)",
                        "{{kind}} {{dependency}}",
                    ),
                ),
            ),
            Panel(
                "Facts that can't be read",
                "1 if a subject's facts could not be read and its panels are out of date.",
                "short",
                (PanelQuery("max by (subject) (tastemaker_fact_failed)", "{{subject}}"),),
                Threshold(1, "fact_failed"),
            ),
        ),
    )


def _jobs(settings: Settings) -> BoardRow:
    alerts = settings.alerts
    return BoardRow(
        "Jobs",
        (
            Panel(
                "Time since a job succeeded",
                "By job.",
                "s",
                (
                    PanelQuery(
                        "time() - max by (job_name) (tastemaker_job_succeeded_timestamp_seconds)",
                        "{{job_name}}",
                    ),
                ),
                Threshold(alerts.job_late.above_seconds, "job_late"),
            ),
            Panel(
                "Jobs whose last run failed",
                "1 if the last run failed or was canceled.",
                "short",
                (PanelQuery("max by (job_name) (tastemaker_job_failed)", "{{job_name}}"),),
                Threshold(1, "job_failed"),
            ),
            Panel(
                "Runs that wait to be started",
                "In the orchestrator's queue.",
                "short",
                (PanelQuery("max (tastemaker_run_queue_runs)", "runs"),),
                Threshold(alerts.run_queue.above, "run_queue"),
            ),
            Panel(
                "Tasks that wait in Celery's queues",
                "By queue, where runs are executed by Celery (`watch.celery`).",
                "short",
                (PanelQuery("max by (queue) (tastemaker_executor_queue_tasks)", "{{queue}}"),),
                Threshold(alerts.executor_queue.above, "executor_queue"),
            ),
        ),
    )
