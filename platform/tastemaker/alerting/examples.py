"""One example of each rule's fault: what a healthy and a faulty service export, from which tests are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from tastemaker.alerting.samples import SampledValue
from tastemaker.alerting.series import Labels

JOB = "tastemaker"
INSTANCE = {"job": JOB, "instance": "shop:3000"}
MODEL = INSTANCE | {"model": "ease"}
WEEK_STEPS = 10_080
"""A week in steps of a minute."""


State = Literal["healthy", "faulty"]


class Track(NamedTuple):
    """One series: the increase of a counter per step, or the value of a gauge."""

    metric: str
    labels: Labels
    kind: Literal["counter", "gauge"]
    healthy: float
    faulty: float


@dataclass(frozen=True)
class Example:
    """A fault as a service's metrics show it: healthy, faulty, healthy again, each for some steps."""

    tracks: tuple[Track, ...]
    step_seconds: int = 15
    healthy_steps: int = 20
    faulty_steps: int = 30
    healed_steps: int = 40
    fires_from_start: bool = True
    """Whether the rule fires where a service starts with the fault, without a healthy time before."""
    fires_without_data: bool = False
    """Whether the rule fires where no metric exists."""

    def phases(
        self, *phases: tuple[int, Literal["healthy", "faulty"]]
    ) -> dict[tuple[str, Labels], list[float]]:
        """Return the samples of all series, the first one at 0.

        Args:
            *phases: Number of steps, and what the service does in them.
        """
        found = {}
        for track in self.tracks:
            values = [0.0 if track.kind == "counter" else getattr(track, phases[0][1])]
            for steps, state in phases:
                change = getattr(track, state)
                for _ in range(steps):
                    values.append(values[-1] + change if track.kind == "counter" else change)
            found[track.metric, track.labels] = values
        return found


def with_reset(track: Track, values: list[float], at: int) -> list[SampledValue]:
    """Return the samples of a series whose process starts again: counters begin at 0, gauges stay.

    Args:
        track: The series.
        values: Its samples without a restart.
        at: The index of the new process's first sample.
    """
    if track.kind == "gauge":
        return list(values)
    return [*values[:at], *(value - values[at] for value in values[at:])]


def counter(name: str, healthy: float, faulty: float, **labels: str) -> Track:
    """Return a counter's track; its labels are added to those of the scraped service."""
    return Track(f"tastemaker_{name}", frozenset((INSTANCE | labels).items()), "counter", healthy, faulty)


def gauge(name: str, healthy: float, faulty: float, **labels: str) -> Track:
    """Return a gauge's track; its labels are added to those of the scraped service."""
    return Track(f"tastemaker_{name}", frozenset((INSTANCE | labels).items()), "gauge", healthy, faulty)


def _answers(
    healthy: float, faulty: float, reason: str, bad: float, stage: str = "popular"
) -> tuple[Track, Track]:
    """Return the counters of a model's lists.

    Args:
        healthy: Lists per step that the model answers, while the service is healthy.
        faulty: Lists per step that the model answers during the fault.
        reason: Why the model does not answer the others, as the label `reason` names it.
        bad: Lists per step during the fault that the model does not answer.
        stage: The stage that answers these.
    """
    return (
        counter("answers_total", healthy, faulty, model="ease", stage="model", reason="none"),
        counter("answers_total", 0, bad, model="ease", stage=stage, reason=reason),
    )


def _requests(healthy: float, faulty: float, status: str, bad: float, endpoint: str) -> tuple[Track, Track]:
    """Return the counters of an endpoint's requests.

    Args:
        healthy: Requests per step with status 200, while the service is healthy.
        faulty: Requests per step with status 200 during the fault.
        status: The status of the others.
        bad: Requests per step during the fault that have this status.
        endpoint: The path's template.
    """
    return (
        counter("requests_total", healthy, faulty, endpoint=endpoint, status="200"),
        counter("requests_total", 0, bad, endpoint=endpoint, status=status),
    )


UP = Track("up", frozenset(INSTANCE.items()), "gauge", 1, 1)
EXAMPLES: dict[str, Example] = {
    "service_down": Example((UP._replace(faulty=0),), fires_without_data=True),
    "workers_restart": Example(
        (counter("worker_restarts_total", 0, 1, process="worker-1"),), healed_steps=80
    ),
    "file_descriptors": Example((
        gauge("process_open_fds", 100, 950, process="server"),
        gauge("process_max_fds", 1000, 1000, process="server"),
    )),
    "degraded": Example((gauge("degraded", 0, 1, reason="log"),), faulty_steps=60),
    "swap_refused": Example(
        (counter("swaps_total", 0, 1, model="ease", outcome="refused"),), healed_steps=80
    ),
    "version_split": Example((gauge("version_differs", 0, 1),)),
    "learner_behind": Example((gauge("learning_lag_seconds", 0, 2_000, model="ease"),)),
    "no_model": Example(_answers(100, 0, "no_model", 100, "static")),
    "fallback_share": Example(_answers(100, 80, "model_error", 20)),
    "fallback_share_quiet": Example(_answers(3, 2, "model_invalid", 1), faulty_steps=60, healed_steps=120),
    "fallback_budget_burn": Example(
        _answers(100, 97, "model_timeout", 3), healthy_steps=20, faulty_steps=60, healed_steps=60
    ),
    "fallback_budget_slow": Example(
        _answers(1_000, 998, "model_timeout", 2),
        step_seconds=60, healthy_steps=20, faulty_steps=100, healed_steps=150,
    ),
    "overloaded": Example(_answers(100, 98, "model_overloaded", 2)),
    "feature_store": Example((
        counter("user_features_total", 100, 90, model="ease", outcome="read"),
        counter("user_features_total", 0, 10, model="ease", outcome="late"),
    )),
    "errors": Example(_requests(100, 95, "503", 5, "/recommend")),
    "slow": Example((
        counter("request_duration_seconds_bucket", 100, 95, endpoint="/recommend", le="0.1"),
        counter("request_duration_seconds_count", 100, 100, endpoint="/recommend"),
    )),
    "requests_refused": Example(_requests(100, 90, "401", 10, "/recommend")),
    "feedback_refused": Example(_requests(100, 95, "503", 5, "/feedback")),
    "traffic_gone": Example(
        (counter("requests_total", 600, 60, endpoint="/recommend", status="200"),),
        step_seconds=60, healthy_steps=WEEK_STEPS + 60, faulty_steps=45, healed_steps=45,
        fires_from_start=False,
    ),
    "feedback_gone": Example(
        (
            counter("requests_total", 60, 60, endpoint="/recommend", status="200"),
            counter("requests_total", 6, 0, endpoint="/feedback", status="200"),
        ),
        step_seconds=60, healthy_steps=40, faulty_steps=40, healed_steps=10,
    ),
    "spool_backlog": Example((gauge("log_backlog_bytes", 10, 80), gauge("log_limit_bytes", 100, 100))),
    "spool_old": Example((gauge("log_backlog_oldest_seconds", 10, 4_000),)),
    "log_writes_behind": Example((
        gauge("log_waiting_records", 10, 60_000), gauge("log_waiting_limit_records", 100_000, 100_000),
    )),
    "records_lost": Example((counter("log_lost_records_total", 0, 7, cause="failed"),)),
}  # fmt: skip
"""Rule -> its example. The watchdog, which always fires, has none."""
