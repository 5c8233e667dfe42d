"""A random shop whose users are in an experiment, with the log's ugly parts, and the units' truth by loops.

Lists are logged twice, clocks jump, users come back in the other variant, events are reported twice, too late
or from the future, and come with or without the request that showed the item, or without any list.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from support.product_homes import ProductWorld
from tastemaker.event_log.records import Assignment, FeedbackRecord, Item, Record
from tastemaker.problem import ProblemSpec

DAY = 86_400.0
START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
"""The experiment's start."""
EXPERIMENT = "ranker_b"
VARIANTS = ("A", "B")
VERSIONS = {"A": "r1", "B": "r2"}
K, ITEM_COUNT = 4, 12


def make_experiment_world(
    users: int = 60, days: int = 20, *, seed: int = 0, unit: str = "user"
) -> ProductWorld:
    """Return the rows of so many users, who come before and after the experiment's start.

    Args:
        users: Number of users.
        days: Days of the experiment; there are ten before it.
        seed: Seed of everything.
        unit: What is assigned: user, device, session or request.
    """
    rng = np.random.default_rng(seed)
    world = ProductWorld()
    for user in range(users):
        visits = np.sort(rng.uniform(-10, days, int(rng.integers(1, 9))))
        for at in (START + visits * DAY).tolist():
            _visit(world, rng, f"u{user:03d}", float(np.round(at, 3)), unit)
    # Some requests are logged again, later: the first counts.
    for record in list(world.requests[::7]):
        world.requests.append(msgspec.structs.replace(record, occurred_at=record.occurred_at + 5, items=[]))
    return world


def _visit(world: ProductWorld, rng: np.random.Generator, user: str, at: float, unit: str) -> None:
    number = len(world.requests)
    device = f"{user}-d{rng.integers(2)}"
    named = {"user": user, "device": device, "session": f"s{number // 2}", "request": f"{number:032x}"}[unit]
    home = "AB"[sum(map(ord, named)) % 2]
    variant = home if rng.random() < 0.93 else "AB"[1 - "AB".index(home)]
    is_forced = rng.random() < 0.05
    assignment = Assignment(
        EXPERIMENT,
        0,
        variant,
        None if is_forced else 0.5,
        variant,
        "p1" if at < START + 6 * DAY else "p2",
        named,
    )
    shown = rng.choice(ITEM_COUNT, int(rng.integers(0, K + 1)), replace=False)
    record = Record(
        request_id=f"{number:032x}",
        occurred_at=at,
        user_id=user,
        k=K,
        model="ranker",
        version=VERSIONS[variant] if rng.random() < 0.9 else "r0",
        items=[Item(f"i{one:02d}", 1.0, 1.0) for one in shown],
        latency_ms=float(rng.uniform(1, 200)),
        fallback="model_timeout" if rng.random() < 0.1 else None,
        assignment=assignment if at >= START else None,
    )
    world.requests.append(record)
    for _ in range(int(rng.integers(0, 4))):
        _act(world, rng, record)


def _act(world: ProductWorld, rng: np.random.Generator, request: Record) -> None:
    after = float(np.round(rng.choice([-3_000, -200, 60, 5_000, 200_000, 400_000]) + rng.uniform(0, 50), 3))
    kind = str(rng.choice(["click", "purchase", "return", "view", "impression"], p=[0.4, 0.3, 0.1, 0.1, 0.1]))
    at = request.occurred_at + after
    if rng.random() < 0.25:
        world.visits.append((request.user_id, datetime.fromtimestamp(at, UTC), kind))
        return
    names_request = rng.random() < 0.7 and bool(request.items)
    item = str(rng.choice([one.item_id for one in request.items])) if request.items else "i00"
    event = FeedbackRecord(
        f"f{len(world.feedback)}", item, kind, float(rng.integers(1, 5)), at,
        at + float(rng.choice([2, 3_600, -50])), None if names_request else request.user_id,
        request.request_id if names_request else None,
    )  # fmt: skip
    world.feedback.append(event)
    if rng.random() < 0.1:  # reported again, with another value
        world.feedback.append(msgspec.structs.replace(event, received_at=event.received_at + 9, value=99.0))


class TrueEvent(NamedTuple):
    """An event that counts once."""

    at: float
    user: str | None
    item: str
    kind: str
    value: float
    request: str | None
    delay: float | None = None
    """Seconds until a caller reported it; None: a source has it."""


@dataclass
class TrueUnit:
    """A unit, as loops over the rows find it."""

    variant: str
    exposed_at: float
    plan: str
    is_crossed: bool = False
    users: set[str] = field(default_factory=set)
    figures: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    days: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """Reward by day."""


class UnitTruth:
    """All units of the experiment."""

    def __init__(
        self, world: ProductWorld, problem: ProblemSpec, unit: str, window: float, before: float, now: float
    ) -> None:
        self.problem, self.unit, self.window, self.before, self.now = problem, unit, window, before, now
        self.requests: dict[str, Record] = {}
        for record in sorted(world.requests, key=lambda one: one.occurred_at):
            self.requests.setdefault(record.request_id, record)
        self.events = list(self._events(world))
        self.types = {name for one in problem.objectives for name in one.events}
        self.until = self._until()
        self.units = self._units()
        for unit_name, unit_found in self.units.items():
            self._fill(unit_name, unit_found)

    def _events(self, world: ProductWorld) -> Iterator[TrueEvent]:
        seen = set()
        for one in sorted(world.feedback, key=lambda event: (event.received_at, event.event_id)):
            if one.event_id not in seen:
                seen.add(one.event_id)
                named = self.requests.get(one.request_id or "")
                user = one.user_id or (named.user_id if named else None)
                at = min(one.occurred_at, one.received_at)
                delay = one.received_at - at
                yield TrueEvent(at, user, one.item_id, one.event_type, one.value, one.request_id, delay)
        for user, timestamp, kind in world.visits:
            yield TrueEvent(timestamp.timestamp(), user, "i00", kind, 1.0, None)

    def _until(self) -> float:
        """Return until when each type has arrived, from a source and from callers."""
        rewarded = [one for one in self.events if one.kind in self.types and one.at <= self.now]
        newest = {
            is_reported: max(
                (one.at for one in rewarded if (one.delay is not None) is is_reported), default=-math.inf
            )
            for is_reported in (False, True)
        }
        reached: dict[str, list[float]] = defaultdict(list)
        for kind in self.types:
            for is_reported in (False, True):
                mine = [
                    one for one in rewarded if one.kind == kind and (one.delay is not None) is is_reported
                ]
                last = max((one.at for one in mine), default=-math.inf)
                lately = sorted((one.at, one.delay or 0.0) for one in mine if one.at >= last - 28 * DAY)
                gap = max((after - before for (before, _), (after, _) in pairwise(lately)), default=0.0)
                is_excused = gap >= max(DAY, newest[is_reported] - last) and all(
                    delay <= 600 for _, delay in lately
                )
                until = newest[is_reported] if is_excused else last
                if mine and max(newest.values()) - until <= 7 * DAY:
                    reached[kind].append(until)
        return min((min(both) for both in reached.values()), default=-math.inf)

    def _exposures(self) -> list[tuple[float, str, str, Record]]:
        return sorted(
            (
                (one.occurred_at, one.request_id, one.assignment.unit or "", one)
                for one in self.requests.values()
                if one.assignment is not None
                and one.assignment.probability is not None
                and one.occurred_at < self.now
            ),
            key=lambda one: one[:2],
        )

    def _units(self) -> dict[str, TrueUnit]:
        found: dict[str, TrueUnit] = {}
        seen_by_user: dict[str, set[str]] = defaultdict(set)
        for at, _, name, record in self._exposures():
            assert record.assignment is not None
            variant = record.assignment.variant
            one = found.setdefault(name, TrueUnit(variant, at, record.assignment.plan or ""))
            one.users.add(record.user_id)
            one.is_crossed |= variant != one.variant
            seen_by_user[record.user_id].add(variant)
        if self.unit == "device":
            for one in found.values():
                one.is_crossed |= any(len(seen_by_user[user]) > 1 for user in one.users)
        return found

    def _worth(self, kind: str, value: float) -> float:
        return sum(
            one.share * one.events[kind].weight * (value if one.events[kind].by_value else 1)
            for one in self.problem.objectives
            if kind in one.events
        )

    def _fill(self, name: str, unit: TrueUnit) -> None:
        own = [
            record
            for _, _, of, record in self._exposures()
            if of == name and record.occurred_at < unit.exposed_at + self.window
        ]
        is_known = False
        for at, user, _, kind, value, request, _ in self.events:
            if kind not in self.types or user not in unit.users or at >= self.until:
                continue
            named = self.requests.get(request or "")
            if named is not None and named.occurred_at - 600 <= at <= named.occurred_at:
                at = named.occurred_at
            since = at - unit.exposed_at
            if -self.before <= since < 0:
                unit.figures["reward_before"] += self._worth(kind, value)
                is_known = True
            elif 0 <= since < self.window and self.unit in ("user", "device"):
                self._add(unit, since, kind, self._worth(kind, value))
        for record in self.requests.values():
            if record.user_id in unit.users and 0 < unit.exposed_at - record.occurred_at <= self.before:
                unit.figures["lists_before"] += 1
                is_known = True
        unit.figures["is_unknown"] = float(not is_known)
        for record in own:
            self._add_list(unit, record)

    def _add(self, unit: TrueUnit, since: float, kind: str, worth: float) -> None:
        unit.figures["reward"] += worth
        unit.figures[f"events_{kind}"] += 1
        unit.days[int(since // DAY)] += worth
        if self._worth(kind, 1.0) > 0:
            unit.figures["is_active"] = 1.0

    def _add_list(self, unit: TrueUnit, record: Record) -> None:
        figures = unit.figures
        assert record.latency_ms is not None
        figures["lists"] += 1
        figures["items"] += len(record.items)
        figures["fallback_lists"] += record.fallback is not None
        figures["empty_lists"] += not record.items
        figures["short_lists"] += len(record.items) < record.k
        figures["slow_lists"] += np.float32(record.latency_ms) > 100
        figures["wrong_version_lists"] += record.version != VERSIONS[unit.variant]
        rewarded = set()
        for at, user, item, kind, value, request, _ in self.events:
            if (
                at >= self.until
                or kind not in self.types
                or self._cause(at, user, item, request) is not record
            ):
                continue
            delay = at - record.occurred_at
            if request is not None and -600 <= delay <= 0:
                delay = 0.0
            since = record.occurred_at + delay - unit.exposed_at
            worth = 0.0
            for objective in self.problem.objectives:
                reward = objective.events.get(kind)
                if reward is not None and 0 <= delay <= reward.window_days * DAY:
                    worth += objective.share * reward.weight * (value if reward.by_value else 1)
            if worth == 0.0 or since >= self.window:
                continue
            figures["list_reward"] += worth
            if worth > 0:
                rewarded.add(item)
            if self.unit in ("session", "request"):
                self._add(unit, since, kind, worth)
        figures["rewarded_items"] += len(rewarded)
        figures["rewarded_lists"] += bool(rewarded)

    def _cause(self, at: float, user: str | None, item: str, request: str | None) -> Record | None:
        if request is not None:
            named = self.requests.get(request)
            return named if named is not None and item in {one.item_id for one in named.items} else None
        shown = [
            one
            for one in self.requests.values()
            if one.user_id == user
            and one.occurred_at <= at
            and item in {thing.item_id for thing in one.items}
        ]
        return max(shown, key=lambda one: one.occurred_at, default=None)
