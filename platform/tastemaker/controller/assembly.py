"""Builds what a process of the controller answers with, from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from tastemaker.api.schemas import Request
from tastemaker.controller.control_metrics import ControlMetrics
from tastemaker.controller.control_worker import ControlWorker
from tastemaker.controller.list_source import ListSource
from tastemaker.controller.own_records import OwnRecords
from tastemaker.controller.service_client import ClientLimits
from tastemaker.controller.services import Services
from tastemaker.controller.shadows import Shadows
from tastemaker.errors import TastemakerError
from tastemaker.experiments.interleaving_checks import interleaving_fault
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.experiments.tripped import TripFiles
from tastemaker.problem import load_problem
from tastemaker.serving.runtime.assembly import WorkerPlace, assemble, open_parts
from tastemaker.serving.runtime.health import Check
from tastemaker.serving.runtime.metrics import Reason
from tastemaker.serving.runtime.router import Routed
from tastemaker.serving.runtime.served_engine import ServedEngine
from tastemaker.settings import Settings

FOLDER, PLAN_NAME = "experiments", "plan.json"
MARGIN_SECONDS = 0.05
"""How much longer than its model's deadline a service may take: it answers without its model by then."""


class NoEngines:
    """The router of a process without a model."""

    engines: tuple[ServedEngine, ...] = ()

    def engine_for(self, request: Request) -> Routed:
        """Raise: such a process answers no list by itself."""
        raise NotImplementedError("the controller has no engine")


def open_plans(settings: Settings) -> PlanFile:
    """Return the plan of the home folder."""
    return PlanFile(settings.home / FOLDER / PLAN_NAME)


def assemble_control(
    settings: Settings,
    place: WorkerPlace,
    endpoints: Mapping[str, Iterable[int]],
    checks: Mapping[Reason, Check],
) -> ControlWorker:
    """Build the worker of a controller, within the event loop that it answers in.

    Args:
        settings: Of the home folder.
        place: The process's place among the workers of its server.
        endpoints: The paths' templates, and the statuses that each may answer with.
        checks: Further parts that may fail while lists are answered.

    Returns:
        The worker, with the plan of the home folder in force. It probes the services once `watch` runs.
    """
    parts = open_parts(settings, place, endpoints)
    plans, trips = open_plans(settings), TripFiles(settings.home / FOLDER)
    serving = settings.serving
    services = Services(ClientLimits(serving.model_timeout_seconds + MARGIN_SECONDS, serving.max_waiting))
    fault = interleaving_fault(settings.retrieval)
    all_checks: dict[Reason, Check] = {
        "plan": lambda: plans.trouble or trips.trouble or _not_mixed(plans, fault),
        "services": lambda: services.trouble,
    }
    worker = assemble(parts, NoEngines(), shared=place.shared, checks=all_checks | dict(checks))
    with suppress(TastemakerError):  # services have the problem in their versions, and need no file
        parts.metrics.know_events(load_problem(settings.problem).event_weights)
    numbers = ControlMetrics(parts.metrics)
    records = OwnRecords(serving.static_items, parts.spool, parts.recent)
    lists, shadows = ListSource(numbers, records), Shadows(numbers)
    return ControlWorker(worker, plans, trips, services, numbers, lists, shadows, mixes=fault is None)


def _not_mixed(plans: PlanFile, fault: str | None) -> str | None:
    """Return why experiments of the plan that interleave lists do not run; None if all do."""
    names = [one.name for one in plans.current().plan.experiments if one.kind == "interleaving"]
    return None if fault is None or not names else f"{', '.join(names)} does not run: {fault}"
