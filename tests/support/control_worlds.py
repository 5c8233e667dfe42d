"""A controller in the test's own process, in front of services that answer as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from support.asgi_apps import not_found
from support.experiment_plans import ROUTED, experiment, plan_of
from support.scripted_service import ScriptedService
from tastemaker.controller.assembly import assemble_control
from tastemaker.controller.control_worker import ControlWorker
from tastemaker.controller.routes import CONTROL_ROUTES
from tastemaker.event_log.records import Record
from tastemaker.event_log.spool import read
from tastemaker.event_log.spool_file import FILE_NAME
from tastemaker.experiments.plan import ControlPlan, PinnedService
from tastemaker.experiments.plan_file import write_plan
from tastemaker.serving.http.gateway import Gateway
from tastemaker.serving.runtime.assembly import WorkerPlace
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving_settings import ServingSettings
from tastemaker.settings import Settings

STATIC = ("item-0", "item-1")
VERSIONS = {"champion": "v1", "challenger": "v2"}


class ControlWorld(NamedTuple):
    """A controller that answers."""

    home: Path
    client: httpx.AsyncClient
    worker: ControlWorker
    services: dict[str, ScriptedService]

    async def lists(self, users: Sequence[str]) -> list[dict[str, Any]]:
        """The answers of users, at once."""
        asked = [self.client.post("/recommend", json={"user_id": one, "k": 1}) for one in users]
        return [reply.raise_for_status().json() for reply in await asyncio.gather(*asked)]

    def counted(self, name: str, **labels: str) -> float:
        """A counter's value."""
        ordered = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        page = self.worker.metrics.page().decode()
        line = next(one for one in page.splitlines() if one.startswith(f"tastemaker_{name}{{{ordered}}}"))
        return float(line.rpartition(" ")[2])

    def records(self) -> list[Record]:
        """The requests that the controller itself logged; it must be closed."""
        pending = read(self.home / "spool" / FILE_NAME, 1_000)
        assert pending is not None
        return [one for one in pending.records if isinstance(one, Record)]


def routed_plan(folder: Path, **other: Any) -> ControlPlan:
    """An experiment of two services, half and half; champion is the default service."""
    services = tuple(
        PinnedService(name, "scripted", version, f"unix:{folder / name}")
        for name, version in VERSIONS.items()
    )
    return plan_of(experiment("ranker", variants=ROUTED, **other), default="champion", services=services)


@asynccontextmanager
async def controlled(
    folder: Path, plan: ControlPlan, *, down: Sequence[str] = (), **settings: Any
) -> AsyncIterator[ControlWorld]:
    """A controller of a plan whose services listen, but for those that are `down`."""
    home = folder / "home"
    write_plan(home / "experiments" / "plan.json", plan)
    serving = ServingSettings(static_items=STATIC, model_timeout_seconds=1.0)
    services = {one.name: ScriptedService(one.version) for one in plan.services}
    async with AsyncExitStack() as kept:
        for one in plan.services:
            if one.name not in down:
                path = Path(one.address.removeprefix("unix:"))
                await kept.enter_async_context(services[one.name].listening(path))
        worker = assemble_control(
            Settings(home=home, serving=serving, **settings), WorkerPlace(), CONTROL_ROUTES.statuses(), {}
        )
        await worker.services.probe()
        transport = httpx.ASGITransport(Gateway(not_found, CONTROL_ROUTES, ServingProcess(worker)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield ControlWorld(home, client, worker, services)
        worker.close()
        await asyncio.sleep(0.01)  # so that both ends of the connections have closed


def within(
    folder: Path,
    act: Callable[[ControlWorld], Awaitable[None]],
    *,
    plan: ControlPlan | None = None,
    **more: Any,
) -> None:
    """Run an act of a test against a controller; without a plan, that of `routed_plan`."""

    async def run() -> None:
        async with controlled(folder, plan or routed_plan(folder), **more) as world:
            await act(world)

    asyncio.run(run())


def changed(plan: ControlPlan, **fields: Any) -> ControlPlan:
    """The plan with its one experiment changed."""
    (one,) = plan.experiments
    return msgspec.structs.replace(plan, experiments=(msgspec.structs.replace(one, **fields),))
