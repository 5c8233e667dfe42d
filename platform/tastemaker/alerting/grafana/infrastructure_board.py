"""The board of infrastructure: processes, machine, the log's spool, and the watch itself."""

from __future__ import annotations

from tastemaker.alerting.grafana.panel import Board, BoardRow, Panel, PanelQuery, Threshold, chosen, rate
from tastemaker.settings import Settings

BY = "job, instance"
PLACE = "{{job}} {{instance}}"


def infrastructure_board(settings: Settings) -> Board:
    """Return the board, with the thresholds of the settings."""
    description = "Processes, machines, the spool of the log, and `tastemaker watch`."
    rows = (_processes(settings), _machine(settings), _log(settings), _watch())
    return Board("infrastructure", "Tastemaker: infrastructure", description, rows)


def _processes(settings: Settings) -> BoardRow:
    files = "tastemaker_process_open_fds", "tastemaker_process_max_fds"
    share = " / ".join(chosen(name) for name in files)
    alerts = settings.alerts
    return BoardRow(
        "Processes",
        (
            Panel(
                "Services that answer",
                "1 if a service answered when it was scraped.",
                "short",
                (PanelQuery('up{job=~"$job"}', PLACE),),
                Threshold(1, "service_down", worse="below"),
            ),
            Panel(
                "Workers that ended and were replaced",
                "In the last ten minutes.",
                "short",
                (
                    PanelQuery(
                        f"sum by ({BY}) (increase({chosen('tastemaker_worker_restarts_total')}[10m]))", PLACE
                    ),
                ),
                Threshold(alerts.workers_restart.at_least, "workers_restart"),
            ),
            Panel(
                "Degraded",
                "1 while this part does not work in some worker though lists are answered.",
                "short",
                (
                    PanelQuery(
                        f"max by (instance, reason) ({chosen('tastemaker_degraded')})",
                        "{{instance}} {{reason}}",
                    ),
                ),
                Threshold(1, "degraded"),
            ),
            Panel(
                "Processors in use",
                "By process, and the most that the server and its workers may use.",
                "cores",
                (
                    PanelQuery(
                        f"sum by (instance, process) ({rate('tastemaker_process_cpu_seconds_total')})",
                        "{{instance}} {{process}}",
                    ),
                    PanelQuery(
                        f"max by (instance) ({chosen('tastemaker_cpu_limit_cores')})", "{{instance}} limit"
                    ),
                ),
            ),
            Panel(
                "Resident memory",
                "By process.",
                "bytes",
                (
                    PanelQuery(
                        f"sum by (instance, process) ({chosen('tastemaker_process_resident_memory_bytes')})",
                        "{{instance}} {{process}}",
                    ),
                ),
                is_stacked=True,
            ),
            Panel(
                "Open file descriptors",
                "Share of those that a process may have open, of the process with the most.",
                "percentunit",
                (PanelQuery(f"max by ({BY}) ({share})", PLACE),),
                Threshold(alerts.file_descriptors.above, "file_descriptors"),
            ),
        ),
    )


def _machine(settings: Settings) -> BoardRow:
    alerts = settings.alerts
    busy = rate("tastemaker_process_cpu_seconds_total")
    cores = chosen("tastemaker_cpu_limit_cores")
    free, size = chosen("tastemaker_disk_free_bytes"), chosen("tastemaker_disk_size_bytes")
    used, limit = chosen("tastemaker_memory_used_bytes"), chosen("tastemaker_memory_limit_bytes")
    return BoardRow(
        "Machine",
        (
            Panel(
                "Memory in use",
                "Share of the memory that may be in use in the service's control group, or on the machine.",
                "percentunit",
                (PanelQuery(f"max by ({BY}) ({used}) / max by ({BY}) ({limit})", PLACE),),
                Threshold(alerts.memory.above, "memory"),
            ),
            Panel(
                "Processor time in use",
                "Share of the processors that the server and its workers may use.",
                "percentunit",
                (PanelQuery(f"sum by ({BY}) ({busy}) / max by ({BY}) ({cores})", PLACE),),
                Threshold(alerts.cpu_high.above, "cpu_high"),
            ),
            Panel(
                "Disk in use",
                "Share of the disk of each folder.",
                "percentunit",
                (
                    PanelQuery(
                        f"1 - max by (instance, folder) ({free}) / max by (instance, folder) ({size})",
                        "{{instance}} {{folder}}",
                    ),
                ),
                Threshold(1 - alerts.disk_filling.free_below, "disk_filling"),
            ),
            Panel(
                "Versions of the software",
                "Services by version of Tastemaker and Python.",
                "short",
                (
                    PanelQuery(
                        f"count by (version, python) ({chosen('tastemaker_build_info')})",
                        "{{version}} Python {{python}}",
                    ),
                ),
            ),
        ),
    )


def _log(settings: Settings) -> BoardRow:
    alerts = settings.alerts
    used, limit = chosen("tastemaker_log_backlog_bytes"), chosen("tastemaker_log_limit_bytes")
    waiting, most = chosen("tastemaker_log_waiting_records"), chosen("tastemaker_log_waiting_limit_records")
    return BoardRow(
        "Log",
        (
            Panel(
                "Spool",
                "Share of `log.spool_bytes` on disk that the log takes; feedback is refused from 80 % on.",
                "percentunit",
                (PanelQuery(f"max by ({BY}) ({used}) / max by ({BY}) ({limit})", PLACE),),
                Threshold(alerts.spool_backlog.above, "spool_backlog"),
            ),
            Panel(
                "Oldest record that was not shipped",
                "Its age.",
                "s",
                (PanelQuery(f"max by ({BY}) ({chosen('tastemaker_log_backlog_oldest_seconds')})", PLACE),),
                Threshold(alerts.spool_old.above_seconds, "spool_old"),
            ),
            Panel(
                "Records that wait for the disk",
                "Share of `log.spool_records`.",
                "percentunit",
                (PanelQuery(f"max by ({BY}) ({waiting}) / max by ({BY}) ({most})", PLACE),),
                Threshold(alerts.log_writes_behind.above, "log_writes_behind"),
            ),
            Panel(
                "Records",
                "Per second, by whether they are on disk, found no room, or the disk failed them.",
                "ops",
                (PanelQuery(f"sum by (outcome) ({rate('tastemaker_log_records_total')})", "{{outcome}}"),),
                width=12,
            ),
            Panel(
                "Answers that will never be in the log",
                "In the last hour, by cause.",
                "short",
                (
                    PanelQuery(
                        f"sum by (cause) (increase({chosen('tastemaker_log_lost_records_total')}[1h]))",
                        "{{cause}}",
                    ),
                ),
                width=12,
            ),
        ),
    )


def _watch() -> BoardRow:
    return BoardRow(
        "Watch",
        (
            Panel(
                "Time since the rules were evaluated",
                "By `tastemaker watch`, in the mode without Prometheus.",
                "s",
                (PanelQuery("time() - max (tastemaker_watch_evaluated_timestamp_seconds)", "age"),),
            ),
            Panel(
                "Open incidents",
                "By severity.",
                "short",
                (PanelQuery("max by (severity) (tastemaker_watch_incidents)", "{{severity}}"),),
            ),
            Panel(
                "Messages",
                "Attempts in the last hour to send a message, by channel and outcome.",
                "short",
                (
                    PanelQuery(
                        "sum by (channel, outcome) (increase(tastemaker_watch_notifications_total[1h]))",
                        "{{channel}} {{outcome}}",
                    ),
                ),
            ),
            Panel(
                "Oldest message that was not sent",
                "Its age, by channel.",
                "s",
                (PanelQuery("max by (channel) (tastemaker_watch_outbox_oldest_seconds)", "{{channel}}"),),
            ),
            Panel(
                "Rules that can't be evaluated",
                "And changes that wait for the database.",
                "short",
                (
                    PanelQuery("max (tastemaker_watch_failed_rules)", "rules"),
                    PanelQuery("max (tastemaker_watch_unwritten_changes)", "changes"),
                ),
            ),
            Panel(
                "Duration of an evaluation",
                "Scrapes included.",
                "s",
                (PanelQuery("max (tastemaker_watch_evaluation_duration_seconds)", "duration"),),
            ),
        ),
    )
