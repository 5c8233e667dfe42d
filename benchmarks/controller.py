"""What the Model Controller costs: a service by itself, beside the same service behind a controller.

    python benchmarks/controller.py              rounds of six seconds
    python benchmarks/controller.py --smoke      shows that it runs

A personal top-10 by dot product over 4,000 items, user features read from the online store (remembered for
30 s, as by default), every answer logged durably, one worker each, kept to a processor
(`serving.pin_workers`). The controller decides in an A/A experiment whose variants are two services of the
same version, so each answer is assigned, forwarded over a Unix socket and checked. Rounds of wrk go from the
one to the other: read the ratios. Throughput is that of 64 callers who ask as soon as they are answered: 32
for each variant, as many as `serving.py` has for a service; and of 32, where batches are half as large
behind a controller. Latency is that of people who look at their lists for a while (`loads`), at
half of the controller's own maximum for both. Then, without a server: what one forwarded request costs with
this client and aiohttp's.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import aiohttp
import click
import psutil
from loads import CONNECTIONS, Flood, Paced, flood, paced, ratios
from serving import HERE
from serving_servers import BINARIES, Server, server
from serving_shop import N_USERS, PROBLEM, fill_features, install_plugin, make_home

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.scripted_service import ScriptedService
from tastemaker.controller.service_client import ClientLimits, ServiceClient
from tastemaker.experiments.plan import (
    BUCKETS,
    ControlPlan,
    Namespace,
    PinnedService,
    PlannedExperiment,
    Variant,
)
from tastemaker.experiments.plan_file import write_plan
from tastemaker.experiments.service_address import ServiceAddress

N_ITEMS = 4_000
MIN_THROUGHPUT, MAX_P50_MS, MAX_P99_MS = 0.5, 1.0, 3.0
"""Targets: the share of the service's own throughput, and what the controller may add."""
SERVICE, CONTROLLER = "service", "controller"
FEW, ENOUGH = CONNECTIONS, 2 * CONNECTIONS
"""Callers: as many as `serving.py` has for one service, and for each of the two variants."""
START_SECONDS = 120.0

Floods = dict[str, list[Flood]]
"""By server."""
ID = "01a2293b968411e652b6f2dce1612be8"


class Effort(NamedTuple):
    """How much is measured."""

    floods: tuple[int, float]
    """Rounds, and seconds of each."""
    paced: tuple[int, float]
    forwards: int


FULL = Effort((3, 6.0), (3, 6.0), 5_000)
SMOKE = Effort((1, 1.0), (1, 1.0), 200)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
def main(smoke: bool) -> None:
    """Throughput and latency through the controller, beside those of the service itself."""
    if shutil.which("wrk") is None:
        raise click.ClickException(
            "wrk, which makes the load, is not installed (Debian: apt-get install wrk)"
        )
    effort = SMOKE if smoke else FULL
    with tempfile.TemporaryDirectory(prefix="tm-control-") as folder:
        floods, people = measure(Path(folder).resolve(), effort)
    for name in (SERVICE, CONTROLLER):
        rates = "   ".join(
            f"{median(one.per_second for one in found[name]):8,.0f} lists/s of {callers} callers"
            for callers, found in floods.items()
        )
        failed = sum(one.failed for one in people[name])
        failed += sum(one.failed for found in floods.values() for one in found[name])
        click.echo(
            f"{name:12} {rates}   p50 {_of(people[name], 'p50_ms'):.2f} ms   "
            f"p99 {_of(people[name], 'p99_ms'):.2f} ms   failed {failed}"
        )
    more = {what: _of(people[CONTROLLER], what) - _of(people[SERVICE], what) for what in ("p50_ms", "p99_ms")}
    for callers, found in floods.items():
        target = f" (target: at least {MIN_THROUGHPUT})" if callers == ENOUGH else ""
        share = ratios(found[CONTROLLER], found[SERVICE])
        click.echo(f"throughput   {share:.2f} of the service's own, {callers} callers{target}")
    click.echo(f"p50          {more['p50_ms']:+.2f} ms (target: at most +{MAX_P50_MS:.0f})")
    click.echo(f"p99          {more['p99_ms']:+.2f} ms (target: at most +{MAX_P99_MS:.0f})")
    for name, microseconds in forwarding(effort.forwards).items():
        click.echo(f"forwarding   {microseconds:.0f} us of processor time by {name}")


def measure(folder: Path, effort: Effort) -> tuple[dict[int, Floods], dict[str, list[Paced]]]:
    """Return the throughput of both, by the number of callers, and their latency."""
    environment = _prepare(folder)
    own = [str(BINARIES / "bentoml"), "serve", "tastemaker_factors.service:Factors"]
    control = [str(BINARIES / "tastemaker"), "control"]
    with server(own, environment, folder) as service, server(control, environment, folder) as controller:
        _wait_for_services(controller.port)
        servers = {SERVICE: service, CONTROLLER: controller}
        floods = {callers: _floods(servers, callers, folder, *effort.floods) for callers in (FEW, ENOUGH)}
        for name, each in servers.items():
            worker, services = _processor_time(each, folder, effort.floods[1])
            click.echo(
                f"{name:12} {worker:.0f} us of processor time per list, its services' workers {services:.0f}"
            )
        half = median(one.per_second for one in floods[ENOUGH][CONTROLLER]) / 2
        people: dict[str, list[Paced]] = {name: [] for name in servers}
        for _ in range(effort.paced[0]):
            for name, each in servers.items():
                people[name].append(paced(each.port, half, effort.paced[1], N_USERS, folder))
    return floods, people


def _prepare(folder: Path) -> dict[str, str]:
    """Make a home with a version and a plan; return the servers' environment."""
    plugins, home = install_plugin(folder / "plugins"), folder / "home"
    make_home(home, N_ITEMS, index=False)
    fill_features(home)
    problem = PROBLEM.model_dump_json(exclude_defaults=True)  # JSON is YAML; the guard reads it
    (folder / "problem.yaml").write_text(problem, "utf-8")
    (version,) = (path.name for path in (home / "artifacts" / "factors").iterdir() if path.is_dir())
    services = tuple(
        PinnedService(name, "factors", version, f"unix:{home}/experiments/sockets/{name}.sock")
        for name in "AB"
    )
    variants = (Variant("A", 0, BUCKETS // 2, "A"), Variant("B", BUCKETS // 2, BUCKETS, "B"))
    experiment = PlannedExperiment(
        "same", "aa", "home", "exp-same", 0, ((0, BUCKETS),), BUCKETS, variants, control="A"
    )
    namespace = Namespace("home", "user", "ns-home")
    write_plan(
        home / "experiments" / "plan.json",
        ControlPlan(1, 0.0, "A", services, (namespace,), experiments=(experiment,)),
    )
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TASTEMAKER_", "BENTOML_"))
    }
    return kept | {
        "PYTHONPATH": f"{plugins}{os.pathsep}{HERE}",
        "TASTEMAKER_HOME": str(home),
        "TASTEMAKER_SERVING__PIN_WORKERS": "True",
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONWARNINGS": "ignore",
    }


def _wait_for_services(port: int) -> None:
    """Wait until both services answer: the controller gives lists as soon as one does."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            if all(one["up"] for one in json.load(reply)["services"]):
                return
        time.sleep(0.2)
    raise click.ClickException(f"not all services answer within {START_SECONDS:.0f} s")


def _floods(servers: dict[str, Server], callers: int, folder: Path, rounds: int, seconds: float) -> Floods:
    found: Floods = {name: [] for name in servers}
    for each in servers.values():
        flood(each.port, 1, N_USERS, folder, connections=callers)  # warm
    for _ in range(rounds):
        for name, each in servers.items():
            found[name].append(flood(each.port, seconds, N_USERS, folder, connections=callers))
    return found


def _processor_time(server: Server, folder: Path, seconds: float) -> tuple[float, float]:
    """Return what a list costs in microseconds: the server's own worker, and the workers of its services."""
    own = psutil.Process(server.process.pid)
    workers = [one for one in own.children(recursive=True) if "_bentoml_impl.worker.service" in one.cmdline()]
    before = {one: sum(one.cpu_times()[:2]) for one in workers}
    lists = flood(server.port, seconds, N_USERS, folder, connections=ENOUGH).per_second * seconds
    costs = {one: (sum(one.cpu_times()[:2]) - before[one]) / lists * 1e6 for one in workers}
    (worker,) = (one for one in workers if one.ppid() == own.pid)
    return costs.pop(worker), sum(costs.values())


def _of(people: list[Paced], what: str) -> float:
    values: list[float] = [getattr(one, what) for one in people]
    return median(values)


def forwarding(calls: int) -> dict[str, float]:
    """Return microseconds of processor time per forwarded request, with the same scripted service's part."""
    with tempfile.TemporaryDirectory(prefix="tm-client-") as folder:
        path = Path(folder) / "socket"
        return {
            "this client": asyncio.run(_forwarded(path, calls, _own)),
            "aiohttp": asyncio.run(_forwarded(path, calls, _aiohttp)),
        }


Ask = Callable[[bytes], Awaitable[Any]]


@asynccontextmanager
async def _own(path: Path) -> AsyncIterator[Ask]:
    client = ServiceClient(ServiceAddress(path), ClientLimits(seconds=5.0))
    head = b"POST /recommend HTTP/1.1\r\nhost: localhost\r\nx-request-id: %s\r\ncontent-length: %d\r\n\r\n%s"
    yield lambda body: client.send(head % (ID.encode(), len(body), body))
    client.close()


@asynccontextmanager
async def _aiohttp(path: Path) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(path))) as session:

        async def ask(body: bytes) -> bytes:
            async with session.post(
                "http://localhost/recommend", data=body, headers={"x-request-id": ID}
            ) as reply:
                return await reply.read()

        yield ask


async def _forwarded(
    path: Path, calls: int, client: Callable[[Path], AbstractAsyncContextManager[Ask]]
) -> float:
    body = json.dumps({"user_id": "user-000001", "k": 10}).encode()
    async with ScriptedService().listening(path), client(path) as ask:
        for _ in range(100):
            await ask(body)
        start = time.process_time()
        for _ in range(calls):
            await ask(body)
    return (time.process_time() - start) / calls * 1e6


if __name__ == "__main__":
    main()
