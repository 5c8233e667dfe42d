"""An example of a rule's fault: what is exported without and with it. Tests are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple

from tastemaker.alerting.samples import SampledValue
from tastemaker.alerting.series import Labels

JOB = "tastemaker"
INSTANCE = {"job": JOB, "instance": "shop:3000"}
WEEK_STEPS = 10_080
"""A week in steps of a minute."""


State = Literal["healthy", "faulty"]


class Track(NamedTuple):
    """One series: the increase of a counter per step, the value of a gauge, or the age of a time in one."""

    metric: str
    labels: Labels
    kind: Literal["counter", "gauge", "age"]
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
            states = [phases[0][1], *(state for steps, state in phases for _ in range(steps))]
            given: list[float] = [getattr(track, state) for state in states]
            if track.kind == "counter":
                given = list(accumulate(given[1:], initial=0.0))
            elif track.kind == "age":
                given = [step * self.step_seconds - age for step, age in enumerate(given)]
            found[track.metric, track.labels] = given
        return found


def with_reset(track: Track, values: list[float], at: int) -> list[SampledValue]:
    """Return the samples of a series whose process starts again: counters begin at 0, others stay.

    Args:
        track: The series, which is a counter or not.
        values: Its samples without a restart, in the order of time.
        at: The index of the new process's first sample.
    """
    if track.kind != "counter":
        return list(values)
    return [*values[:at], *(value - values[at] for value in values[at:])]


def counter(name: str, healthy: float, faulty: float, **labels: str) -> Track:
    """Return a counter's track; its labels are added to those of the scraped service.

    Args:
        name: Of the metric.
        healthy: Increase per step without the fault.
        faulty: Increase per step with it.
        **labels: Added to those of the scraped service.
    """
    return Track(f"tastemaker_{name}", frozenset((INSTANCE | labels).items()), "counter", healthy, faulty)


def gauge(name: str, healthy: float, faulty: float, **labels: str) -> Track:
    """Return a gauge's track; its labels are added to those of the scraped service.

    Args:
        name: Of the metric.
        healthy: Value without the fault.
        faulty: Value with it.
        **labels: Added to those of the scraped service.
    """
    return Track(f"tastemaker_{name}", frozenset((INSTANCE | labels).items()), "gauge", healthy, faulty)


def age(name: str, healthy: float, faulty: float, **labels: str) -> Track:
    """Return the track of a gauge that holds a time, by its age in seconds.

    Args:
        name: Of the metric.
        healthy: Age in seconds without the fault.
        faulty: Age in seconds with it.
        **labels: Added to those of the scraped service.
    """
    return Track(f"tastemaker_{name}", frozenset((INSTANCE | labels).items()), "age", healthy, faulty)


UP = Track("up", frozenset(INSTANCE.items()), "gauge", 1, 1)
SECOND_UP = UP._replace(labels=frozenset((INSTANCE | {"instance": "shop:3001"}).items()))
