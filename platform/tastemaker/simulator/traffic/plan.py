"""How much traffic, for how long, and when each visit begins."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from tastemaker.simulator.shop.random_streams import Stream, stream
from tastemaker.simulator.traffic.fault_injection import Faults


@dataclass(frozen=True)
class Plan:
    """The amount and the duration of simulated traffic, and its faults."""

    run: str
    """Begins every event id: must differ from run to run."""
    seconds: float | None = None
    """No visit begins later than this; None: until `visits`."""
    visits: int | None = None
    rate: float | None = None
    """Visits a second, as a Poisson process; None: as fast as `at_once` visits can."""
    at_once: int = 32
    """The maximal number of concurrent visits."""
    k: int = 10
    retry_seconds: float = 15.0
    """Seconds for which a client repeats events that are not acknowledged."""
    new_items: bool = False
    """Launch and withdraw items through /items as the shop's days go by."""
    faults: Faults = field(default_factory=Faults)


class Pacer:
    """A clock that decides when visits begin.

    Args:
        plan: Limits the time and the number of visits, and has their rate.
        seed: Of the times between visits, where the plan has a rate.
    """

    def __init__(self, plan: Plan, seed: int) -> None:
        self._plan = plan
        self._rng = stream(seed, Stream.LIVE_ARRIVALS)
        self._due = 0.0
        self.begun = 0
        self.closed = False
        """Whether new visits have stopped."""
        self.start()

    def start(self) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def share_done(self) -> float:
        """Share of the time or of the visits that is done, whichever is greater, from 0 to 1."""
        by_time = self.seconds / self._plan.seconds if self._plan.seconds else 0.0
        by_visits = self.begun / self._plan.visits if self._plan.visits else 0.0
        return min(1.0, max(by_time, by_visits))

    async def next(self) -> bool:
        """Wait until the next visit is due. Return False if no further visit may begin."""
        if self.closed or (self._plan.visits is not None and self.begun >= self._plan.visits):
            return False
        if self._plan.rate is not None:
            self._due += float(self._rng.exponential(1 / self._plan.rate))
        ends = self._plan.seconds
        if ends is not None and max(self._due, self.seconds) >= ends:
            return False
        self.begun += 1
        if (early := self._due - self.seconds) > 0:
            await asyncio.sleep(early)
        return not self.closed
