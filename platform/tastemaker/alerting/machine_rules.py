"""Rules about what a service may use: memory, processor time, disks."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import above, percent
from tastemaker.alerting.example import WEEK_STEPS, Example, counter, gauge
from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import Aggregate, And, Compare, Gauge, Offset, Or, Rate, Ratio, all_of
from tastemaker.alerting.over_time import PredictLinear
from tastemaker.alerting.rule import RESOLVE_RATIO, Condition, Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

BY = ("job", "instance")
BY_DISK = (*BY, "folder")
MINUTE, HALF_HOUR, HOUR, WEEK = 60, 1_800, 3_600, 604_800
NEAR = 0.95
"""A share that is near 100 % resolves below this part of its threshold."""
CPU = metric("tastemaker_process_cpu_seconds_total")


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return _memory(alerts), _cpu_high(alerts), _cpu_idle(alerts), _disk_filling(alerts)


def _largest(name: str, by: tuple[str, ...] = BY) -> Expression:
    return Aggregate("max", by, Gauge(metric(name)))


def _of_processors(seconds: float) -> Expression:
    """Return the processor time of all processes, as a share of what they may use."""
    return Ratio(Aggregate("sum", BY, Rate(CPU, seconds)), _largest("tastemaker_cpu_limit_cores"))


def _memory(alerts: AlertsSettings) -> Rule:
    limit = alerts.memory.above
    used = Ratio(_largest("tastemaker_memory_used_bytes"), _largest("tastemaker_memory_limit_bytes"))
    return Rule(
        name="memory",
        severity="page",
        labels=BY,
        condition=above(
            used,
            limit,
            f"More than {percent(limit)} of the memory that the service's container (or machine) may use is "
            "in use.",
            resolve_ratio=NEAR,
        ),
        summary="{instance}: {value} of the memory is in use",
        unit="share",
        cause="machine",
        owner="operations",
        runbook=Runbook(
            "Nothing yet. When it is full, the kernel ends a process: requests fail, or the service stops.",
            "`tastemaker_process_resident_memory_bytes` by `process` shows which process grows; the rest is "
            "what else runs there. Did it begin with a deployment, a larger catalogue, or more workers?",
            "Stop what does not belong there. Fewer `--workers`, or more memory. If it began with a "
            "deployment: "
            '`tastemaker models rollback --reason "..."`.',
            "The share is below the threshold for ten minutes, and no process grows.",
        ),
        for_seconds=15,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=(),
        example=Example((gauge("memory_used_bytes", 500, 970), gauge("memory_limit_bytes", 1_000, 1_000))),
    )


def _cpu_high(alerts: AlertsSettings) -> Rule:
    limit = alerts.cpu_high.above
    one = Aggregate("max", BY, Rate(CPU, MINUTE))

    def higher(threshold: float) -> Expression:
        return Or(Compare(_of_processors(MINUTE), ">", threshold), Compare(one, ">", threshold))

    return Rule(
        name="cpu_high",
        severity="ticket",
        labels=BY,
        condition=Condition(
            higher(limit),
            higher(NEAR * limit),
            f"The service has used more than {percent(limit)} of the processors that it may use, or one of "
            f"its processes more than {percent(limit)} of one, for five minutes.",
        ),
        summary="{instance}: {value} of the processor time is in use, by all processes or by one",
        unit="share",
        cause="machine",
        owner="operations",
        runbook=Runbook(
            "Nothing yet. With more traffic lists are slow, and then not the model's (`slow`, `overloaded`).",
            "`rate(tastemaker_process_cpu_seconds_total[1m])` by `process`. More traffic than a week ago, "
            "or the same and a slower version (`tastemaker_model_batch_duration_seconds`)?",
            "Start more workers if processors are free, else more machines. A version that is slower than "
            "the "
            'one before: `tastemaker models rollback --reason "..."`.',
            "The share is below the threshold at the day's peak.",
        ),
        for_seconds=5 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
        inhibited_by=("service_down", "overloaded", "queue_choked"),
        example=Example(
            (
                counter("process_cpu_seconds_total", 1, 1, process="server"),
                counter("process_cpu_seconds_total", 5, 14.9, process="worker-1"),
                gauge("cpu_limit_cores", 4, 4),
            ),
            faulty_steps=60,
            healed_steps=60,
        ),
    )


def _cpu_idle(alerts: AlertsSettings) -> Rule:
    limits = alerts.cpu_idle
    used = _of_processors(15 * MINUTE)
    was_busy = Compare(Offset(used, WEEK), ">", limits.busy_above)
    return Rule(
        name="cpu_idle",
        severity="ticket",
        labels=BY,
        condition=Condition(
            And(Compare(used, "<", limits.below), was_busy),
            And(Compare(used, "<", limits.below / RESOLVE_RATIO), was_busy),
            f"The service has used less than {percent(limits.below)} of the processors that it may use for "
            f"15 minutes. At the same time a week ago it used more than {percent(limits.busy_above)}.",
        ),
        summary="{instance}: only {value} of the processor time is in use; a week ago it was busy",
        unit="share",
        cause="traffic",
        owner="operations",
        runbook=Runbook(
            "Nothing, if other instances answer.",
            "Does the service get requests (`rate(tastemaker_requests_total[5m])`)? None: a proxy no longer "
            "sends any here. As many as ever: do its workers answer, or do they hang "
            "(`tastemaker_waiting_requests`)?",
            "Put the instance back into the proxy's list, or stop it. Restart workers that hang.",
            "The share is above the threshold.",
        ),
        evaluate_every_seconds=30,
        for_seconds=15 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
        inhibited_by=("service_down", "traffic_gone"),
        example=Example(
            (
                counter("process_cpu_seconds_total", 60, 1, process="worker-1"),
                gauge("cpu_limit_cores", 2, 2),
            ),
            step_seconds=60,
            healthy_steps=WEEK_STEPS + 60,
            faulty_steps=60,
            healed_steps=60,
            fires_from_start=False,
        ),
    )


def _disk_filling(alerts: AlertsSettings) -> Rule:
    limits = alerts.disk_filling
    hours = limits.full_within_seconds / HOUR
    free = Ratio(
        _largest("tastemaker_disk_free_bytes", BY_DISK), _largest("tastemaker_disk_size_bytes", BY_DISK)
    )
    forecast = PredictLinear(metric("tastemaker_disk_free_bytes"), HOUR, limits.full_within_seconds)
    soon = Compare(Aggregate("min", BY_DISK, forecast), "<", 0)
    # Seconds of samples, as of a watch that has just begun, say nothing about hours.
    is_known = Compare(Offset(_largest("tastemaker_disk_free_bytes", BY_DISK), HALF_HOUR), ">=", 0)

    def filling(few: float, some: float) -> Expression:
        return Or(Compare(free, "<", few), all_of(Compare(free, "<", some), soon, is_known))

    return Rule(
        name="disk_filling",
        severity="page",
        labels=BY_DISK,
        condition=Condition(
            filling(limits.free_below, limits.filling_below),
            filling(limits.free_below / RESOLVE_RATIO, limits.filling_below),
            f"Less than {percent(limits.free_below)} of a disk is free; or less than "
            f"{percent(limits.filling_below)}, and at the speed of the last hour it is full in {hours:g} "
            "hours, as far as half an hour or more is known.",
        ),
        summary="{instance}: only {value} of the disk of the folder {folder} is free",
        unit="share",
        cause="machine",
        owner="operations",
        runbook=Runbook(
            "Nothing yet. When the disk is full, answers are no longer logged and feedback is refused.",
            "`df -h` and `du -xh --max-depth 2` of the folder. The log (`tastemaker_log_backlog_bytes`) "
            "grows while it is not shipped; reports, versions and the lake grow with each run.",
            "Ship the log: `tastemaker ship --follow`. Delete old reports and versions. A larger disk.",
            "`tastemaker_disk_free_bytes` is above the threshold and does not fall.",
        ),
        for_seconds=15,
        keep_firing_seconds=5 * MINUTE,
        example=Example(
            (
                gauge("disk_free_bytes", 500, 80, folder="spool"),
                gauge("disk_size_bytes", 1_000, 1_000, folder="spool"),
            ),
            healed_steps=80,
        ),
    )
