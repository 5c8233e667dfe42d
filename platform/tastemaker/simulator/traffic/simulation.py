"""One simulation from beginning to end: audience, ledger and connections, put together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

from tastemaker.errors import TastemakerError
from tastemaker.settings import SourceSettings
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.audience import Audience, TrafficMix
from tastemaker.simulator.traffic.client_log import ClientLog
from tastemaker.simulator.traffic.http_client import HttpClient
from tastemaker.simulator.traffic.plan import Plan
from tastemaker.simulator.traffic.statistics import Summary
from tastemaker.simulator.traffic.traffic import Listener, Traffic

TIMEOUT_SECONDS = 10.0
"""A request without a reply by then has none."""


def simulate(
    shop: Shop,
    url: str,
    nature: TrafficMix,
    plan: Plan,
    ledger: Path,
    *,
    headers: Mapping[str, str] | None = None,
    on_progress: Listener = lambda share, tally: None,
) -> Summary:
    """Visit the service at `url`. Ctrl-C stops new visits and waits for running ones; a second one aborts."""
    begun: list[Traffic] = []

    async def visit() -> Summary:
        courier = HttpClient(url, connections=2 * plan.at_once, timeout=TIMEOUT_SECONDS, headers=headers)
        async with courier:
            await courier.ready()
            with ClientLog(ledger) as witness:
                begun.append(Traffic(Audience(shop, nature), courier, witness, plan))
                _close_on_interrupt(begun[0])
                return await begun[0].run(on_progress)

    with _collected():
        try:
            return asyncio.run(visit())
        except KeyboardInterrupt:
            if not begun:
                raise
            return begun[0].summary()


@contextlib.contextmanager
def _collected() -> Iterator[None]:
    """Garbage collection leaves alone what is there: in a large process it takes half a second, which would
    be measured as the service's."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _close_on_interrupt(traffic: Traffic) -> None:
    """The first Ctrl-C only; outside the main thread signals are somebody else's."""
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
