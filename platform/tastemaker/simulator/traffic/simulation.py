"""One simulation from beginning to end: audience, client log and connections, put together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.settings import SourceSettings
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.audience import Audience, TrafficMix
from tastemaker.simulator.traffic.client_log import ClientLog
from tastemaker.simulator.traffic.http_client import HttpClient
from tastemaker.simulator.traffic.plan import Plan
from tastemaker.simulator.traffic.statistics import Summary
from tastemaker.simulator.traffic.traffic import Listener, NeverComes, Traffic

TIMEOUT_SECONDS = 10.0
"""A request without a reply by then has none."""


class _Said(msgspec.Struct):
    """What /readyz says of models."""

    model: str = ""
    services: list[_Said] = []


def simulate(
    shop: Shop,
    url: str,
    nature: TrafficMix,
    plan: Plan,
    client_log: Path,
    *,
    headers: Mapping[str, str] | None = None,
    never_comes: NeverComes = lambda user_id: False,
    is_ready: bool = False,
    on_progress: Listener = lambda share, statistics: None,
) -> Summary:
    """Simulate traffic of a shop's users on a service.

    Ctrl-C stops new visits and waits for running ones; a second Ctrl-C aborts.

    Args:
        shop: The shop whose users visit the service.
        url: The address of the service.
        nature: The composition of the traffic.
        plan: The amount and the duration of the traffic, and its faults.
        client_log: The file of the client log, to which the run is appended.
        headers: Headers of every request, such as those for authentication.
        never_comes: Returns whether the user with an id never comes.
        is_ready: Whether the service was ready before its faults began: it need not answer now.
        on_progress: Called with the share that is done and the statistics, several times a second.

    Returns:
        What the users did and saw, and how fast the service was; also of a simulation that was aborted.

    Raises:
        TastemakerError: The service is not ready, or refuses the requests.
        ClientLogError: The client log can't be written. It is a TastemakerError.
    """
    begun: list[Traffic] = []

    async def visit() -> Summary:
        client = HttpClient(url, connections=2 * plan.at_once, timeout=TIMEOUT_SECONDS, headers=headers)
        async with client:
            if not is_ready:
                await client.ready()
            with ClientLog(client_log) as witness:
                begun.append(Traffic(Audience(shop, nature), client, witness, plan, never_comes))
                _close_on_interrupt(begun[0])
                return await begun[0].run(on_progress)

    with _collected():
        try:
            return asyncio.run(visit())
        except KeyboardInterrupt:
            if not begun:
                raise
            return begun[0].summary()


def models_at(url: str, headers: Mapping[str, str]) -> frozenset[str]:
    """Return the models that answer at an address: one, or those of a controller's services.

    Args:
        url: The address of the service.
        headers: Headers of the request.

    Raises:
        TastemakerError: No service is ready there.
    """

    async def ask() -> bytes:
        async with HttpClient(url, connections=1, timeout=TIMEOUT_SECONDS, headers=headers) as client:
            return await client.ready()

    try:
        said = msgspec.json.decode(asyncio.run(ask()), type=_Said)
    except msgspec.MsgspecError:  # another program's service, which may have a page of the same name
        return frozenset()
    return frozenset(one.model for one in (said, *said.services) if one.model)


@contextlib.contextmanager
def _collected() -> Iterator[None]:
    """Exclude existing objects from garbage collection within the block.

    In a large process a collection takes half a second, which would be measured as the service's time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _close_on_interrupt(traffic: Traffic) -> None:
    """Stop new visits on the first Ctrl-C. Outside the main thread, which handles signals, do nothing."""
    loop = asyncio.get_running_loop()

    def close() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        traffic.close()

    with contextlib.suppress(RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGINT, close)


def shop_of(source: SourceSettings) -> Shop:
    """Return the shop that the settings name as their source. Raises TastemakerError for another source."""
    from tastemaker.simulator import source as simulated

    if source.name != simulated.SimulatedShop.name:
        raise TastemakerError(
            f"source.name is {source.name!r}: only the users of a simulated shop can be simulated",
            fix="set TASTEMAKER_SOURCE__NAME=simulated, and serve a model that learned from it",
        )
    return simulated.open(source).shop
