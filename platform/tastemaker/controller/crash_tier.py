"""The tier without statistics: a variant whose service fails loses its traffic to control at once.

It records a fact, not a verdict: the guard turns it into a rollback. Where control does not answer either,
all variants stay: that is an incident of the platform, and control would answer no better.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from tastemaker.controller.controlled_service import ControlledService
from tastemaker.experiments.plan import ControlPlan
from tastemaker.experiments.tripped import Trip, TripFiles

logger = logging.getLogger("tastemaker.controller")


def trip_failing(plan: ControlPlan, services: Mapping[str, ControlledService], trips: TripFiles) -> None:
    """Record the variants whose service fails.

    Args:
        plan: The plan in force.
        services: Its services by name, as this process sees them.
        trips: Where they are recorded, for all processes.
    """
    lost = tripped(plan, trips)
    for experiment in plan.experiments:
        if experiment.kind == "shadow" or experiment.killed:
            continue
        named = {one.name: one.service for one in experiment.variants if one.service is not None}
        control = named.pop(experiment.control, None)
        if control is None or services[control].trouble is not None:
            continue
        for variant, service in named.items():
            trouble = services[service].trouble
            if service != control and trouble is not None and not lost[experiment.name, variant]:
                logger.error(
                    "variant %s of experiment %s goes to control: %s: %s",
                    variant, experiment.name, service, trouble,
                )  # fmt: skip
                trips.add(experiment.name, experiment.epoch, variant, Trip(service, trouble, time.time()))


def tripped(plan: ControlPlan, trips: TripFiles) -> dict[tuple[str, str], bool]:
    """Return which variants lost their traffic in the present epoch of their experiment.

    Args:
        plan: The plan in force.
        trips: What all processes recorded.

    Returns:
        Each experiment and variant that has a service, by name -> whether it lost its traffic.
    """
    found = trips.current()
    return {
        (one.name, variant.name): (known := found.get(one.name)) is not None
        and known.epoch == one.epoch
        and variant.name in known.trips
        for one in plan.experiments
        for variant in one.variants
        if variant.service is not None
    }
