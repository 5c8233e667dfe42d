"""Rules about services as processes: whether they run, what they serve, what they lack."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import above, increase, percent, same
from tastemaker.alerting.example import SECOND_UP, UP, Example, counter, gauge
from tastemaker.alerting.expressions import Absent, Aggregate, Compare, Constant, Gauge, Or, Ratio, all_of
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

JOB = ("job",)
BY = ("job", "instance")
BY_MODEL = ("job", "model")
MINUTE = 60


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return (
        _blind(alerts.job),
        _service_down(alerts.job),
        _workers_restart(alerts),
        _file_descriptors(alerts),
        _degraded(),
        _swap_refused(),
        _version_split(),
        _learner_behind(alerts, settings.learning.feedback_delay_seconds),
        _watchdog(),
    )


def _blind(job: str) -> Rule:
    up = metric("up", job=job)
    none_answers = Compare(Aggregate("max", JOB, Gauge(up)), "==", 0)
    are_several = Compare(Aggregate("count", JOB, Gauge(up)), ">", 1)
    return Rule(
        name="blind",
        severity="page",
        labels=JOB,
        condition=same(
            Or(all_of(none_answers, are_several), Absent(up)),
            f"None of several services of the job {job} answers when it is scraped, or none is configured.",
        ),
        summary="No service of the job {job} can be scraped",
        unit="none",
        cause="service",
        owner="operations",
        runbook=Runbook(
            "If the services are down: pages without recommendations. If only the watch can't reach them: "
            "nothing, but no other fault is seen.",
            "`curl http://SERVICE/readyz` from the machine of the watch, and from another one. Both fail: "
            "the services, or what they all need, such as their machine. Only the first: the network, DNS or "
            "a firewall. The watch's log has the error per service; without one, `watch.targets` is empty "
            "and no service of this home folder runs here.",
            "Start the services (`service_down`), or repair the way to them; correct `watch.targets`.",
            "`up` is 1 for every instance.",
        ),
        for_seconds=25,
        keep_firing_seconds=MINUTE,
        example=Example(
            (UP._replace(faulty=0), SECOND_UP._replace(faulty=0)),
            fires_without_data=True,
        ),
    )


def _service_down(job: str) -> Rule:
    return Rule(
        name="service_down",
        severity="page",
        labels=BY,
        condition=same(
            Compare(Gauge(metric("up", job=job)), "==", 0),
            f"A service of the job {job} does not answer when it is scraped.",
        ),
        summary="{instance} does not answer",
        unit="none",
        cause="service",
        owner="operations",
        runbook=Runbook(
            "Pages without recommendations, unless other instances answer.",
            "The alert's label `instance` has the address. Does the process run? Did the kernel end it "
            "(`dmesg`: out of memory)? `curl /readyz`: a service without a version answers 503, to scrapes.",
            "Start it. Out of memory: fewer `--workers`, or a smaller model. No version: see `no_model`.",
            "`up` is 1 for every instance.",
        ),
        for_seconds=30,  # a service that is restarted for a new release is away for 8 to 17 s
        keep_firing_seconds=MINUTE,
        inhibited_by=("blind",),
        example=Example((UP._replace(faulty=0),)),
    )


def _workers_restart(alerts: AlertsSettings) -> Rule:
    minimum = alerts.workers_restart.at_least
    restarts = increase(BY, metric("tastemaker_worker_restarts_total"), 10 * MINUTE)
    return Rule(
        name="workers_restart",
        severity="page",
        labels=BY,
        condition=same(
            # An extrapolated increase of n is rarely n exactly.
            Compare(restarts, ">", minimum - 0.5),
            f"{minimum} workers or more ended and were replaced in the last ten minutes.",
        ),
        summary="{instance}: {value} workers ended in the last ten minutes",
        unit="count",
        cause="service",
        owner="operations",
        runbook=Runbook(
            "Requests that a worker had when it ended fail.",
            "The service's log has the signal: `SIGKILL` without a person is often the kernel, out of memory "
            "(`dmesg`). `tastemaker_process_resident_memory_bytes` by `process` shows which one grows.",
            "Fewer `--workers`, or a smaller model. If it began with a deployment: "
            '`tastemaker models rollback --reason "..."`.',
            "`tastemaker_worker_restarts_total` no longer increases.",
        ),
        keep_firing_seconds=5 * MINUTE,
        inhibited_by=("service_down", "memory"),
        for_seconds=35,
        example=Example((counter("worker_restarts_total", 0, 1, process="worker-1"),), healed_steps=80),
    )


def _file_descriptors(alerts: AlertsSettings) -> Rule:
    limit = alerts.file_descriptors.above
    used = Ratio(Gauge(metric("tastemaker_process_open_fds")), Gauge(metric("tastemaker_process_max_fds")))
    return Rule(
        name="file_descriptors",
        severity="page",
        labels=BY,
        condition=above(
            Aggregate("max", BY, used),
            limit,
            f"A process has more than {percent(limit)} of the file descriptors open that it may have.",
        ),
        summary="{instance}: a process has {value} of its file descriptors open",
        unit="share",
        cause="service",
        owner="operations",
        runbook=Runbook(
            "Nothing yet. At 100 % connections are refused.",
            "`tastemaker_process_open_fds` by `process`; `ls -l /proc/PID/fd` shows what is open: "
            "connections of a caller that closes none, or files.",
            "Raise the limit (`ulimit -n`), lower `serving.max_connections`, or have the caller reuse "
            "connections.",
            "The share is below the threshold.",
        ),
        for_seconds=MINUTE,
        keep_firing_seconds=2 * MINUTE,
        example=Example(
            (
                gauge("process_open_fds", 100, 950, process="server"),
                gauge("process_max_fds", 1000, 1000, process="server"),
            )
        ),
    )


def _degraded() -> Rule:
    by = (*BY, "reason")
    return Rule(
        name="degraded",
        severity="ticket",
        labels=by,
        condition=same(
            Compare(Aggregate("max", by, Gauge(metric("tastemaker_degraded"))), "==", 1),
            "A part of a service has not worked for ten minutes, though lists are answered.",
        ),
        summary="{instance}: degraded, {reason}",
        unit="none",
        cause="service",
        owner="operations",
        runbook=Runbook(
            "It depends on the reason; lists are answered.",
            "`GET /readyz` has the reason in words. [On call](../on-call.md) says for each reason what does "
            "not work.",
            "What [On call](../on-call.md) says for the reason.",
            "`tastemaker_degraded` is 0, and `/readyz` has no entry in `degraded`.",
        ),
        for_seconds=10 * MINUTE,
        inhibited_by=("service_down",),
        example=Example((gauge("degraded", 0, 1, reason="log"),), faulty_steps=60),
    )


def _swap_refused() -> Rule:
    refused = metric("tastemaker_swaps_total", outcome="refused")
    return Rule(
        name="swap_refused",
        severity="ticket",
        labels=BY_MODEL,
        condition=same(
            Compare(increase(BY_MODEL, refused, 10 * MINUTE), ">", 0),
            "A worker refused a version in the last ten minutes.",
        ),
        summary="{model}: a version was refused; the one before is still served",
        unit="none",
        cause="versions",
        owner="recommendations",
        runbook=Runbook(
            "Nothing: the version before is served. What was deployed is not.",
            "The service's log and `/readyz` say why: the artifact is damaged, or its answers to the golden "
            "requests differ from those that it gave when it was registered.",
            "Train or deploy it again: `tastemaker run`, `tastemaker models deploy`. Or give up: "
            '`tastemaker models rollback --reason "..."`.',
            "`tastemaker_version_differs` is 0.",
        ),
        keep_firing_seconds=5 * MINUTE,
        example=Example((counter("swaps_total", 0, 1, model="ease", outcome="refused"),), healed_steps=80),
    )


def _version_split() -> Rule:
    return Rule(
        name="version_split",
        severity="ticket",
        labels=BY,
        condition=same(
            Compare(Aggregate("max", BY, Gauge(metric("tastemaker_version_differs"))), "==", 1),
            "For five minutes some worker has served another version than is wanted.",
        ),
        summary="{instance}: some worker serves another version than is wanted",
        unit="none",
        cause="versions",
        owner="recommendations",
        runbook=Runbook(
            "Users may get lists of different versions from one request to the next.",
            "`tastemaker_served_version_info` and `tastemaker_wanted_version_info`; `/readyz` has the "
            "reason under `version`.",
            "As for `swap_refused`. One worker only: restart it.",
            "`tastemaker_version_differs` is 0.",
        ),
        for_seconds=5 * MINUTE,
        inhibited_by=("service_down",),
        example=Example((gauge("version_differs", 0, 1),)),
    )


def _learner_behind(alerts: AlertsSettings, feedback_delay_seconds: float) -> Rule:
    limit = alerts.learner_behind.above_seconds or 2 * feedback_delay_seconds + 300
    lag = Aggregate("max", BY_MODEL, Gauge(metric("tastemaker_learning_lag_seconds")))
    return Rule(
        name="learner_behind",
        severity="ticket",
        labels=BY_MODEL,
        condition=above(
            lag, limit, f"The oldest answer that the served model has not learned is older than {limit:g} s."
        ),
        summary="{model}: the oldest answer that was not learned is {value} old",
        unit="duration",
        cause="versions",
        owner="recommendations",
        runbook=Runbook(
            "Lists do not follow what users did lately.",
            "Does `tastemaker learn --follow` run, with the same version of the model? Its log has the "
            "error. "
            '`tastemaker_degraded{reason="learning"}`: what was learned can\'t be served.',
            "Start it. It replays what it missed.",
            "`tastemaker_learning_lag_seconds` falls.",
        ),
        for_seconds=5 * MINUTE,
        example=Example((gauge("learning_lag_seconds", 0, 2_000, model="ease"),)),
    )


def _watchdog() -> Rule:
    return Rule(
        name="watchdog",
        severity="none",
        labels=(),
        condition=same(Constant(1), "Always."),
        summary="The alerts work: this one always fires, and its absence is the alarm",
        unit="none",
        cause="watchdog",
        owner="operations",
        runbook=Runbook(
            "Nothing. Without it, no other alert would be heard.",
            "It is sent to a dead man's switch every minute. When that calls: does Prometheus run, and "
            "Alertmanager, and can they reach the network?",
            "Start them.",
            "The dead man's switch has been called again.",
        ),
    )
