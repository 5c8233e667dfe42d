"""The faults that `tastemaker simulate --fault` produces, and which alert rules find each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Place = Literal[
    "model", "version", "traffic", "shop", "experiment", "source", "items", "process", "store", "report",
    "request", "rollout", "backtest", "start",
]  # fmt: skip
"""Where a fault is: in the model `faulty` or a new version of it, in the traffic, in the shop from now on, in
who takes part in experiments, in what the shop delivers as a source (`source.options.shifts`), in items that
are withdrawn, in processes that hang, in databases, in what a foreign model reports, in a request to erase a
user, in the rollout of a version, in a backtest of the champion, or in how a command was started."""


@dataclass(frozen=True)
class Fault:
    """A fault that can be produced against a running service of a simulated shop."""

    name: str
    place: Place
    rules: tuple[str, ...]
    """The alert rules that find it."""
    does: str
    """What happens, in words."""
    share: float | None = None
    """The share of requests, users or visits without one given; None: the fault has no share."""
    environment: tuple[tuple[str, str], ...] = ()
    """Environment variables with which `command` must be started."""
    command: str = "tastemaker serve"


FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault(
            "nan_scores", "model", ("fallback_share", "fallback_share_quiet", "fallback_budget_burn",
            "fallback_budget_slow"), "a share of the users get scores that are not numbers", 0.1,
        ),
        Fault(
            "model_error", "model", ("fallback_share", "degraded", "experiment_held"),
            "calls of the model raise an error; with a share from 0.2 to 0.5 also in all variants of an "
            "experiment, which is held", 1.0,
        ),
        Fault(
            "model_hang", "model", ("fallback_share", "degraded"),
            "calls of the model do not return before the fault ends", 1.0,
        ),
        Fault("slow_model", "model", ("slow",), "calls of the model take 0.2 s longer", 1.0),
        Fault(
            "overloaded", "model", ("overloaded", "queue_choked"),
            "as slow_model, and few requests may wait for the model", 1.0,
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
        Fault(
            "bad_version", "version", ("swap_refused", "version_split"),
            "a version is deployed whose answers are not those that it gave when it was registered",
        ),
        Fault(
            "no_model", "version", ("no_model", "swap_refused"),
            "no version answers as when it was registered any more, and the worker is killed: static items "
            "answer, as the next one loads none",
            environment=(("TASTEMAKER_SERVING__STATIC_ITEMS", '["i0000001"]'),),
        ),
        Fault(
            "traffic_gone", "traffic", ("traffic_gone", "cpu_idle", "experiment_stale"), "visits do not come",
            1.0,
        ),
        Fault(
            "variant_lost", "experiment", ("experiment_ratio",),
            "a share of the users with a variant that is not control never come", 0.5,
        ),
        Fault("feedback_gone", "traffic", ("feedback_gone", "reward_fell"), "pages report no events", 1.0),
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
            "source_changed", "source", ("dependency_changed",),
            "events have one more column: shifts = [{ kind = \"new_column\", day = ... }]",
        ),
        Fault(
            "source_unreadable", "source", ("job_failed",),
            "a day can't be read: shifts = [{ kind = \"unreadable\", day = ... }]",
        ),
        Fault(
            "spool_full", "start", ("spool_backlog", "feedback_refused", "records_lost"),
            "the log is small and nothing ships it: it is full after some traffic",
            environment=(("TASTEMAKER_LOG__SPOOL_BYTES", "2000000"),),
        ),
        Fault(
            "no_broker", "start", ("fact_failed",), "the broker of Celery does not answer",
            environment=(
                ("TASTEMAKER_WATCH__CELERY__QUEUES", "dagster"), ("CELERY_BROKER_URL", "redis://127.0.0.1:9/0"),
            ),
            command="tastemaker watch",
        ),
        Fault(
            "no_target", "start", ("blind",), "no service runs at the addresses that the watch scrapes",
            environment=(("TASTEMAKER_WATCH__TARGETS", "http://127.0.0.1:9,http://127.0.0.1:10"),),
            command="tastemaker watch",
        ),
        Fault(
            "no_channel", "start", ("not_delivered",), "no program listens at the address of a channel",
            environment=(
                ("TASTEMAKER_WATCH__CHANNELS", '{"none": {"type": "webhook", "url": "http://127.0.0.1:9/"}}'),
            ),
            command="tastemaker watch",
        ),
        Fault("service_hang", "process", ("service_down",), "the service's processes hang"),
        Fault("learner_hang", "process", ("learner_behind",), "tastemaker learn hangs"),
        Fault("shipper_hang", "process", ("spool_old",), "tastemaker ship hangs"),
        Fault("guard_hang", "process", ("experiment_unguarded",), "the guard of experiments hangs"),
        Fault(
            "variant_hang", "process", ("experiment_rolled_back",),
            "the services of all variants but control hang",
        ),
        Fault("scheduler_hang", "process", ("job_late", "orchestrator_silent"), "Dagster's daemon hangs"),
        Fault("run_hang", "process", ("run_queue",), "the runs of Dagster hang, so that others wait"),
        Fault("executor_hang", "process", ("executor_queue",), "Celery's workers hang"),
        Fault("features_locked", "store", ("feature_store",), "the online feature store is locked"),
        Fault(
            "log_locked", "store", ("log_writes_behind", "feedback_refused"),
            "the durable log's file is locked for writers; soonest where few records fit into memory",
            environment=(("TASTEMAKER_LOG__SPOOL_RECORDS", "5000"),),
        ),
        Fault(
            "database_locked", "store", ("watch_database",),
            "what the watch keeps in the metadata database is locked",
        ),
        Fault(
            "features_missing", "store", ("features_vanished", "feature_nulls"),
            "the online store has no values for a share of the users", 0.9,
        ),
        Fault(
            "features_infinite", "store", ("features_invalid",),
            "the online store has infinite values for a share of the users", 0.5,
        ),
        Fault(
            "features_wrong", "store", ("feature_skew",),
            "the online store has wrong values for a share of the users", 0.5,
        ),
        Fault("items_withdrawn", "items", ("empty_lists",), "all items are withdrawn"),
        Fault(
            "items_scarce", "items", ("short_lists",),
            "a share of the items is withdrawn, so much that less than a list is left",
            0.97,
        ),
        Fault("foreign_slow", "report", ("report_slow",), "a foreign model reports slow answers"),
        Fault(
            "foreign_silent", "report", ("report_late",),
            "a foreign model reports its health once, and nothing more",
        ),
        Fault(
            "erasure_forgotten", "request", ("erasure_overdue",),
            "a request to erase a user who does not exist is open after its deadline",
        ),
        Fault(
            "rollout_forgotten", "rollout", ("rollout_overdue",),
            "the champion is in the shadow of itself, and its next step was due hours ago",
        ),
        Fault(
            "champion_beaten", "backtest", ("below_baseline",),
            "the newest backtest of the champion's recipe finds nothing of what users took",
        ),
    )
}  # fmt: skip
"""Name -> fault."""

NOT_PRODUCED: Final[Mapping[str, str]] = {
    "watchdog": "it fires while nothing is wrong: where it does not, there is no watch",
}
"""Rule -> why no fault of the simulator makes it fire."""


def rules_of(fault: Fault) -> str:
    """Return the rules that find a fault, joined by commas."""
    return ", ".join(fault.rules)
