"""Whether a healthy day pages: quiet nights, a training, deployments, a restart of the watch.

    python benchmarks/healthy_day.py                       records for five minutes, then replays a day
    python benchmarks/healthy_day.py --plant nan           with a fault at 14:00, which must page

A real service is scraped under real traffic at several rates, at rest, beside a real training, and while its
version is replaced; its restart is timed. From these scrapes a day is put together (`support.replayed_days`)
and shown to the real watch, with the real rules, state machine and archive, on a simulated clock. The same
day a week before is in the archive.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.replayed_days import (
    HOUR,
    MINUTE,
    STEP_SECONDS,
    DayPlan,
    Page,
    Plant,
    Recorded,
    ReplayedDay,
    parsed,
)
from support.shop_homes import make_shop_home, register_again
from support.visited_service import BIN, Service, environment, served
from tastemaker.registry import deployment
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.watch.scrape import ScrapeError, Scraper

MODEL = "popularity"
SCRAPER = Scraper()
RATES = {"peak": "40", "day": "15", "low": "1"}
"""Visits per second; a visit sends several requests."""
TRAINING = """
from tastemaker import fit, load, split
parts = split(load("simulated", n_users=3000, n_items=2000, n_days=120, events_per_day=3000, seed=1))
while True:
    fit("ials", parts)
"""
REGIMES = (
    (0.0, "low"), (2 * HOUR, "night"), (3 * HOUR, "training"), (3 * HOUR + 40 * MINUTE, "night"),
    (4.5 * HOUR, "low"), (8 * HOUR, "day"), (18 * HOUR, "peak"), (21 * HOUR, "day"), (23 * HOUR, "low"),
)  # fmt: skip
TRAINED = 3 * HOUR + 40 * MINUTE


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--seconds", default=30.0, show_default=True, help="How long each regime is recorded.")
@click.option("--plant", type=click.Choice(["nan", "errors"]), help="A fault at 14:00, for five minutes.")
def main(smoke: bool, seconds: float, plant: str | None) -> None:
    """Record a service, replay a day, and print what fired."""
    length, spacing = (10 * MINUTE, 0.5) if smoke else (24 * HOUR, STEP_SECONDS)
    with tempfile.TemporaryDirectory(prefix="tastemaker-day-") as folder:
        recorded, down_seconds = record(Path(folder) / "home", round(seconds / STEP_SECONDS), spacing)
        failed = sum(page is None for pages in recorded.regimes.values() for page in pages)
        click.echo(
            f"recorded: {len(recorded.regimes)} regimes, {failed} scrapes failed; a restart took "
            f"{down_seconds:.1f} s"
        )
        plan = DayPlan(
            REGIMES,
            swaps=(TRAINED + MINUTE, 15 * HOUR),
            restarts=(10 * HOUR, 16 * HOUR, 20 * HOUR),
            down_seconds=down_seconds,
            watch_restarts=(12 * HOUR, 19 * HOUR),
            trained_at=TRAINED,
            plants={} if plant is None else {(14 * HOUR, 14 * HOUR + 5 * MINUTE): PLANTS[plant]},
        )
        midnight = (datetime.now(UTC) - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        engine = open_engine(Settings(home=Path(folder) / "watch").metadata_url)
        day = ReplayedDay(Path(folder) / "watch", engine, recorded, plan, midnight.timestamp())
        if not smoke:
            day.precede(7)
        found = day.run(length)
        engine.dispose()
    for one in reversed(found):
        click.echo(f"{one.severity:<7} {one.opened_at:%H:%M:%S}  {one.rule}: {one.summary}")
    pages = sum(one.severity == "page" for one in found)
    click.echo(
        f"{length / HOUR:.1f} hours, {length / STEP_SECONDS:,.0f} scrapes: {pages} pages, "
        f"{len(found) - pages} tickets"
    )
    sys.exit(0 if bool(pages) == (plant is not None) else 1)


def record(home: Path, steps: int, spacing: float) -> tuple[Recorded, float]:
    """Scrape a real service in each regime.

    Args:
        home: Its home folder.
        steps: How many steps of each regime.
        spacing: Seconds between two scrapes.

    Returns:
        The pages, and how many seconds a restart takes.
    """
    first = make_shop_home(home)[MODEL]
    second = register_again(home, MODEL)
    deployment.deploy(Settings(home=home).artifacts, MODEL, first.id, first.problem)
    regimes: dict[str, list[Page | None]] = {}
    command, more = ["tastemaker", "serve", MODEL], {"TASTEMAKER_VERSION": ""}
    with served(home, first, command=command, more=more) as service:
        for name, rate in RATES.items():
            with _traffic(home, service, rate, spacing):
                regimes[name] = _scrapes(service, steps, spacing)
        regimes["night"] = _scrapes(service, steps, spacing)
        with _traffic(home, service, RATES["low"], spacing), _training(home):
            time.sleep(3 * spacing)  # until it has read its data
            regimes["training"] = _scrapes(service, steps, spacing)
        with _traffic(home, service, RATES["day"], spacing):
            regimes["swap"] = _scrapes(service, 1, spacing)
            deployment.deploy(Settings(home=home).artifacts, MODEL, second.id, second.problem)
            regimes["swap"] += _scrapes(service, steps, spacing)
    began = time.monotonic()
    with served(home, first, command=command, more=more):
        down_seconds = time.monotonic() - began
    return Recorded(regimes, first.id, second.id), down_seconds


def _scrapes(service: Service, steps: int, spacing: float) -> list[Page | None]:
    return [_scrape(service, spacing) for _ in range(steps + 1)]


def _scrape(service: Service, spacing: float) -> Page | None:
    """Return the page after a step; None where the service does not answer as soon as the watch needs."""
    began = time.monotonic()
    page = SCRAPER.pages([service.url], 0.8 * STEP_SECONDS)[service.url]
    time.sleep(max(0.0, spacing - (time.monotonic() - began)))
    return None if isinstance(page, ScrapeError) else parsed(page)


@contextmanager
def _traffic(home: Path, service: Service, rate: str, spacing: float) -> Iterator[None]:
    words = [
        str(BIN / "tastemaker"),
        "simulate",
        service.url,
        "--for",
        "1h",
        "--rate",
        rate,
        "--at-once",
        "16",
    ]
    with _running(words, home):
        time.sleep(2 * spacing)
        yield


@contextmanager
def _training(home: Path) -> Iterator[None]:
    """Train again and again, on all processors."""
    with _running([sys.executable, "-c", TRAINING], home):
        yield


@contextmanager
def _running(words: list[str], home: Path) -> Iterator[None]:
    process = subprocess.Popen(
        words, cwd=home, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _nan(rises: dict[str, float]) -> None:
    """Take a tenth of the lists from the model."""
    for series in [
        one for one in rises if one.startswith("tastemaker_answers_total{") and 'reason="none"' in one
    ]:
        moved = 0.1 * rises[series]
        rises[series] -= moved
        other = series.replace('reason="none"', 'reason="model_invalid"')
        rises[other] = rises.get(other, 0.0) + moved


def _errors(rises: dict[str, float]) -> None:
    """Let a twentieth of the requests fail."""
    for series in [
        one for one in rises if one.startswith("tastemaker_requests_total{") and 'status="200"' in one
    ]:
        moved = 0.05 * rises[series]
        rises[series] -= moved
        other = series.replace('status="200"', 'status="500"')
        rises[other] = rises.get(other, 0.0) + moved


PLANTS: dict[str, Plant] = {"nan": _nan, "errors": _errors}


if __name__ == "__main__":
    main()
