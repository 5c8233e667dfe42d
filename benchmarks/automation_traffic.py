"""The traffic of a simulated shop while experiments divide it: who is served what, the log of it, the guard.

Requests go where the plan in force sends them. Those of experiments are logged as the service would, with
clicks drawn by the true chances. Then the guard checks what is logged, and rollouts take the steps that are
due. What models learn from is a sample of the shop: each of its users stands for `PEOPLE` of the same tastes,
who are shown the same lists, but are assigned and click one by one.

Guard and rollouts look when a step has lasted as long as by the product's defaults, and an hour more, which
is how often the guard checks what users do. So no step is shorter than in production, and harm is found at
its end instead of in its course. Their clocks are the real one, by which a simulated day is some seconds
long: see `STEP_HOURS`. For this reason the log is in the lake only while they look: under all policies models
learn from what upstream has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from automation_shop import ChangingShop
from numpy.typing import NDArray

from tastemaker.controller.plan_routes import PlannedRoute, PlanRoutes
from tastemaker.data.lake import LOG_SCHEMAS
from tastemaker.data.tables import FEEDBACK, REQUESTS, SHADOW_ANSWERS, completed
from tastemaker.event_log.records import ASSIGNMENT_FIELDS, Assignment
from tastemaker.experiments.assignment import Units
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.guardrails.guard import REWARD_SECONDS, Guard
from tastemaker.experiments.guardrails.reward_units import RewardReader
from tastemaker.experiments.lifecycle.kills import PLAN
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.promotion_settings import PromotionSettings
from tastemaker.registry import Registry
from tastemaker.rollouts import store
from tastemaker.rollouts.pace import pace_of
from tastemaker.settings import Settings
from tastemaker.simulator.shop.shop import item_ids, user_ids
from tastemaker.workflows.rollouts import steps
from tastemaker.workflows.workspace import Workspace

STEP_HOURS = 1e-5
"""The shortest time of a step: more than a click takes, and less than the requests of a simulated hour."""
ROLLOUT = {"path": "rollout", "shadow_hours": STEP_HOURS, "step_hours": STEP_HOURS}
"""Settings of promotion."""
DAY_HOURS = 24.0
PEOPLE = 1_000
"""How many people of the traffic a user stands for."""
_CLICK_SECONDS = 0.001
_LATENCY_MS = 5.0

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Shown(NamedTuple):
    """What a version shows to each of the day's users."""

    model: str
    version: str
    lists: Numbers
    """int64[n, K], -1 for no item."""
    chances: Floats
    """float64[n, K], the true chances of a click."""


class Answers(NamedTuple):
    """Answers to some requests, by their columns."""

    columns: dict[str, Any]
    lists: Numbers
    """int64[m, K]"""
    chances: Floats
    """float64[m, K]"""


class Traffic:
    """The requests to one home's service."""

    def __init__(self, settings: Settings) -> None:
        """Begin before the first day."""
        self._workspace = Workspace(settings)
        experiments, lake = self._workspace.experiments, self._workspace.lake
        self._plans = PlanFile(settings.experiments_root / PLAN)
        rewards = RewardReader(self._workspace.engine, lake, self._workspace.problem)
        self._checks = self._requests = 0
        self._hours_left = 0.0
        """Until the next look; 0: no step has begun since the last one."""
        self._guard = Guard(
            experiments,
            AssignedRequests(settings),
            rewards,
            monotonic=lambda: self._checks * REWARD_SECONDS,
        )

    @property
    def is_divided(self) -> bool:
        """Whether an experiment runs."""
        self._plans.look()
        return bool(self._plans.in_force.plan.experiments)

    def serve(self, shop: ChangingShop, night: int) -> Iterator[tuple[float, float]]:
        """Answer the requests of a day while experiments divide them, and take the steps that are due.

        Args:
            shop: The shop.
            night: The number of simulated days before.

        Yields:
            How many hours each part of the day has, and the expected clicks per list in it.
        """
        day, hour = _Day(shop, night, self._workspace.registry), 0.0
        while hour < DAY_HOURS and self.is_divided:
            self._hours_left = self._hours_left or self._step_hours()
            hours = min(self._hours_left, DAY_HOURS - hour)
            hour, self._hours_left = hour + hours, self._hours_left - hours
            yield hours, self._answer(day, hours)

    def _step_hours(self) -> float:
        """Return how long the step in force lasts by the product's defaults, with the check at its end."""
        (rollout,) = self._open_rollouts()
        pace = pace_of(store.read_changes(self._workspace.engine, rollout.id), PromotionSettings())
        hours = pace.shadow_hours if rollout.state == "shadow" else pace.step_hours
        return hours + REWARD_SECONDS / 3_600

    def _open_rollouts(self) -> list[store.Rollout]:
        return store.open_rollouts(self._workspace.engine, self._workspace.problem.name)

    def _answer(self, day: _Day, hours: float) -> float:
        """Answer the requests of so many hours, look if it is time, and return the clicks per list."""
        began = time.time()
        plan = PlanRoutes(self._plans.in_force, {}, mixes=False)
        rows, users = day.draw(hours)
        routes = [plan.route(Units(user=one), {"kind": "recommend"}, {}) for one in users]
        services = [one.candidates[0].service for one in routes]
        shown = {one.name: day.shown(one.version) for one in plan.plan.services}
        asked_at = np.linspace(began, time.time(), len(rows), endpoint=False)
        with self._logging():
            self._log(_Part(self._requests, plan, shown, users, rows, asked_at, routes), services, day.rng)
            self._requests += len(rows)
            if not self._hours_left:
                self._look()
        means = {name: float(day.weights @ one.chances.sum(axis=1)) for name, one in shown.items()}
        return float(np.mean([means[one] for one in services]))

    def _log(self, part: _Part, services: Sequence[str], rng: np.random.Generator) -> None:
        """Write what the service and its callers would have logged of a part of a day."""
        of_experiment = [n for n, one in enumerate(part.routes) if one.assigned is not None]
        copied = [n for n, one in enumerate(part.routes) if one.shadows]
        logged = sorted({*of_experiment, *copied})
        own = [part.routes[n].assigned for n in logged]
        answers = part.answers(logged, [services[n] for n in logged])
        given = [part.plan.assignment(one, one and one.variant) for one in own]
        self._write("requests", part.first, REQUESTS, answers.columns | _assigned(given))
        self._write("feedback", part.first, FEEDBACK, _clicks(answers, rng))
        shadows = [part.routes[n].shadows[0] for n in copied]
        copies = part.answers(copied, [one.service or "" for one in shadows])
        given = [part.plan.assignment(one, one.variant) for one in shadows]
        of = {
            "request_id": [f"{one}-copy" for one in copies.columns["request_id"]],
            "shadow_of": copies.columns["request_id"],
        }
        self._write("shadow_answers", part.first, SHADOW_ANSWERS, copies.columns | _assigned(given) | of)

    def _write(self, table: str, first: int, schema: pa.Schema, columns: Mapping[str, Any]) -> None:
        if len(columns["occurred_at"]):
            rows = completed(pa.table(dict(columns)), schema).select(schema.names).cast(schema)
            today = datetime.now(UTC).date()
            self._workspace.lake.write_day(table, today, rows, part=f"from-{first:09d}")

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Have the log in the lake within the block."""
        lake = self._workspace.lake.root
        aside = lake.with_name("log")
        aside.mkdir(exist_ok=True)
        for table in LOG_SCHEMAS:
            (aside / table).mkdir(exist_ok=True)
            (aside / table).rename(lake / table)
        yield
        for table in LOG_SCHEMAS:
            (lake / table).rename(aside / table)

    def _look(self) -> None:
        """Check as often as harm needs to be acted on, and take the steps of rollouts that are due."""
        for _ in range(2):
            self._checks += 1
            reports = self._guard.check()
            if not any(one.found.verdict == "harm" for report in reports for one in report.checks):
                break
        for rollout in self._open_rollouts():
            steps.advance(self._workspace, rollout.id)


class _Day:
    """The users of a simulated day, and what versions show to them."""

    def __init__(self, shop: ChangingShop, night: int, registry: Registry) -> None:
        self._shop, self._night, self._registry = shop, night, registry
        self._known, self._shown = user_ids(shop.users(night)).to_pylist(), dict[str, Shown]()
        self.weights = shop.weights(night)
        self.rng = np.random.default_rng([shop.shop.config.seed, night])

    def draw(self, hours: float) -> tuple[Numbers, list[str]]:
        """Draw who asks for lists within some hours: their rows in what is shown, and their ids."""
        expected = self._shop.size.lists_per_day * hours / DAY_HOURS
        rows = self.rng.choice(len(self._known), self.rng.poisson(expected), p=self.weights)
        people = self.rng.integers(PEOPLE, size=len(rows))
        return rows, [
            f"{self._known[row]}.{one}" for row, one in zip(rows.tolist(), people.tolist(), strict=True)
        ]

    def shown(self, version: str) -> Shown:
        """Return what a version shows."""
        if version not in self._shown:
            found = self._registry.get(version)
            lists = self._shop.lists(self._night, self._registry, found)
            self._shown[version] = Shown(found.model, version, lists, self._shop.chances(self._night, lists))
        return self._shown[version]


class _Part(NamedTuple):
    """The requests of a part of a day."""

    first: int
    """The number of requests before."""
    plan: PlanRoutes
    shown: Mapping[str, Shown]
    """By the service's name."""
    users: Sequence[str]
    """Who asks, by request."""
    rows: Numbers
    """Their rows in `shown`."""
    asked_at: Floats
    routes: Sequence[PlannedRoute]

    def answers(self, chosen: Sequence[int], services: Sequence[str]) -> Answers:
        """Return the answers of services, one per request.

        Args:
            chosen: Numbers of requests.
            services: The service of each.
        """
        rows = self.rows[list(chosen)]
        named = {name: number for number, name in enumerate(self.shown)}
        which = np.array([named[one] for one in services], np.int64)
        lists = np.stack([one.lists for one in self.shown.values()])[which, rows]
        chances = np.stack([one.chances for one in self.shown.values()])[which, rows]
        offsets = pa.array(np.concatenate([[0], np.cumsum((lists >= 0).sum(axis=1))]), pa.int32())
        ones = pa.array(np.ones(int((lists >= 0).sum()), np.float32))
        columns = {
            "request_id": [f"{self.first + one:032x}" for one in chosen],
            "occurred_at": _times(self.asked_at[list(chosen)]),
            "user_id": [self.users[one] for one in chosen],
            "k": pa.array(np.full(len(rows), lists.shape[1], np.int32)),
            "model": [self.shown[one].model for one in services],
            "version": [self.shown[one].version for one in services],
            "item_ids": pa.ListArray.from_arrays(offsets, item_ids(lists[lists >= 0])),
            "scores": pa.ListArray.from_arrays(offsets, ones),
            "propensities": pa.ListArray.from_arrays(offsets, ones),
            "latency_ms": pa.array(np.full(len(rows), _LATENCY_MS, np.float32)),
        }
        return Answers(columns, lists, chances)


def _assigned(assignments: Sequence[Assignment | None]) -> dict[str, list[Any]]:
    """Return the columns of assignments."""
    return {
        column: [None if one is None else getattr(one, field) for one in assignments]
        for column, field in ASSIGNMENT_FIELDS.items()
    }


def _clicks(answers: Answers, rng: np.random.Generator) -> dict[str, Any]:
    """Draw who clicks what, and return the columns of the feedback."""
    rows, places = np.nonzero((rng.random(answers.chances.shape) < answers.chances) & (answers.lists >= 0))
    shown = answers.columns
    timestamps = pa.array(
        shown["occurred_at"].to_numpy()[rows] + np.timedelta64(int(1e6 * _CLICK_SECONDS), "us")
    )
    requests = [shown["request_id"][one] for one in rows]
    return {
        "event_id": [f"{one}-{place}" for one, place in zip(requests, places, strict=True)],
        "user_id": [shown["user_id"][one] for one in rows],
        "item_id": item_ids(answers.lists[rows, places]),
        "event_type": ["view"] * len(rows),
        "value": np.ones(len(rows)),
        "occurred_at": timestamps,
        "received_at": timestamps,
        "request_id": requests,
        "position": pa.array(places.astype(np.int32)),
    }


def _times(seconds: Floats) -> pa.Array:
    return pa.array((1e6 * seconds).astype(np.int64)).cast(pa.timestamp("us"))
