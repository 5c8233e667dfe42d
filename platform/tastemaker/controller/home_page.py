"""The page at `/` of the controller, for people: the plan in force, the services, and how to call them."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

from tastemaker.api.control_schemas import ControlReady
from tastemaker.api.schemas import HTTPError
from tastemaker.controller.control_worker import ControlWorker
from tastemaker.html import Page, join, render, table
from tastemaker.serving.http.home_page import described, links, verdict
from tastemaker.serving.http.openapi import Interface
from tastemaker.serving.http.routing import AnyRoute
from tastemaker.serving.runtime.serving_process import ServingProcess

TITLE = "Model Controller"


def html(process: ServingProcess[ControlWorker], routes: tuple[AnyRoute, ...], interface: Interface) -> bytes:
    """Return the page as it is now, UTF-8.

    Args:
        process: The controller's.
        routes: The endpoints that the page describes.
        interface: What the controller says of itself.
    """
    now, how_to = datetime.now(UTC), described(routes, interface)
    try:
        ready = process.worker.ready()
    except HTTPError as refusal:
        page = Page(TITLE, f"Not ready: {refusal}.", "No service answers", now, how_to)
    else:
        rows = f"Plan {ready.revision}"
        page = Page(TITLE, verdict(ready.degraded), rows, now, join([_state(ready), how_to]))
    return render(page).encode()


def _state(ready: ControlReady) -> Markup:
    experiments = [
        [one.name, one.kind, str(one.epoch), "killed" if one.killed else ", ".join(one.tripped) or "none"]
        for one in ready.experiments
    ]
    services = [
        [one.name, one.model, one.answers_with or one.version, "answers" if one.up else "does not answer"]
        for one in ready.services
    ]
    return join(
        [
            Markup("<h2>Experiments</h2>"),
            table(["Experiment", "Kind", "Epoch", "Variants that lost their traffic"], experiments)
            if experiments
            else Markup("<p>None runs: each user gets the default service.</p>"),
            Markup("<h2>Services</h2>"),
            table(["Service", "Model", "Version", "State"], services),
            links({}, {"Plan": "/experiments/plan", "For programs": "/readyz", "For Prometheus": "/metrics"}),
        ]
    )
