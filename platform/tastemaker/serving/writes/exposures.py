"""POST /exposures: exposures that are in the durable log before they are acknowledged."""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.api.schemas import ExposureReport
from tastemaker.event_log.records import Assignment, ExposureRecord


def exposure_records(exposures: Sequence[ExposureReport], now: float) -> list[ExposureRecord]:
    """Return the exposures as they are logged, in their order.

    Args:
        exposures: What callers sent, with ids in the form in which they are stored.
        now: When they were received, seconds since 1970 UTC by the server's clock.
    """
    return [
        ExposureRecord(
            exposure_id=one.exposure_id,
            assignment=_assignment(one),
            occurred_at=now if one.occurred_at is None else one.occurred_at,
            received_at=now,
            user_id=one.user_id,
        )
        for one in exposures
    ]


def _assignment(one: ExposureReport) -> Assignment:
    """Return the assignment: the variant that was assigned is the one that was shown."""
    return Assignment(
        one.experiment, one.epoch, one.variant, one.probability, one.variant, one.plan, one.unit
    )
