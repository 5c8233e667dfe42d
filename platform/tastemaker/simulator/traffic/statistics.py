"""The statistics of a simulation, and their summary."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tastemaker.api.schemas import Answer, ItemUpsert
from tastemaker.simulator.traffic.audience import Kind, Reaction, Visit
from tastemaker.simulator.traffic.http_client import HttpReply


@dataclass
class Latency:
    """Quantiles of the milliseconds from sending a request to the whole reply, as the client saw it."""

    p50: float
    p99: float
    longest: float


@dataclass
class Day:
    """The actions of users on one day of the shop, without bots."""

    visits: int = 0
    impressions: int = 0
    clicks: int = 0
    expected_clicks: float = 0.0
    """What the lists were worth by the shop's truth, whatever chance made of them."""
    purchases: int = 0
    revenue: float = 0.0
    left: int = 0


@dataclass
class Summary:
    """The summary of one simulation."""

    seconds: float
    requests: int
    requests_per_second: float
    statuses: dict[str, dict[str, int]]
    """Path -> status -> requests; "no reply" where none came."""
    latency_ms: dict[str, Latency]
    """By path, over those that got a reply at the usual pace."""
    stages: dict[str, int]
    fallbacks: dict[str, int]
    models: dict[str, int]
    """model version -> lists."""
    visits: int
    """Of people and programs."""
    users: int
    came_back: int
    """People with more than one visit."""
    left: int
    """People who left for good."""
    impressions: int
    clicks: int
    click_rate: float | None
    """Clicks per impression."""
    expected_click_rate: float | None
    """The same in the mean over all chance, by the shop's truth."""
    purchases: int
    revenue: float
    events_acknowledged: int
    duplicates: int
    """Events that the service knew already."""
    events_abandoned: int
    items_launched: int
    items_withdrawn: int
    launched_shown: int
    """Launched items that were in a list before the end."""
    first_shown_seconds: float | None
    """From a launch's acknowledgement to the first list with the item: the shortest."""
    failed: int
    """Requests for a list that got none."""
    deserted: bool
    """Whether all users had left for good before the end."""
    days: list[Day]
    client_log: str
    """The file that holds every acknowledgement."""

    def as_dict(self) -> dict[str, Any]:
        """Return the summary in types that JSON has."""
        return asdict(self)


@dataclass
class Statistics:
    """The running counts of a simulation."""

    first_day: int
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: dict[str, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    stages: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    visits: int = 0
    users: Counter[int] = field(default_factory=Counter)
    days: dict[int, Day] = field(default_factory=lambda: defaultdict(Day))
    acknowledged: int = 0
    duplicates: int = 0
    abandoned: int = 0
    failed: int = 0
    deserted: bool = False
    launched_at: dict[str, float] = field(default_factory=dict)
    """Item id -> when its launch was acknowledged, monotonic seconds."""
    withdrawn: int = 0
    shown_after: dict[str, float] = field(default_factory=dict)
    """Item id -> seconds from its launch to its first list."""

    def replied(self, path: str, reply: HttpReply, *, usual: bool = True) -> None:
        """Count a finished request.

        Args:
            path: The path of the endpoint.
            reply: The reply; one that never came counts without a latency.
            usual: Whether the latency counts; not that of a client that sent slowly.
        """
        self.statuses[path][reply.status] += 1
        if reply.status and usual:
            self.seconds[path].append(reply.seconds)

    def came(self, visit: Visit) -> None:
        """Count a visit."""
        self.visits += 1
        if visit.kind is not Kind.BOT:
            self.users[visit.user] += 1
            self.days[visit.day].visits += 1

    def reacted(self, visit: Visit, shown: int, expected: float, reactions: list[Reaction]) -> None:
        """Count an impression of a list and the reactions to it.

        Args:
            visit: The visit; that of a bot does not count.
            shown: The number of items of the list.
            expected: The true expected number of clicks.
            reactions: The reactions of the user.
        """
        if visit.kind is Kind.BOT:
            return
        day = self.days[visit.day]
        day.impressions += shown
        day.expected_clicks += expected
        day.clicks += sum(one.event_type == "view" for one in reactions)
        day.purchases += sum(one.event_type == "purchase" for one in reactions)
        day.revenue += sum(one.value for one in reactions if one.event_type == "purchase")

    def changed(self, items: list[ItemUpsert], now: float) -> None:
        """Count launches and withdrawals of items that the service acknowledged.

        Args:
            items: The changed items.
            now: The time of the acknowledgement, in monotonic seconds.
        """
        self.launched_at |= {item.item_id: now for item in items if item.available}
        self.withdrawn += sum(not item.available for item in items)

    def answered(self, answer: Answer, item_ids: list[str], now: float) -> None:
        """Count a list, and note the launched items that are in a list for the first time.

        Args:
            answer: The answer with the list.
            item_ids: The items of the list.
            now: The time of the answer, in monotonic seconds.
        """
        self.stages[answer.stage] += 1
        self.models[f"{answer.model} {answer.version}"] += 1
        if answer.fallback is not None:
            self.fallbacks[answer.fallback] += 1
        for item_id in self.launched_at.keys() & set(item_ids) - self.shown_after.keys():
            self.shown_after[item_id] = now - self.launched_at[item_id]

    def summary(self, seconds: float, client_log: str) -> Summary:
        """Return the summary of everything so far.

        Args:
            seconds: The duration of the simulation.
            client_log: The path of the client log.
        """
        requests = sum(counts.total() for counts in self.statuses.values())
        days = [self.days[day] for day in range(self.first_day, max(self.days, default=-1) + 1)]
        impressions, clicks = sum(day.impressions for day in days), sum(day.clicks for day in days)
        expected = sum(day.expected_clicks for day in days)
        return Summary(
            seconds=seconds,
            requests=requests,
            requests_per_second=requests / seconds if seconds > 0 else 0.0,
            statuses={
                path: {str(status or "no reply"): n for status, n in sorted(counts.items())}
                for path, counts in sorted(self.statuses.items())
            },
            latency_ms={path: _latency(values) for path, values in sorted(self.seconds.items())},
            stages=dict(self.stages),
            fallbacks=dict(self.fallbacks),
            models=dict(self.models),
            visits=self.visits,
            users=len(self.users),
            came_back=sum(times > 1 for times in self.users.values()),
            left=sum(day.left for day in days),
            impressions=impressions,
            clicks=clicks,
            click_rate=clicks / impressions if impressions else None,
            expected_click_rate=expected / impressions if impressions else None,
            purchases=sum(day.purchases for day in days),
            revenue=round(sum(day.revenue for day in days), 2),
            events_acknowledged=self.acknowledged,
            duplicates=self.duplicates,
            events_abandoned=self.abandoned,
            items_launched=len(self.launched_at),
            items_withdrawn=self.withdrawn,
            launched_shown=len(self.shown_after),
            first_shown_seconds=min(self.shown_after.values(), default=None),
            failed=self.failed,
            deserted=self.deserted,
            days=days,
            client_log=client_log,
        )


def _latency(seconds: array[float]) -> Latency:
    p50, p99, longest = (np.quantile(np.frombuffer(seconds), [0.5, 0.99, 1.0]) * 1_000).tolist()
    return Latency(p50, p99, longest)
