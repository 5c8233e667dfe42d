"""One of two workers is killed with -9 under load: how soon it is back, and which requests failed.

    python benchmarks/workers.py                 ten kills
    python benchmarks/workers.py --kills 100

Half of the callers ask once, on connections that they keep; the others are `tastemaker.client`. A request on
a connection that the kill resets fails for the former; nothing may fail for the latter. Beside it: what a
scrape of `/metrics` takes, without other callers.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import bento_servers, served_homes
from tastemaker.client import Client, ServiceError
from tastemaker.serving.runtime.worker_slots import Workers

CALLERS = 8
"""Of each kind, every one of which asks again this long after it was answered:"""
THINK_SECONDS = 0.02
LOOK_SECONDS = 0.01
SCRAPES = 50


class Figures(NamedTuple):
    """What was measured."""

    back_seconds: list[float]
    """From each kill until another worker serves in the place."""
    asked: int
    once_failed: int
    """Of the callers that ask once."""
    client_failed: int
    """Of `tastemaker.client`."""
    scrape_seconds: list[float]
    scrape_cpu_seconds: float
    """Of all workers, per scrape."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--kills", default=10, show_default=True, help="How often a worker is killed.")
def main(smoke: bool, kills: int) -> None:
    """Kill one of two workers under load, and say who noticed."""
    with tempfile.TemporaryDirectory(prefix="tastemaker-workers-") as folder:
        found = measure(Path(folder), 1 if smoke else kills)
    back, scrapes = sorted(found.back_seconds), sorted(found.scrape_seconds)
    click.echo(f"kills                            {len(back)}")
    click.echo(f"back after, s, median and worst  {median(back):.2f} {back[-1]:.2f}")
    click.echo(f"requests                         {found.asked}")
    click.echo(f"failed, asked once               {found.once_failed}")
    click.echo(f"failed, tastemaker.client        {found.client_failed}")
    click.echo(f"scrape, ms of processor time     {found.scrape_cpu_seconds * 1e3:.1f}")
    click.echo(f"scrape, ms, median and worst     {median(scrapes) * 1e3:.1f} {scrapes[-1] * 1e3:.1f}")


def measure(folder: Path, kills: int) -> Figures:
    """Kill a worker so many times under load, and return every figure."""
    served_homes.make_home(folder / "home")
    environment = {"TASTEMAKER_HOME": str(folder / "home"), "BENTOML_HOME": str(folder / "bentoml")}
    command = ("tastemaker", "serve", "popularity", "--workers", "2")
    with bento_servers.started(command, folder, environment) as server:
        workers = Workers(Path(server.workers(2)[0].environ()["TASTEMAKER_METRICS_FOLDER"]))
        before = _cpu_seconds(server)
        scrapes = [_seconds_of_a_scrape(server.client) for _ in range(SCRAPES)]
        scrape_cpu = (_cpu_seconds(server) - before) / SCRAPES
        with _asking(server.url) as callers:
            back = []
            for number in range(kills):
                time.sleep(1)
                back.append(_killed(server, workers, 1 + number % 2))
            time.sleep(1)
    once = [one for one in callers if isinstance(one, Once)]
    theirs = [one for one in callers if isinstance(one, Kept)]
    return Figures(
        back,
        sum(one.asked for one in callers),
        sum(one.failed for one in once),
        sum(one.failed for one in theirs),
        scrapes,
        scrape_cpu,
    )


def _cpu_seconds(server: bento_servers.Started) -> float:
    """Return the processor time of the workers so far."""
    spent = [worker.cpu_times() for worker in server.workers(2)]
    return float(sum(one.user + one.system for one in spent))


def _seconds_of_a_scrape(client: httpx.Client) -> float:
    start = time.perf_counter()
    client.get("/metrics").raise_for_status()
    return time.perf_counter() - start


def _killed(server: bento_servers.Started, workers: Workers, number: int) -> float:
    """Kill the worker in this place, and return the seconds until another one serves there."""
    process = workers.slots()[number].process
    (worker,) = (child for child in server.children() if child.pid == process)
    start = time.perf_counter()
    worker.kill()
    while not ((place := workers.slots()[number]).ready and place.process != process):
        if time.perf_counter() - start > bento_servers.START_SECONDS:
            raise click.ClickException("the worker does not come back")
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - start


class Caller(threading.Thread):
    """Asks for lists until it is to end, and counts."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.ending = url, threading.Event()
        self.asked = self.failed = 0

    def run(self) -> None:
        while not self.ending.wait(THINK_SECONDS):
            self.asked += 1
            self.failed += not self.answered()

    def answered(self) -> bool:
        """Ask for a list, and return whether there was one."""
        raise NotImplementedError


class Once(Caller):
    """As most callers do."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._client = httpx.Client(base_url=url, timeout=30)

    def answered(self) -> bool:
        try:
            status = self._client.post("/recommend", json={"user_id": "user-01", "k": 5}).status_code
        except httpx.TransportError:
            return False
        return status == 200


class Kept(Caller):
    """As the platform's client does."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._client = Client(url, timeout_seconds=30)

    def answered(self) -> bool:
        try:
            return len(self._client.recommend("user-01", k=5).items) == 5
        except ServiceError:
            return False


@contextmanager
def _asking(url: str) -> Iterator[Sequence[Caller]]:
    """Run so many callers of each kind until the block ends."""
    callers = [kind(url) for _ in range(CALLERS) for kind in (Once, Kept)]
    for caller in callers:
        caller.start()
    yield callers
    for caller in callers:
        caller.ending.set()
    for caller in callers:
        caller.join()


if __name__ == "__main__":
    main()
