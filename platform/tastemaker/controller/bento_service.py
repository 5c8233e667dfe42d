"""The controller as a BentoML service: what `tastemaker control` starts."""

from __future__ import annotations

import asyncio
import atexit
import os
from functools import partial
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from tastemaker.controller.assembly import assemble_control, open_plans
from tastemaker.controller.control_worker import ControlWorker
from tastemaker.controller.pinned_servers import PinnedServers, start_guard, start_service
from tastemaker.controller.routes import CONTROL_ROUTES
from tastemaker.errors import TastemakerError
from tastemaker.serving.bento_server import (
    FrontedService,
    begin_worker,
    check_home,
    clear_away,
    held_place,
    prepare_server,
    stand_before,
    tune_interpreter,
)
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.runtime.health import Check
from tastemaker.serving.runtime.metrics import Reason
from tastemaker.serving.runtime.parent_process import end_with_server
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.settings import load_settings

NAME = "controller"
"""The name of the service."""
CORE_PLACES = 2
"""Each request passes the controller and only one of its services: they share a processor before it does."""


def controller() -> bentoml.Service[Any]:
    """Return the BentoML service of the controller. Nothing is opened before the server starts."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    end_with_server()
    process, auth = ServingProcess[ControlWorker](), Authenticator()
    tasks: set[asyncio.Task[None]] = set()

    class ControllerService:
        """Each path of a prediction service, answered by the service of the user's variant."""

        @bentoml.on_deployment  # type: ignore[untyped-decorator]
        def prepare() -> None:
            _prepare()

        @bentoml.on_startup  # type: ignore[untyped-decorator]
        def load(self) -> None:
            with held_place():
                tasks.add(asyncio.get_running_loop().create_task(_load(process, auth).watch()))

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        def unload(self) -> None:
            process.close()
            clear_away()

    made: FrontedService = bentoml.service(
        name=NAME,
        service_class=FrontedService,
        # BentoML labels its own metrics with the path as it came: without bounds. Ours are in `metrics`.
        metrics={"enabled": False},
        logging={"access": {"enabled": False}},
        tracing={"excluded_urls": ".*"},
    )(ControllerService)
    stand_before(made, CONTROL_ROUTES, process, auth)
    return made


def _prepare() -> None:
    """Start the plan's services, in the server before any worker starts. Raises BentoMLException."""
    try:
        settings = load_settings()
        check_home(settings)
    except TastemakerError as error:
        raise BentoMLException(str(error)) from None
    prepare_server(settings)
    servers = PinnedServers(
        open_plans(settings), partial(start_service, settings), partial(start_guard, settings)
    )
    atexit.register(servers.close)


def _load(process: ServingProcess[ControlWorker], auth: Authenticator) -> ControlWorker:
    """Load the worker of this process, before its first request."""
    settings = load_settings()
    place = begin_worker(settings, auth, CORE_PLACES)
    checks: dict[Reason, Check] = {"keys": lambda: auth.trouble}
    worker = assemble_control(settings, place, CONTROL_ROUTES.statuses(), checks)
    process.open(worker)
    tune_interpreter()
    return worker


Controller = controller()
