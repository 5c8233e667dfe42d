"""Days of a service, put together from recorded scrapes, before the real watch on a simulated clock.

What rose between two recorded scrapes rises again, and gauges have the values of the later one. So the day
has the noise of a real service; when it is quiet, trained, deployed or restarted is its plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from tastemaker.alerting.rules import all_rules
from tastemaker.settings import Settings
from tastemaker.watch import records
from tastemaker.watch.clock import AscendingClock
from tastemaker.watch.scrape import ScrapeError, Scraper
from tastemaker.watch.signed_links import SignedLinks
from tastemaker.watch.watcher import Watcher
from tastemaker.watch_settings import WatchSettings

HOUR, MINUTE = 3_600.0, 60.0
DAY = 24 * HOUR
STEP_SECONDS = 5.0
ADDRESS = "http://shop:3000"
COUNTERS = ("_total", "_bucket", "_count", "_sum")
Page = Mapping[str, float]
"""Series -> value."""
Plant = Callable[[dict[str, float]], None]
"""Changes what rises in a step: a fault."""


def parsed(text: str) -> Page:
    """The series of a page in Prometheus' text format."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def is_counter(series: str) -> bool:
    return series.partition("{")[0].endswith(COUNTERS)


class ReplayedService:
    """A service whose page grows by recorded steps."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._counters: dict[str, float] = {}
        self._gauges: dict[str, float] = {}

    def restart(self) -> None:
        """Begin to count at 0, as a new process does."""
        self._counters = dict.fromkeys(self._counters, 0.0)

    def step(self, before: Page, after: Page, names: Mapping[str, str], plant: Plant | None = None) -> None:
        """Let happen what happened between two recorded pages.

        Args:
            before: The earlier page.
            after: The later one.
            names: Recorded version -> its name here.
            plant: A fault.
        """
        rises = {
            _renamed(series, names): max(0.0, value - before.get(series, 0.0))
            for series, value in after.items()
            if is_counter(series)
        }
        if plant is not None:
            plant(rises)
        for series, rise in rises.items():
            self._counters[series] = self._counters.get(series, 0.0) + rise
        self._gauges = {
            _renamed(series, names): value for series, value in after.items() if not is_counter(series)
        }

    def page(self) -> str:
        """The page in Prometheus' text format."""
        return "".join(f"{series} {value!r}\n" for series, value in (self._counters | self._gauges).items())


def _renamed(series: str, names: Mapping[str, str]) -> str:
    for recorded, name in names.items():
        series = series.replace(f'version="{recorded}"', f'version="{name}"')
    return series


class SimulatedClock(AscendingClock):
    """A clock that is set."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at

    def now(self) -> float:
        return self.at


class ReplayScraper(Scraper):
    """Returns the replayed service's page, or that it does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.page: str | ScrapeError = ScrapeError("not started")

    def pages(self, addresses: Iterable[str], seconds: float) -> Mapping[str, str | ScrapeError]:
        return dict.fromkeys(addresses, self.page)


@dataclass(frozen=True)
class DayPlan:
    """What happens in a day; times in seconds after midnight UTC."""

    regimes: Sequence[tuple[float, str]]
    """From when on which recorded regime is replayed, ascending."""
    swaps: tuple[float, ...] = ()
    """When the served version is replaced by a new one."""
    restarts: tuple[float, ...] = ()
    down_seconds: float = 10.0
    """For how long a restarted service does not answer."""
    watch_restarts: tuple[float, ...] = ()
    trained_at: float | None = None
    """When the nightly run ends."""
    plants: Mapping[tuple[float, float], Plant] = field(default_factory=dict)
    """Begin and end of faults."""

    def regime(self, at: float) -> str:
        """The regime at a time of the day."""
        return [name for begin, name in self.regimes if begin <= at][-1]


@dataclass(frozen=True)
class Recorded:
    """Scrapes of a real service, STEP_SECONDS apart."""

    regimes: Mapping[str, Sequence[Page | None]]
    """Regime -> pages in their order; None where the service did not answer in time.
    `swap` has one change of the version."""
    version: str
    """The version that is served in all but the end of `swap`."""
    next_version: str = ""


class ReplayedDay:
    """The real watch, from midnight to midnight."""

    def __init__(
        self, home: Path, engine: Engine, recorded: Recorded, plan: DayPlan, midnight: float
    ) -> None:
        self._settings = Settings(home=home, watch=WatchSettings(targets=(ADDRESS,)))
        self._engine, self._recorded, self._plan = engine, recorded, plan
        self._midnight, self._random = midnight, random.Random(0)
        self._clock, self._scraper = SimulatedClock(midnight), ReplayScraper()
        self._service = ReplayedService("v1")
        self._swaps = self._place = 0
        self._answers = True
        self._facts_from = midnight - DAY

    def precede(self, days: float) -> None:
        """Let the same day pass so many days before, seen once a minute by a watch that keeps samples."""
        self._clock.at = self._midnight - days * DAY
        watch = self._watch()
        for minute in range(int(DAY / MINUTE)):
            self._clock.at += MINUTE
            for _ in range(int(MINUTE / STEP_SECONDS)):
                self._advance(minute * MINUTE, None)
            self._scraper.page = self._service.page()
            watch.scrape(self._clock.at)
            if minute % 60 == 0:
                watch.database.work()
                watch.archive_samples()
        watch.archive_samples()
        self._service.restart()
        self._clock.at = self._midnight

    def run(self, seconds: float = DAY, begin: float = 0.0) -> list[records.IncidentRecord]:
        """Let the day pass, and return the incidents that were opened."""
        watch = self._watch()
        self._clock.at = self._midnight + begin
        restarts, swaps = list(self._plan.restarts), list(self._plan.swaps)
        watch_restarts = list(self._plan.watch_restarts)
        for step in range(int(seconds / STEP_SECONDS)):
            at = begin + step * STEP_SECONDS
            self._clock.at = self._midnight + at
            if watch_restarts and at >= watch_restarts[0]:  # as after kill -9: nothing is written or released
                watch_restarts.pop(0)
                watch = self._watch()
            is_down = bool(restarts) and at >= restarts[0]
            if is_down and at >= restarts[0] + self._plan.down_seconds:
                restarts.pop(0)
                self._service.restart()
                is_down = False
            if swaps and at >= swaps[0]:
                swaps.pop(0)
                self._swap()
            self._advance(at, next((p for (a, b), p in self._plan.plants.items() if a <= at < b), None))
            is_down = is_down or not self._answers
            self._scraper.page = ScrapeError("no answer") if is_down else self._service.page()
            if step % 12 == 0:
                watch.collect_facts()
                watch.archive_samples()
                watch.measure()
            watch.tick()
            if step % 12 == 0 or watch.database.waiting:
                watch.database.work()
        return records.incidents(self._engine, only_open=False, days=400)

    def _watch(self) -> Watcher:
        watch = Watcher(
            self._settings, self._engine, all_rules(self._settings), {},
            services=list, facts=self._facts, links=SignedLinks("http://watch", b"k" * 32),
            clock=self._clock, scraper=self._scraper,
        )  # fmt: skip
        watch.database.work()
        return watch

    def _advance(self, at: float, plant: Plant | None) -> None:
        """Replay one step of the regime of a time."""
        if self._place > 0:
            self._replay("swap", len(self._recorded.regimes["swap"]) - self._place, plant)
            self._place -= 1
            if self._place == 0:
                self._service.version = f"v{self._swaps + 1}"
            return
        regime = self._plan.regime(at)
        self._replay(regime, self._random.randrange(1, len(self._recorded.regimes[regime])), plant)

    def _swap(self) -> None:
        self._swaps += 1
        self._place = len(self._recorded.regimes["swap"]) - 1

    def _replay(self, regime: str, number: int, plant: Plant | None) -> None:
        pages = self._recorded.regimes[regime]
        before, after = pages[number - 1], pages[number]
        if after is None or before is None:
            self._answers = after is not None
            return
        self._answers = True
        names = {self._recorded.version: self._service.version}
        if self._recorded.next_version:
            names[self._recorded.next_version] = f"v{self._swaps + 1}"
        self._service.step(before, after, names, plant)

    def _facts(self) -> str:
        """What the database says: all is well, and the nightly run renews it."""
        now, trained = self._clock.at, self._facts_from
        ended = self._plan.trained_at
        if ended is not None and now >= self._midnight + ended:
            trained = self._midnight
        job = trained + (ended or 0.0)
        version = f'model="faulty",version="{self._service.version}"'
        gauges = {
            'tastemaker_gate_passed{source="shop"}': 1.0,
            'tastemaker_gate_quarantined_ratio{source="shop"}': 0.01,
            'tastemaker_gate_quarantined_usual_ratio{source="shop"}': 0.01,
            'tastemaker_gate_quarantined_rows{source="shop"}': 30.0,
            'tastemaker_events_newest_timestamp_seconds{source="shop"}': trained - 1.0,
            f"tastemaker_version_data_end_timestamp_seconds{{{version}}}": trained,
            f"tastemaker_version_stale_after_seconds{{{version}}}": 7 * DAY,
            'tastemaker_job_succeeded_timestamp_seconds{job_name="everything"}': job,
            'tastemaker_job_failed{job_name="everything"}': 0.0,
            'tastemaker_fact_failed{subject="jobs"}': 0.0,
            "tastemaker_run_queue_runs": 0.0,
        }
        return "".join(f"{series} {value!r}\n" for series, value in gauges.items())
