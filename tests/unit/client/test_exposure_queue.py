"""Exposures in the background: each unit once, never more than fit, none lost while a service is away."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tastemaker.api.schemas import ExposureReport, Problem, Receipt
from tastemaker.client.client import Client
from tastemaker.client.exposures import ExposureQueue
from tastemaker.client.transport import ServiceError

NEVER = 3_600.0


class Service(Client):
    """A service that accepts, refuses or is away, as the test says."""

    def __init__(self) -> None:
        self.batches: list[list[ExposureReport]] = []
        self.failure: ServiceError | None = None
        self.called = threading.Event()

    def expose(self, exposures: Sequence[ExposureReport]) -> Receipt:
        self.called.set()
        if self.failure is not None:
            raise self.failure
        self.batches.append(list(exposures))
        return Receipt(len(exposures), 0)


def exposure(unit: str, variant: str = "b", epoch: int = 0) -> ExposureReport:
    return ExposureReport(f"id-{unit}", "a", epoch, variant, unit, 0.5)


def units(service: Service) -> list[str]:
    return [one.unit for batch in service.batches for one in batch]


def test_what_was_added_is_reported() -> None:
    service = Service()
    queue = ExposureQueue(service, flush_seconds=0.01)
    queue.add(exposure("u1"))
    assert service.called.wait(30)
    queue.close()
    assert units(service) == ["u1"]
    assert (queue.reported, queue.dropped, queue.trouble) == (1, 0, None)


def test_closing_reports_all_that_waits_in_batches() -> None:
    service = Service()
    queue = ExposureQueue(service, flush_seconds=NEVER)
    for number in range(2_500):
        queue.add(exposure(f"u{number}"))
    queue.close()
    assert [len(batch) for batch in service.batches] == [1_000, 1_000, 500]
    assert units(service) == [f"u{number}" for number in range(2_500)]
    assert queue.reported == 2_500


def test_a_unit_is_reported_once_per_epoch_and_variant() -> None:
    service = Service()
    queue = ExposureQueue(service, flush_seconds=NEVER)
    for _ in range(3):
        for one in (exposure("u1"), exposure("u1", epoch=1), exposure("u1", variant="c"), exposure("u2")):
            queue.add(one)
    queue.close()
    assert units(service) == ["u1", "u1", "u1", "u2"]


def test_too_many_are_dropped_and_counted() -> None:
    service = Service()
    queue = ExposureQueue(service, capacity=10, flush_seconds=NEVER)
    for number in range(25):
        queue.add(exposure(f"u{number}"))
    queue.close()
    assert (len(units(service)), queue.dropped) == (10, 15)


def test_exposures_wait_while_the_service_is_away() -> None:
    service = Service()
    service.failure = ServiceError(None, "away")
    queue = ExposureQueue(service, flush_seconds=0.01)
    queue.add(exposure("u1"))
    assert service.called.wait(30)
    service.failure = None
    queue.close()
    assert (units(service), queue.dropped) == (["u1"], 0)


def test_what_can_not_be_reported_at_the_end_is_counted() -> None:
    service = Service()
    service.failure = ServiceError(None, "away")
    queue = ExposureQueue(service, flush_seconds=NEVER)
    queue.add(exposure("u1"))
    queue.close()
    assert (queue.reported, queue.dropped) == (0, 1)


def test_what_is_refused_is_dropped_and_the_rest_is_reported() -> None:
    service = Service()
    service.failure = ServiceError(Problem("Forbidden", 403, "no"), "403 Forbidden: no")
    queue = ExposureQueue(service, flush_seconds=0.01)
    queue.add(exposure("u1"))
    assert service.called.wait(30)
    while queue.dropped == 0:
        service.called.wait(0.01)
    service.failure = None
    queue.add(exposure("u2"))
    queue.close()
    assert (units(service), queue.dropped) == (["u2"], 1)
