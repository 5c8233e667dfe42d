"""Rules about jobs and their queues, and about facts that can't be read."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import above, same
from tastemaker.alerting.example import Example, age, gauge
from tastemaker.alerting.expressions import Age, Aggregate, Compare, Gauge, all_of
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric, one_of
from tastemaker.settings import Settings

JOB_NAME = ("job_name",)
SUBJECT = ("subject",)
QUEUE = ("queue",)
MINUTE = 60
UNREPAIRED_HOURS = 6
"""How long a job is failed before the rule fires; the message about the failed run goes out at once."""


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return (
        _job_failed(),
        _job_late(alerts),
        _orchestrator_silent(alerts),
        _run_queue(alerts),
        _executor_queue(alerts),
        _fact_failed(),
    )


def _job_failed() -> Rule:
    failed = Aggregate("max", JOB_NAME, Gauge(metric("tastemaker_job_failed")))
    refused = Aggregate("max", JOB_NAME, Gauge(metric("tastemaker_job_refused")))
    return Rule(
        name="job_failed",
        severity="ticket",
        labels=JOB_NAME,
        condition=same(
            all_of(Compare(failed, "==", 1), Compare(refused, "==", 0)),
            f"The last run of a job failed or was canceled {UNREPAIRED_HOURS} hours ago, and not because the "
            "data gate refused a batch: `gate_failed` is for that. Each failed run is also reported at once.",
        ),
        summary="{job_name}: the last run failed, and none has succeeded since",
        unit="none",
        cause="jobs",
        owner="recommendations",
        runbook=Runbook(
            "Nothing at once. The served version stays as it is.",
            "`tastemaker runs show RUN`, the run's page in Dagster and the output of `tastemaker run` name "
            "the step and the reason.",
            "Fix the cause and run again (`tastemaker run`): finished work is kept.",
            "`tastemaker_job_failed` is 0.",
        ),
        exporter="watch",
        for_seconds=UNREPAIRED_HOURS * 60 * MINUTE,
        inhibited_by=("job_late",),
        example=Example(
            (
                gauge("job_failed", 0, 1, job_name="everything"),
                gauge("job_refused", 0, 0, job_name="everything"),
            ),
            step_seconds=60,
            faulty_steps=UNREPAIRED_HOURS * 60 + 40,
        ),
    )


def _job_late(alerts: AlertsSettings) -> Rule:
    limits = alerts.job_late
    hours, names = limits.above_seconds / 3_600, ", ".join(limits.jobs)
    last = metric("tastemaker_job_succeeded_timestamp_seconds", one_of("job_name", limits.jobs))
    return Rule(
        name="job_late",
        severity="ticket",
        labels=JOB_NAME,
        condition=same(
            Compare(Age(Aggregate("max", JOB_NAME, Gauge(last))), ">", limits.above_seconds),
            f"A job ({names}) last succeeded more than {hours:g} hours ago.",
        ),
        summary="{job_name}: the last success was {value} ago",
        unit="duration",
        cause="jobs",
        owner="recommendations",
        runbook=Runbook(
            "Nothing at once. The served version stays as it is.",
            "Does Dagster's daemon run, and is the schedule `nightly` on? Is a run still going, or does it "
            "wait (`run_queue`)?",
            "Start the daemon, or run it: `tastemaker run`. For a job that runs more seldom, raise "
            "`alerts.job_late.above_seconds`.",
            "`tastemaker_job_succeeded_timestamp_seconds` is new.",
        ),
        exporter="watch",
        for_seconds=5 * MINUTE,
        example=Example(
            (age("job_succeeded_timestamp_seconds", 3_600, 2 * 86_400, job_name=limits.jobs[0]),)
        ),
    )


def _orchestrator_silent(alerts: AlertsSettings) -> Rule:
    limit = alerts.orchestrator_silent.above_seconds
    seen = Aggregate("max", (), Gauge(metric("tastemaker_orchestrator_seen_timestamp_seconds")))
    return Rule(
        name="orchestrator_silent",
        severity="ticket",
        labels=(),
        condition=same(
            Compare(Age(seen), ">", limit),
            f"Dagster's daemon has not reported for more than {limit / MINUTE:g} minutes: no run is started, "
            "and failed runs are not reported.",
        ),
        summary="Dagster's daemon last reported {value} ago: no schedule or sensor runs",
        unit="duration",
        cause="jobs",
        owner="operations",
        runbook=Runbook(
            "Nothing at once. Data and models get old.",
            "Does `dagster-daemon run` (or `dagster dev`) run, and is the sensor `ended_runs` on? Its page "
            "in Dagster shows its last evaluation and its errors.",
            "Start the daemon. Where it is no longer used, silence the rule: after a week it ends by itself.",
            "`tastemaker_orchestrator_seen_timestamp_seconds` is new.",
        ),
        exporter="watch",
        for_seconds=MINUTE,
        example=Example((age("orchestrator_seen_timestamp_seconds", 15, 2 * limit),)),
    )


def _run_queue(alerts: AlertsSettings) -> Rule:
    limit = alerts.run_queue.above
    return Rule(
        name="run_queue",
        severity="ticket",
        labels=(),
        condition=above(
            Aggregate("max", (), Gauge(metric("tastemaker_run_queue_runs"))),
            limit,
            f"More than {limit} runs wait to be started.",
        ),
        summary="{value} runs wait to be started",
        unit="count",
        cause="jobs",
        owner="operations",
        runbook=Runbook(
            "Nothing at once. Models are trained later.",
            "Dagster's page of runs: what runs for how long, and what is queued? Did something launch the "
            "same run again and again?",
            "Cancel what is not needed; give the run coordinator more concurrent runs or the machine more "
            "processors.",
            "`tastemaker_run_queue_runs` falls.",
        ),
        exporter="watch",
        for_seconds=30 * MINUTE,
        example=Example((gauge("run_queue_runs", 1, 40),), faulty_steps=140),
    )


def _executor_queue(alerts: AlertsSettings) -> Rule:
    limit = alerts.executor_queue.above
    return Rule(
        name="executor_queue",
        severity="ticket",
        labels=QUEUE,
        condition=above(
            Aggregate("max", QUEUE, Gauge(metric("tastemaker_executor_queue_tasks"))),
            limit,
            f"More than {limit} tasks wait in a queue of Celery's.",
        ),
        summary="{queue}: {value} tasks wait",
        unit="count",
        cause="jobs",
        owner="operations",
        runbook=Runbook(
            "Nothing at once. Models are trained later.",
            "Do Celery's workers of this queue run (`celery inspect ping`)? Does one task take very long?",
            "Start the workers, or more of them.",
            "`tastemaker_executor_queue_tasks` falls.",
        ),
        exporter="watch",
        for_seconds=15 * MINUTE,
        example=Example((gauge("executor_queue_tasks", 1, 400, queue="dagster"),), faulty_steps=80),
    )


def _fact_failed() -> Rule:
    failed = Aggregate("max", SUBJECT, Gauge(metric("tastemaker_fact_failed")))
    return Rule(
        name="fact_failed",
        severity="ticket",
        labels=SUBJECT,
        condition=same(Compare(failed, "==", 1), "The facts of a subject can't be read."),
        summary="The facts of {subject} can't be read; alerts that depend on them are silent",
        unit="none",
        cause="jobs",
        owner="operations",
        runbook=Runbook(
            "Nothing. Alerts about this subject can't fire.",
            "The watcher's log has the reason: a damaged file of the lake, the metadata database or Celery's "
            "broker. On call lists the metrics that are missing.",
            "Start what is down. A damaged file of the lake is named in the log; remove it and run again.",
            "`tastemaker_fact_failed` is 0.",
        ),
        exporter="watch",
        for_seconds=10 * MINUTE,
        example=Example((gauge("fact_failed", 0, 1, subject="gate"),), faulty_steps=60),
    )
