"""The faults that `tastemaker simulate --fault` produces, and which alert rules find each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Place = Literal["model", "traffic", "shop", "source", "start"]
"""Where a fault is: in the model `faulty`, in the traffic, in the shop from now on, in what the shop delivers
as a source (`source.options.shifts`), or in how the service was started."""


@dataclass(frozen=True)
class Fault:
    """A fault that can be produced against a running service of a simulated shop."""

    name: str
    place: Place
    rules: tuple[str, ...]
    """The alert rules that find it."""
    does: str
    """What happens, in words."""
    share: float = 1.0
    """The share of requests, users or visits without one given."""
    environment: tuple[tuple[str, str], ...] = ()
    """Environment variables with which the service must be started."""


FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault(
            "nan_scores", "model", ("fallback_share", "fallback_share_quiet", "fallback_budget_burn",
            "fallback_budget_slow"), "a share of the users get scores that are not numbers", 0.1,
        ),
        Fault("model_error", "model", ("fallback_share", "degraded"), "calls of the model raise an error"),
        Fault(
            "model_hang", "model", ("fallback_share", "degraded"),
            "calls of the model do not return before the fault ends",
        ),
        Fault("slow_model", "model", ("slow",), "calls of the model take 0.2 s longer"),
        Fault(
            "overloaded", "model", ("overloaded", "queue_choked"),
            "as slow_model, and few requests may wait for the model",
            environment=(("TASTEMAKER_SERVING__MAX_WAITING", "1"),),
        ),
        Fault(
            "short_rows", "model", ("filled_items",),
            "a share of the users get one item from the model; the rest of their lists fills the gap", 0.3,
        ),
        Fault("errors", "model", ("errors",), "/explain, which some pages call, fails with 500", 0.2),
        Fault("worker_crash", "model", ("workers_restart",), "the worker process is killed in a call", 0.01),
        Fault(
            "file_descriptors", "model", ("file_descriptors",),
            "a share of the worker's file descriptors is in use", 0.93,
        ),
        Fault("cpu", "model", ("cpu_high",), "threads of the worker keep all processors busy"),
        Fault(
            "memory", "model", ("memory",),
            "the worker takes memory until a share of the container's limit is in use; none without a limit",
            0.97,
        ),
        Fault(
            "disk", "model", ("disk_filling",),
            "a share of the home folder's disk is in use; a disk of more than 1 GiB is not filled", 0.95,
        ),
        Fault("traffic_gone", "traffic", ("traffic_gone",), "visits do not come"),
        Fault("feedback_gone", "traffic", ("feedback_gone", "reward_fell"), "pages report no events"),
        Fault(
            "foreign_host", "traffic", ("requests_refused",),
            "requests name a host that is not the service's: 421", 0.2,
        ),
        Fault("price_shift", "shop", ("drift",), "all prices rise by a share from today on", 0.3),
        Fault("catalogue_shift", "shop", ("drift",), "a share of the categories is withdrawn today", 0.3),
        Fault(
            "audience_shift", "shop", ("drift",),
            "a share of the visits is by users of one small country from today on", 0.3,
        ),
        Fault("taste_shift", "shop", ("drift",), "a share of the users have other tastes from today on", 0.5),
        Fault(
            "gate_failed", "source", ("gate_failed",),
            "all rows of a day are invalid: shifts = [{ kind = \"invalid_rows\", day = ..., size = 1.0 }]",
        ),
        Fault(
            "quarantine", "source", ("quarantine",),
            "a share of the rows is invalid: shifts = [{ kind = \"invalid_rows\", day = ..., size = 0.1 }]",
            0.1,
        ),
        Fault(
            "data_stale", "source", ("data_stale", "model_stale"),
            "the shop delivers no events: shifts = [{ kind = \"closed\", day = ... }]",
        ),
        Fault(
            "spool_full", "start", ("spool_backlog", "feedback_refused", "records_lost"),
            "the log is small and nothing ships it: it is full after some traffic",
            environment=(("TASTEMAKER_LOG__SPOOL_BYTES", "2000000"),),
        ),
    )
}  # fmt: skip
"""Name -> fault."""

NOT_PRODUCED: Final[Mapping[str, str]] = {
    "blind": "stop all services that the watch scrapes, or name addresses where none runs in `watch.targets`",
    "no_model": "needs a worker without a version; one that can load none ends, which service_down finds",
    "service_down": "stop the service: the simulator ends no process that it did not start",
    "swap_refused": "needs a damaged artifact, which would outlive a killed simulator",
    "version_split": "needs a damaged artifact, which would outlive a killed simulator",
    "learner_behind": "serve a bandit, and do not run `tastemaker learn --follow`",
    "feature_store": "stop the online store while a model that reads features is served",
    "spool_old": "run no `tastemaker ship` for an hour",
    "log_writes_behind": "put the home folder on a slow or full disk of your own, such as a small tmpfs",
    "dependency_changed": "install another release of a package, or add a column to the source",
    "empty_lists": "block every category in the problem file's candidates",
    "short_lists": "withdraw all but a few items by /items",
    "features_vanished": "empty the online store while a model that reads features is served",
    "features_invalid": "write infinite values into the online store",
    "feature_skew": "change the code of a feature after the online store was filled",
    "cpu_idle": "stop the traffic of a service that was busy a week ago",
    "feature_nulls": "empty the online store while a model that reads features is served",
    "job_failed": "end a nightly run by Ctrl-C, or let a step fail, such as by a full disk",
    "job_late": "do not run the nightly job",
    "report_late": "let a foreign model report its health once, and then no more",
    "report_slow": "report a p99_seconds above alerts.slow.seconds for a foreign model",
    "experiment_rolled_back": "kill the service of a variant that `tastemaker control` reaches elsewhere",
    "experiment_held": "let all variants of an experiment answer by fallbacks",
    "experiment_ratio": "drop half of a variant's requests from the log",
    "experiment_stale": "send no traffic to an experiment that runs",
    "experiment_unguarded": "stop `tastemaker experiment guard` while an experiment runs",
    "run_queue": "launch more runs than Dagster may execute at once",
    "executor_queue": "stop the Celery workers",
    "fact_failed": "stop the metadata database while `tastemaker watch` runs",
    "not_delivered": "set a channel whose address no process listens on, and start any other fault",
    "watch_database": "stop the metadata database while `tastemaker watch` runs",
    "watchdog": "it always fires",
}
"""Rule -> why no fault of the simulator makes it fire, and what does."""


def rules_of(fault: Fault) -> str:
    """Return the rules that find a fault, joined by commas."""
    return ", ".join(fault.rules)
