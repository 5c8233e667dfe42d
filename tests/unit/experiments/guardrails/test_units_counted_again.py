"""What a guard counts from check to check is what one that starts now counts, whatever happened meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow.parquet import read_table

from support.request_logs import fill, request
from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import day_of
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Assignment, Record
from tastemaker.event_log.rows import request_rows
from tastemaker.event_log.spool_file import FILE_NAME, connected, rows_about_user
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.guardrails.serving_units import EpochQuery, ServingUnits, serving_units
from tastemaker.settings import Settings
from tastemaker.stats.unit_summary import UnitSummary

DAY, HOUR = 86_400.0, 3_600.0
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()
UNITS = [f"u{n}" for n in range(12)]


class ChangingLog:
    """A home whose log changes at random, and the query of a check, which changes, too."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.lake, self.rng = settings, Lake(settings.lake), random.Random(seed)
        self.number = 0
        self.query = EpochQuery("ranker", 0, {"a": "v1", "b": "v2"}, NOON)

    def records(self) -> list[Record]:
        """Some requests, a few of them at the same time, in the future, of other epochs, or days old."""
        rng, found = self.rng, list[Record]()
        for _ in range(rng.randint(1, 8)):
            self.number += 1
            variant, unit = rng.choice("ab"), rng.choice(UNITS)
            ago = rng.choice([0.0, 30.0, HOUR, DAY, 2 * DAY, 5 * DAY, -120.0, -HOUR])
            epoch = rng.choice([0, 0, 0, 1])
            assigned = Assignment("ranker", epoch, variant, served=variant, unit=unit, probability=0.5)
            more: dict[str, Any] = {
                "assignment": assigned,
                "user_id": unit,
                "occurred_at": self.query.now - ago,
            }
            more |= {"version": rng.choice(["v1", "v2"]), "latency_ms": rng.choice([1.0, 500.0, None])}
            more |= {"fallback": rng.choice([None, None, "model_error", "model_short"])}
            found.append(request(self.number, **more))
        return found

    def ask(self) -> None:
        """Log requests, one of them twice."""
        found = self.records()
        fill(self.settings.spool, [*found, *found[:1]])

    def drain(self) -> None:
        """Move them to the lake."""
        drain(self.settings.spool, self.lake)

    def ship(self) -> None:
        """Bring requests of some days to the lake as a file each, as from another machine."""
        by_day: dict[Any, list[Record]] = {}
        for one in self.records():
            by_day.setdefault(datetime.fromtimestamp(one.occurred_at, UTC).date(), []).append(one)
        for day, own in by_day.items():
            self.lake.write_day("requests", day, request_rows(own), part=f"shipped-{self.number}")

    def erase(self) -> None:
        """Rewrite every file that has a unit's requests without them."""
        unit = self.rng.choice(UNITS)
        for path in self.lake.files("requests"):
            rows = read_table(path)
            kept = rows.filter(pc.not_equal(rows["unit"], unit))
            if len(kept) < len(rows):
                self.lake.write_day("requests", day_of(path), kept, part=path.stem)

    def erase_undrained(self) -> None:
        """Delete a unit's requests from the spool."""
        path = self.settings.spool / FILE_NAME
        numbers = [(one.number,) for one in rows_about_user(path, [self.rng.choice(UNITS)])]
        with connected(path) as connection, connection:
            connection.executemany("DELETE FROM records WHERE number = ?", numbers)

    def delete(self) -> None:
        """Delete a file."""
        if paths := self.lake.files("requests"):
            self.rng.choice(paths).unlink()

    def move_clock(self) -> None:
        """Let time pass, or set the clock back."""
        self.query = self.query._replace(now=self.query.now + self.rng.choice([60.0, 300.0, HOUR, -HOUR]))

    def change_versions(self) -> None:
        """Expect another version of a variant, or none."""
        changed = {self.rng.choice("ab"): self.rng.choice(["v1", "v2", None])}
        self.query = self.query._replace(versions={**self.query.versions, **changed})

    def change_epoch(self) -> None:
        """Ask for the other epoch."""
        self.query = self.query._replace(epoch=1 - self.query.epoch)


def counted(requests: AssignedRequests, query: EpochQuery) -> ServingUnits:
    requests.read(NOON - 20 * DAY)
    return serving_units(requests.connection, query)


def in_order(units: ServingUnits) -> Iterator[tuple[str, str, UnitSummary]]:
    for found in (units.summaries, units.recent):
        yield from ((metric, name, found[metric][name]) for metric in found for name in sorted(found[metric]))


def assert_equal(kept: ServingUnits, full: ServingUnits) -> None:
    assert (kept.newest_at, kept.counts) == (full.newest_at, full.counts)
    for (*ours, mine), (*theirs, other) in zip(in_order(kept), in_order(full), strict=True):
        assert (ours, mine.n) == (theirs, other.n)
        np.testing.assert_allclose(mine.mean, other.mean, rtol=1e-12)
        np.testing.assert_allclose(mine.scatter, other.scatter, rtol=1e-9, atol=1e-9)


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_guard_that_runs_counts_what_a_new_one_counts(settings: Settings, seed: int) -> None:
    log = ChangingLog(settings, seed)
    steps: list[Callable[[], None]] = [log.ask, log.ask, log.drain, log.ship, log.move_clock]
    steps += [log.change_versions, log.change_epoch, log.erase_undrained]
    log.ask()
    with closing(AssignedRequests(settings)) as kept:
        for number in range(15):
            if number % 5 == 4:
                if log.rng.random() < 0.5:  # else it is drained and erased between two checks
                    counted(kept, log.query)
                log.drain()
                log.rng.choice([log.erase, log.delete])()
            else:
                log.rng.choice(steps)()
            with closing(AssignedRequests(settings)) as new:
                assert_equal(counted(kept, log.query), counted(new, log.query))


def test_only_units_with_other_requests_are_counted_again(settings: Settings) -> None:
    log = ChangingLog(settings, 0)
    log.ask()
    log.drain()
    with closing(AssignedRequests(settings)) as kept:
        counted(kept, log.query)
        kept.connection.execute("UPDATE counted_units SET newest_at = -1")
        untouched = "SELECT count(*) FROM counted_units WHERE newest_at = -1"
        before = kept.connection.execute(untouched).fetchall()[0][0]
        one = Assignment("ranker", 0, "a", served="a", unit="u0", probability=0.5)
        fill(settings.spool, [request(999, assignment=one, user_id="u0", occurred_at=NOON)])
        counted(kept, log.query)
        after = kept.connection.execute(untouched).fetchall()[0][0]
    assert before - after in (0, 1), "at most the unit of the new request"
    assert before > 1
