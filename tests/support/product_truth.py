"""The product metrics of a world, in plain Python: loops over its rows, without SQL."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from support.product_homes import ProductWorld
from tastemaker.problem import ProblemSpec
from tastemaker.product.cell import Group

DAY_SECONDS = 86_400


@dataclass
class ShownList:
    """A list, and what came of it."""

    user: str
    day: date
    shown_at: float
    group: Group
    items: list[str]
    is_model: bool
    has_fallback: bool
    reward: float = 0.0
    rewarded: set[int] = field(default_factory=set)
    events: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    delays: list[float] = field(default_factory=list)


def is_in(own: Group, group: Group) -> bool:
    """Whether the figures of a list of one group are among those of another."""
    return all(not wanted or wanted == one for wanted, one in zip(group, own, strict=True))


class ProductTruth:
    """Every list and every active day of a world."""

    def __init__(self, world: ProductWorld, problem: ProblemSpec, zone: str, closed: float) -> None:
        self.zone, self.closed = ZoneInfo(zone), closed
        self.lists = self._lists(world, problem)
        self.user_days = {(one.user, one.day, one.group) for one in self.lists}
        self.sharing = Counter((user, day) for user, day, _ in self.user_days)
        self.active: dict[str, set[date]] = defaultdict(set)
        for rows in world.events().values():
            for row in rows:
                self.active[row["user_id"]].add(row["occurred_at"].astimezone(self.zone).date())

    def _lists(self, world: ProductWorld, problem: ProblemSpec) -> list[ShownList]:
        found: dict[str, ShownList] = {}
        for one in world.requests:
            experiment = (
                ("", "") if one.assignment is None else (one.assignment.experiment, one.assignment.variant)
            )
            found[one.request_id] = ShownList(
                one.user_id,
                datetime.fromtimestamp(one.occurred_at, UTC).astimezone(self.zone).date(),
                one.occurred_at,
                Group(one.model, one.version, *experiment),
                [item.item_id for item in one.items],
                one.fallback is None and one.stage == "model",
                one.fallback is not None,
            )
        for event in sorted(world.feedback, key=lambda one: one.received_at):
            occurred = min(event.occurred_at, event.received_at)
            cause = self._cause(found, event.request_id, event.user_id, event.item_id, occurred)
            if cause is None:
                continue
            delay = occurred - cause.shown_at
            if event.request_id is not None and -600 <= delay <= 0:
                delay = 0.0
            for objective in problem.objectives:
                reward = objective.events.get(event.event_type)
                if reward is None or not 0 <= delay <= reward.window_days * DAY_SECONDS:
                    continue
                worth = objective.share * reward.weight * (event.value if reward.by_value else 1)
                cause.reward += worth
                cause.events[event.event_type].add(event.event_id)
                if reward.weight > 0:
                    cause.rewarded.add(cause.items.index(event.item_id) + 1)
                    cause.delays.append(delay)
        return list(found.values())

    def _cause(
        self, lists: dict[str, ShownList], request_id: str | None, user: str | None, item: str, at: float
    ) -> ShownList | None:
        if request_id is not None:
            named = lists.get(request_id)
            return named if named is not None and item in named.items else None
        before = [
            one for one in lists.values() if one.user == user and item in one.items and one.shown_at <= at
        ]
        return max(before, key=lambda one: one.shown_at, default=None)

    def within(self, first: date, last: date, group: Group) -> list[ShownList]:
        """The lists of a window."""
        return [one for one in self.lists if first <= one.day <= last and is_in(one.group, group)]

    def engagement(self, first: date, last: date, group: Group) -> dict[tuple[str, str], tuple[float, int]]:
        """Metric and slice -> value and users, where any list counts in it."""
        lists = self.within(first, last, group)
        closed = [one for one in lists if one.shown_at <= self.closed]
        found: dict[tuple[str, str], tuple[float, int]] = {}
        if not lists:
            return found
        users = _users(lists)
        found["requests", ""] = len(lists), users
        found["impressions", ""] = sum(len(one.items) for one in lists), users
        found["users", ""] = users, users
        days = sum(
            1 / self.sharing[user, day]
            for user, day, whose in self.user_days
            if first <= day <= last and is_in(whose, group)
        )
        found["lists_per_user_day", ""] = len(lists) / days, users
        found["model_answer_share", ""] = sum(one.is_model for one in lists) / len(lists), users
        found["fallback_share", ""] = sum(one.has_fallback for one in lists) / len(lists), users
        found["empty_share", ""] = sum(not one.items for one in lists) / len(lists), users
        if not closed:
            return found
        closed_users = _users(closed)
        shown = [one for one in closed if one.items]
        if shown:
            rate = sum(len(one.rewarded) for one in shown) / sum(len(one.items) for one in shown)
            found["ctr_impression", ""] = rate, _users(shown)
        found["ctr_list", ""] = sum(bool(one.rewarded) for one in closed) / len(closed), closed_users
        found["reward_per_request", ""] = sum(one.reward for one in closed) / len(closed), closed_users
        for kind in ("click", "purchase", "return"):
            events = sum(len(one.events[kind]) for one in closed)
            found["rewarded_events_per_1000_lists", f"event_type={kind}"] = (
                1000 * events / len(closed),
                closed_users,
            )
        for place in range(1, 11):
            long = [one for one in closed if len(one.items) >= place]
            if long:
                rate = sum(place in one.rewarded for one in long) / len(long)
                found["ctr_by_position", f"position={place}"] = rate, _users(long)
        hours: dict[str, list[float]] = defaultdict(list)
        for one in closed:
            if one.delays:
                hours[one.user].append(min(one.delays) / 3600)
        if hours:
            found["hours_to_first_click", ""] = median(map(median, hours.values())), len(hours)
        return found

    def active_in(self, first: date, last: date) -> set[str]:
        """The users who were active on any day of a span."""
        return {user for user, days in self.active.items() if any(first <= day <= last for day in days)}

    def growth(self, last: date) -> dict[str, float]:
        """The figures of the window that ends on a day."""

        def ago(days: int) -> date:
            return last - timedelta(days=days)

        now, before = self.active_in(ago(27), last), self.active_in(ago(55), ago(28))
        firsts = {user: min(days) for user, days in self.active.items()}
        back = {user for user in now - before if firsts[user] < ago(27)}
        found: dict[str, float] = {
            "dau": len(self.active_in(last, last)),
            "wau": len(self.active_in(ago(6), last)),
            "mau": len(now),
            "new_users_28": len({user for user in now if firsts[user] >= ago(27)}),
            "retained_users_28": len(now & before),
            "resurrected_users_28": len(back),
            "lost_users_28": len(before - now),
        }
        if now:
            daily = [len(self.active_in(ago(days), ago(days))) for days in range(28)]
            found["stickiness"] = sum(daily) / 28 / len(now)
            found["resurrection_28"] = len(back) / len(now)
        if before:
            found["churn_28"] = len(before - now) / len(before)
        gaps = []
        for user in now:
            days = sorted(day for day in self.active[user] if ago(27) <= day <= last)
            if len(days) > 1:
                gaps.append((days[-1] - days[0]).days / (len(days) - 1))
        if gaps:
            found["days_between_visits"] = median(gaps)
        return found

    def retention(
        self, starts: dict[str, date], monday: date, first: int, last: int, known_until: date
    ) -> tuple[int, int]:
        """How many users of a week's cohort are followed long enough, and how many came back."""
        cohort = [user for user, day in starts.items() if monday <= day <= monday + timedelta(days=6)]
        followed = [user for user in cohort if starts[user] + timedelta(days=last) <= known_until]
        came = [
            user
            for user in followed
            if any(first <= (day - starts[user]).days <= last for day in self.active[user])
        ]
        return len(followed), len(came)

    def first_days(self) -> dict[str, date]:
        """User -> the first active day."""
        return {user: min(days) for user, days in self.active.items()}

    def first_lists(self, group: Group) -> dict[str, date]:
        """User -> the day of the first list of a group."""
        starts: dict[str, date] = {}
        for one in self.lists:
            if is_in(one.group, group):
                starts[one.user] = min(one.day, starts.get(one.user, one.day))
        return starts


def _users(lists: Iterable[ShownList]) -> int:
    return len({one.user for one in lists})
