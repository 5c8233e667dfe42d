"""Whether kills and outages lose or double a message of `tastemaker watch`.

    python benchmarks/watch_faults.py                    a thousand faults on Postgres, about 15 minutes
    python benchmarks/watch_faults.py --faults 100

A page of metrics shows faults of many models, each for some seconds. Meanwhile the watch is killed with -9 at
random moments, the receiver answers 500 or hangs for a while, and the database is stopped. In the end every
incident must have one trigger and one resolve at the receiver, each identity counted once, in that order.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.servers import Server, postgres
from support.watched_pages import WatchedPage, WatchProcess, watched_page
from tastemaker.storage.engine import open_engine
from tastemaker.watch import records

MODELS = 40
END_SECONDS = 180.0


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
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--faults", default=1_000, show_default=True, help="How many faults begin.")
@click.option("--seed", default=0, show_default=True, help="Seed of the moments.")
def main(smoke: bool, faults: int, seed: int) -> None:
    """Count what kills and outages lose or double."""
    rng = random.Random(seed)
    folder = tempfile.TemporaryDirectory(prefix="tastemaker-watch-")
    with folder as home, watched_page() as page, postgres() as (server, url):
        database_url = f"{url}/postgres"
        with WatchProcess(Path(home) / "home", page, database_url=database_url) as watch:
            events = disturb(page, watch, server, 5 if smoke else faults, rng)
            wait_for_the_end(page, database_url)
        counts = count(page, database_url)
    click.echo(f"faults       {5 if smoke else faults}")
    for name, number in events.items():
        click.echo(f"{name:<12} {number}")
    for name, number in counts._asdict().items():
        click.echo(f"{name:<12} {number}")
    is_right = counts.incidents == counts.triggers == counts.resolves and not counts.out_of_order
    click.echo("each incident has one trigger and one resolve" if is_right else "NOT EQUAL")
    sys.exit(0 if is_right else 1)


def disturb(
    page: WatchedPage, watch: WatchProcess, server: Server, faults: int, rng: random.Random
) -> dict[str, int]:
    """Begin and end faults, and kill and stop what the watch needs; return how often."""
    series = [f'tastemaker_fault{{model="{number}"}}' for number in range(MODELS)]
    page.gauges |= dict.fromkeys(series, 0.0)
    events = {"kills": 0, "outages": 0, "hangs": 0, "stops": 0}
    time.sleep(5)
    ends: dict[str, float] = {}
    disturbances = _moments(rng)
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
        time.sleep(rng.uniform(0.1, 0.7))
    end_outage(page, server)
    return events


def end_outage(page: WatchedPage, server: Server) -> None:
    """Let the receiver answer and the database run."""
    page.status = 202
    page.hang.set()
    if not server.is_running:
        server.start()


def _moments(rng: random.Random) -> Iterator[tuple[str, float]]:
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
