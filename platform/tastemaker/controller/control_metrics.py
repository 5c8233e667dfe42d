"""What the controller counts besides what every serving process does: who was assigned, and who answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, get_args

from tastemaker.controller.connection import FailureReason
from tastemaker.experiments.plan import ControlPlan

if TYPE_CHECKING:
    from tastemaker.serving.runtime.metrics import Metrics

STATIC: Final = "static"
"""What answered where no service did: the static list."""
MissReason = FailureReason | Literal["tripped", "down"]
"""Why a service did not answer. `down`: it has not answered for a while and was not asked; `tripped`: its
variant lost its traffic."""
MISSES: Final[tuple[MissReason, ...]] = (*get_args(FailureReason), "tripped", "down")
CopyOutcome = Literal["answered", "failed", "dropped"]
COPIES: Final[tuple[CopyOutcome, ...]] = get_args(CopyOutcome)


class ControlMetrics:
    """The controller's numbers in one process."""

    def __init__(self, metrics: Metrics) -> None:
        self._answers = metrics.counter(
            "control_answers_total",
            "Lists by the variant that the unit was assigned to, and the service that answered",
            "experiment", "variant", "service",
        )  # fmt: skip
        self._misses = metrics.counter(
            "control_misses_total",
            "Requests that a variant's service did not answer, so that another did, by why",
            "experiment", "variant", "service", "reason",
        )  # fmt: skip
        self._wrong_versions = metrics.counter(
            "control_wrong_versions_total",
            "Lists of another version than the one that the plan names for the service",
            "experiment", "variant", "service",
        )  # fmt: skip
        self._copies = metrics.counter(
            "control_shadow_requests_total",
            "Copies of requests to variants whose answers no user sees, by what became of them",
            "experiment", "variant", "service", "outcome",
        )  # fmt: skip
        self._durations = metrics.histogram(
            "control_service_duration_seconds", "Seconds from asking a service to its answer", "service"
        )
        self._up = metrics.gauge(
            "control_service_up",
            "1 if every worker has an answer of the service, else 0",
            "service",
            mode="livemin",
        )
        self._tripped = metrics.gauge(
            "control_tripped", "1 while a variant's traffic goes to control at once", "experiment", "variant"
        )
        self._revision = metrics.gauge(
            "control_plan_revision", "Revision of the plan in force", mode="livemin"
        )
        self.answers, self._missed = cache(self._answers.labels), cache(self._misses.labels)
        self._timed = cache(self._durations.labels)
        self.wrong_versions, self.copies = cache(self._wrong_versions.labels), cache(self._copies.labels)

    def know(self, plan: ControlPlan) -> None:
        """Show all that may happen under a plan with 0, before it happens."""
        self._revision.set(plan.revision)
        for pinned in plan.services:
            self._timed(pinned.name)
            self._up.labels(pinned.name)
        if plan.default is not None:
            self._know("", "", (plan.default,))
        for experiment in plan.experiments:
            services = {one.name: one.service for one in experiment.variants if one.service is not None}
            for variant, service in services.items():
                self._tripped.labels(experiment.name, variant)
                if experiment.kind != "shadow":
                    self._know(experiment.name, variant, {service, services.get(experiment.control, service)})
                elif variant != experiment.control:
                    for outcome in COPIES:
                        self.copies(experiment.name, variant, service, outcome)

    def missed(self, labels: tuple[str, str], service: str, reason: MissReason) -> None:
        """Count a request that a service did not answer.

        Args:
            labels: The experiment and the variant that the unit was assigned to; empty texts where there is
                none.
            service: The name of the service.
            reason: Why it did not answer.
        """
        self._missed(*labels, service, reason).inc()

    def observe(self, service: str, seconds: float) -> None:
        """Count an answer of a service.

        Args:
            service: The name of the service.
            seconds: From asking it to its answer.
        """
        self._timed(service).observe(seconds)

    def measured(self, up: Mapping[str, bool], tripped: Mapping[tuple[str, str], bool]) -> None:
        """Set which services answer, and which variants lost their traffic.

        Args:
            up: The name of each service -> whether it answers.
            tripped: Each experiment and variant, by name -> whether the variant lost its traffic.
        """
        for service, is_up in up.items():
            self._up.labels(service).set(is_up)
        for (experiment, variant), is_tripped in tripped.items():
            self._tripped.labels(experiment, variant).set(is_tripped)

    def _know(self, experiment: str, variant: str, services: Iterable[str]) -> None:
        self.answers(experiment, variant, STATIC)
        for service in services:
            self.answers(experiment, variant, service)
            self.wrong_versions(experiment, variant, service)
            for reason in MISSES:
                self._missed(experiment, variant, service, reason)
