"""A home of a small shop with lists, clicks and purchases, of which every row is known, and its measurements.

Two versions of `ranker` and one of `popularity` answer, the second version from the middle of the period on;
half of the users are in each variant of the experiment `front_page`, whose treatment is clicked twice as
often. A few lists are empty or filled by a fallback.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from sqlalchemy import select

from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, ITEMS
from tastemaker.event_log.records import Assignment, FeedbackRecord, Item, Record
from tastemaker.event_log.rows import feedback_rows, request_rows
from tastemaker.product.cell import Group
from tastemaker.product.measure import MeasureResult
from tastemaker.product.shop_days import ShopDays
from tastemaker.settings import Settings
from tastemaker.storage.tables import measurements
from tastemaker.workflows.workspace import Workspace

PROBLEM = """
name: small shop
objectives:
  - name: interest
    events:
      click: {weight: 1.0, window_days: 2}
      purchase: {weight: 5.0, window_days: 3}
      return: {weight: -5.0, window_days: 3}
split: {test_days: 7}
"""
FIRST_DAY = date(2026, 2, 2)
"""A Monday. Berlin's clocks are set forward on 29 March."""
ZONE = "Europe/Berlin"
EXPERIMENT = "front_page"
CATEGORIES = ("books", "games", "music")
ITEM_COUNT = 60


@dataclass
class ProductWorld:
    """All rows of the shop."""

    requests: list[Record] = field(default_factory=list)
    feedback: list[FeedbackRecord] = field(default_factory=list)
    visits: list[tuple[str, datetime, str]] = field(default_factory=list)
    """User, time and event type of what users did apart from the lists."""

    def write(self, home: Path) -> Lake:
        """Write the rows as drains and validation do: by day in UTC."""
        lake = Lake(home / "lake")
        for day, records in _by_day(self.requests, "occurred_at").items():
            lake.write_day("requests", day, request_rows(records))
        for day, records in _by_day(self.feedback, "received_at").items():
            lake.write_day("feedback", day, feedback_rows(records))
        for day, rows in self.events().items():
            lake.write_day("events", day, pa.Table.from_pylist(rows, schema=EVENTS))
        lake.write("items", pa.Table.from_pylist(items(), schema=ITEMS))
        return lake

    def events(self) -> dict[date, list[dict[str, Any]]]:
        """Return the events by day in UTC: visits, and the feedback as validation takes it over."""
        users = {one.request_id: one.user_id for one in self.requests}
        rows = [
            _event(f"visit-{n}", user, "i00", kind, at, None)
            for n, (user, at, kind) in enumerate(self.visits)
        ]
        for one in self.feedback:
            user = one.user_id or users.get(one.request_id or "")
            at = datetime.fromtimestamp(min(one.occurred_at, one.received_at), UTC)
            if user is not None:
                rows.append(_event(one.event_id, user, one.item_id, one.event_type, at, one.request_id))
        days = defaultdict(list)
        for row in rows:
            days[row["occurred_at"].date()].append(row)
        return dict(days)


def make_world(users: int = 300, days: int = 84, *, seed: int = 0) -> ProductWorld:
    """Return a world of so many users who begin in the first half of so many days."""
    rng = np.random.default_rng(seed)
    world = ProductWorld()
    for user in range(users):
        first = int(rng.integers(0, days // 2))
        leaves = int(rng.integers(first, days * 2))
        appeal = float(rng.uniform(0.05, 0.6))
        for day in range(first, min(days, leaves)):
            if day == first or rng.random() < appeal:
                _visit(world, rng, user, day, days)
    return world


def _visit(world: ProductWorld, rng: np.random.Generator, user: int, day: int, days: int) -> None:
    """Add a user's visit on a day: what they look at, a list, and what they do with it."""
    name = f"u{user:04d}"
    midnight = datetime.combine(FIRST_DAY + timedelta(days=day), time.min, ZoneInfo(ZONE)).astimezone(UTC)
    at = midnight + timedelta(seconds=float(rng.integers(0, 80_000)))
    world.visits.append((name, at, "view"))
    if rng.random() < 0.3:
        return
    model, version = ("popularity", "p1") if user % 5 == 0 else ("ranker", "r2" if day >= days // 2 else "r1")
    variant = "treatment" if user % 2 else "control"
    kind = rng.random()
    shown = [] if kind < 0.01 else [f"i{n:02d}" for n in rng.choice(ITEM_COUNT, 5, replace=False)]
    request = Record(
        request_id=f"{len(world.requests):032x}",
        occurred_at=at.timestamp() + 1,
        user_id=name,
        k=5,
        model=model,
        version=version,
        items=[Item(one, 1.0, 1.0) for one in shown],
        latency_ms=float(np.round(rng.gamma(2, 5), 3)),
        fallback="model_timeout" if kind < 0.05 else None,
        stage="popular" if kind < 0.05 else "model",
        assignment=Assignment(EXPERIMENT, 0, variant, 0.5),
    )
    world.requests.append(request)
    chance = 0.16 if variant == "treatment" else 0.08
    for place, item in enumerate(shown):
        if rng.random() < chance / (1 + 0.3 * place):
            after = float(rng.exponential(4_000))
            _report(world, request, item, "click", after)
            if rng.random() < 0.3:
                _report(world, request, item, "purchase", after + 600)
                if rng.random() < 0.1:
                    _report(world, request, item, "return", after + 86_400)


def _report(world: ProductWorld, request: Record, item: str, kind: str, after: float) -> None:
    at = request.occurred_at + after
    world.feedback.append(
        FeedbackRecord(
            f"feedback-{len(world.feedback)}", item, kind, 1.0, at, at + 2, None, request.request_id
        )
    )


def items() -> list[dict[str, Any]]:
    """Return the catalogue; every tenth item came in the middle of March."""
    return [
        {
            "item_id": f"i{n:02d}",
            "title": None,
            "category": CATEGORIES[n % 3],
            "price": None,
            "first_seen_at": datetime(2026, 3, 16, tzinfo=UTC)
            if n % 10 == 9
            else datetime(2026, 1, 1, tzinfo=UTC),
        }
        for n in range(ITEM_COUNT)
    ]


def settings_of(home: Path, **other: Any) -> Settings:
    """The settings of such a home, with days of Berlin."""
    chosen: dict[str, Any] = {"problem": home / "problem.yaml", "product": {"timezone": ZONE}} | other
    return Settings(home=home, **chosen)


def write_home(home: Path, world: ProductWorld | None = None) -> Settings:
    """Write a home with the rows of a world."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "problem.yaml").write_text(PROBLEM, encoding="utf-8")
    (world or make_world()).write(home)
    return settings_of(home)


def _event(
    name: str, user: str, item: str, kind: str, at: datetime, request_id: str | None
) -> dict[str, Any]:
    return {
        "event_id": name,
        "user_id": user,
        "item_id": item,
        "event_type": kind,
        "value": 1.0,
        "occurred_at": at,
        "request_id": request_id,
        "position": None,
    }


def _by_day(records: Sequence[Any], time_of: str) -> dict[date, Iterable[Any]]:
    days: dict[date, list[Any]] = defaultdict(list)
    for one in records:
        days[datetime.fromtimestamp(getattr(one, time_of), UTC).date()].append(one)
    return dict(days)


def measure(settings: Settings, *, now: datetime | None = None, force: bool = False) -> MeasureResult:
    """Compute the home's product metrics."""
    return Workspace(settings).product_metrics.measure(now=now, force=force)


def stored(settings: Settings) -> dict[tuple[Any, ...], Any]:
    """Return the rows of `measurements` by metric, slice, group and days."""
    days = ShopDays(settings.shop_timezone)
    with Workspace(settings).engine.connect() as connection:
        rows = connection.execute(select(measurements)).all()
    return {
        (
            row.metric,
            row.slice,
            Group(row.model, row.version, row.experiment, row.variant),
            days.of(row.window_start),
            days.of(row.window_end - timedelta(seconds=1)),
        ): row
        for row in rows
    }
