"""Days of a shop before the watch: what drift and rewards need, which compare a day with weeks before it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
from fault_worlds import World

from support.drift_worlds import PROBLEM, DriftWorld
from tastemaker.monitoring.lake_queries import record_lake
from tastemaker.monitoring.rewards import store_reward_figures
from tastemaker.settings import Settings
from tastemaker.simulator.shop.shifts import Shift, ShiftKind

LEARNED_DAYS, HEALTHY_NIGHTS, FAULTY_NIGHTS = 43, 6, 2
DAYS = HEALTHY_NIGHTS + FAULTY_NIGHTS
PROBLEM_TEXT = (
    f"name: {PROBLEM.name}\nobjectives: [{{name: interest, events: {{view: {{}}, purchase: {{}}}}}}]\n"
)


def serve_days(*shifts: Shift) -> Callable[[World], None]:
    """Return what serves a shop on healthy days, the last of which ends with a report; no process runs."""

    def run(world: World) -> None:
        world.home.mkdir(parents=True)
        (world.home / "problem.yaml").write_text(PROBLEM_TEXT, "utf-8")
        days = world.days = DriftWorld(
            world.home, learned_days=LEARNED_DAYS, days=DAYS, shifts=shifts, n_users=600, n_items=200,
            events_per_day=900, dated=datetime.now(UTC).date() - timedelta(days=LEARNED_DAYS + DAYS),
        )  # fmt: skip
        for _ in range(HEALTHY_NIGHTS):
            days.night()
        _record(world)

    return run


def shifted(kind: ShiftKind, size: float) -> Shift:
    """Return a shift that begins after the healthy days."""
    return Shift(kind=kind, day=LEARNED_DAYS + HEALTHY_NIGHTS, size=size)


def serve_faulty_days(world: World) -> None:
    """Serve and report on the days with a shift."""
    for _ in range(FAULTY_NIGHTS):
        world.days.night()
    _record(world)


def lose_events(share: float) -> Callable[[World], None]:
    """Return what serves the other days, of whose events a share is not reported."""

    def run(world: World) -> None:
        days = world.days
        for _ in range(FAULTY_NIGHTS):
            day = days.date
            days.serve(days.version)
            (rows,) = days.shop.read([day])
            days.land()
            kept = np.random.default_rng(0).random(len(rows)) >= share
            days.lake.write_day("events", day, rows.filter(kept))
        _record(world)

    return run


def _record(world: World) -> None:
    """Store what the nightly run stores of rewards and of the lake."""
    store_reward_figures(world.days.lake, PROBLEM, world.days.engine)
    record_lake(Settings(home=world.home))
