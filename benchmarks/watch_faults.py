"""Whether kills and outages lose or double a message of `tastemaker watch`.

    python benchmarks/watch_faults.py                    a thousand faults, about half an hour
    python benchmarks/watch_faults.py --faults 100
    python benchmarks/watch_faults.py --faults 300 disk

Half of the faults are on Postgres, which is stopped now and then, at least once for a minute, and half on
SQLite on a small disk of its own, which is full now and then. A page of metrics shows faults of many models,
each for some seconds. Meanwhile the watch is killed with -9 at random times, and the receiver answers 500
or hangs for a while, at least once for five minutes. In the end every incident must have one trigger and one
resolve at the receiver, each identity counted once, in that order. A small disk needs root.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.servers import postgres
from support.small_disks import mounted
from support.watched_pages import WatchedPage, WatchProcess, watched_page
from tastemaker.storage.engine import open_engine
from tastemaker.watch import records

MODELS = 40
END_SECONDS = 180.0
STEP_SECONDS = 0.6, 2.2
"""Between two faults: the long outages are a part of the whole, not all of it."""
LONG = (("outages", 300.0), ("stops", 60.0))
"""The receiver is away for five minutes, the database for one."""


class Database(Protocol):
    """What may be stopped and started."""

    @property
    def is_running(self) -> bool:
        """Whether it can be used."""

    def stop(self) -> None:
        """Let every write fail."""

    def start(self) -> None:
        """Let it be used again."""


class Counts(NamedTuple):
    """What was counted in the end."""

    incidents: int
    triggers: int
    resolves: int
    attempts: int
    """Messages that arrived, repeated ones included."""
    out_of_order: int
    """Keys at which a resolve came before its trigger, or two triggers without a resolve between."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(["postgres", "disk"]))
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--faults", default=1_000, show_default=True, help="How many faults begin.")
@click.option("--long/--no-long", default=True, help="Whether one outage lasts five minutes, one a minute.")
@click.option("--seed", default=0, show_default=True, help="Seed of the times.")
def main(names: tuple[str, ...], smoke: bool, faults: int, seed: int, long: bool) -> None:
    """Count what kills and outages lose or double."""
    chosen = names or (("postgres",) if smoke else tuple(DATABASES))
    each = 5 if smoke else max(1, faults // len(chosen))
    are_right = []
    for name in chosen:
        folder = tempfile.TemporaryDirectory(prefix="tastemaker-watch-")
        with folder as home, watched_page() as page, DATABASES[name](Path(home)) as (database, url):
            with WatchProcess(Path(home) / "disk" / "home", page, database_url=url) as watch:
                outages = _timestamps(random.Random(seed), () if smoke or not long else LONG)
                events = disturb(page, watch, database, each, outages, random.Random(seed))
                wait_for_the_end(page, url)
            counts = count(page, url)
        click.echo(f"{name:<12} {each} faults")
        for label, number in {**events, **counts._asdict()}.items():
            click.echo(f"  {label:<12} {number}")
        are_right.append(counts.incidents == counts.triggers == counts.resolves and not counts.out_of_order)
        click.echo("  each incident has one trigger and one resolve" if are_right[-1] else "  NOT EQUAL")
        if missing := [event for event, times in events.items() if not times and not smoke]:
            are_right.append(False)
            click.echo(f"  TOO SHORT: no {', '.join(missing)}")
    sys.exit(0 if all(are_right) else 1)


class SmallDisk:
    """A disk that is full while it is stopped."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "full.bin"

    @property
    def is_running(self) -> bool:
        """Whether there is room."""
        return not self._file.exists()

    def stop(self) -> None:
        """Fill the disk to the last byte."""
        with suppress(OSError), self._file.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))

    def start(self) -> None:
        """Free it."""
        self._file.unlink()


@contextmanager
def on_postgres(folder: Path) -> Iterator[tuple[Database, str]]:
    """Yield a server of its own, and a database's URL."""
    with postgres() as (server, url):
        yield server, f"{url}/postgres"


@contextmanager
def on_a_small_disk(folder: Path) -> Iterator[tuple[Database, str]]:
    """Yield a disk that has the home folder, and the URL of a SQLite file there."""
    with mounted(folder / "disk", "32m") as disk:
        yield SmallDisk(disk), f"sqlite:///{disk / 'watch.db'}"


DATABASES = {"postgres": on_postgres, "disk": on_a_small_disk}


def disturb(
    page: WatchedPage,
    watch: WatchProcess,
    server: Database,
    faults: int,
    disturbances: Iterator[tuple[str, float]],
    rng: random.Random,
) -> dict[str, int]:
    """Begin and end faults, and kill and stop what the watch needs; return how often."""
    series = [f'tastemaker_fault{{model="{number}"}}' for number in range(MODELS)]
    page.gauges |= dict.fromkeys(series, 0.0)
    events = {"kills": 0, "outages": 0, "hangs": 0, "stops": 0}
    time.sleep(5)
    ends: dict[str, float] = {}
    following = time.monotonic() + rng.uniform(5, 15)
    back = float("inf")
    begun = 0
    while begun < faults or ends:
        now = time.monotonic()
        quiet = [one for one in series if one not in ends]
        if begun < faults and quiet:
            chosen = rng.choice(quiet)
            page.gauges[chosen], ends[chosen] = 1.0, now + rng.uniform(3, 12)
            begun += 1
        for one in [one for one, end in ends.items() if end <= now]:
            page.gauges[one] = 0.0
            del ends[one]
        if now > back:
            back = float("inf")
            end_outage(page, server)
        elif now > following and back == float("inf"):
            event, seconds = next(disturbances)
            events[event] += 1
            following = now + seconds + rng.uniform(3, 12)
            if event == "kills":
                watch.kill()
                watch.start()
            else:
                back = now + seconds
                if event == "outages":
                    page.status = 500
                elif event == "hangs":
                    page.hang.clear()
                else:
                    server.stop()
        time.sleep(rng.uniform(*STEP_SECONDS))
    end_outage(page, server)
    return events


def end_outage(page: WatchedPage, server: Database) -> None:
    """Let the receiver answer and the database run."""
    page.status = 202
    page.hang.set()
    if not server.is_running:
        server.start()


def _timestamps(rng: random.Random, first: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield what is disturbed, and for how many seconds."""
    yield from first
    while True:
        event = rng.choice(["kills", "kills", "outages", "hangs", "stops"])
        yield event, rng.uniform(3, 25)


def wait_for_the_end(page: WatchedPage, url: str) -> None:
    """Wait until no incident is open and nothing more arrives."""
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        before = len(page.notifications)
        time.sleep(10)
        counts = count(page, url)
        is_equal = counts.incidents == counts.triggers == counts.resolves
        if is_equal and len(page.notifications) == before:
            return


def count(page: WatchedPage, url: str) -> Counts:
    """Return what was counted."""
    engine = open_engine(url)
    incidents = len(records.incidents(engine, only_open=False, limit=1_000_000))
    engine.dispose()
    distinct = page.distinct()
    by_key: dict[str, list[str]] = {}
    for one in distinct:
        by_key.setdefault(one["key"], []).append(one["event"])
    wrong = sum(events != ["trigger", "resolve"] * (len(events) // 2) for events in by_key.values())
    triggers = sum(one["event"] == "trigger" for one in distinct)
    return Counts(incidents, triggers, len(distinct) - triggers, len(page.notifications), wrong)


if __name__ == "__main__":
    main()
