"""Traffic against a scripted service: what is sent, what is insisted on, and what the client log notes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tastemaker.api.schemas import FeedbackEvent, FeedbackEvents, ItemUpserts, Request, SessionRequest
from tastemaker.errors import TastemakerError
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.audience import Audience, TrafficMix
from tastemaker.simulator.traffic.audit import ClientEvents, check
from tastemaker.simulator.traffic.client_log import Acknowledged, ClientLog, GivenUp, read
from tastemaker.simulator.traffic.fault_injection import FAULTS, SKEW_SECONDS, Faults, fault_rates
from tastemaker.simulator.traffic.http_client import HttpClient
from tastemaker.simulator.traffic.plan import Plan
from tastemaker.simulator.traffic.statistics import Summary
from tastemaker.simulator.traffic.traffic import Traffic

SHOP = Shop(ShopConfig(n_users=200, n_items=60, n_days=20, events_per_day=150, seed=3))
PLAN = Plan(run="run", visits=150, at_once=8)
NATURE = TrafficMix()
Answering = Callable[[str], web.Response | None]


class Service:
    """Follows the contract; `answering` may answer a path otherwise."""

    def __init__(self, answering: Answering = lambda path: None) -> None:
        self.answering = answering
        self.asked: Counter[str] = Counter()
        self.events: dict[str, FeedbackEvent] = {}
        self.order: list[str] = []
        self.requests: dict[str, list[str]] = {}
        self.items: dict[str, bool] = {}
        self.keys: set[str | None] = set()

    async def reply(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked[request.path] += 1
        self.keys.add(request.headers.get("authorization"))
        return self.answering(request.path) or web.json_response(self._content(request.path, body))

    def _content(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/feedback":
            events = msgspec.json.decode(body, type=FeedbackEvents).events
            known = len(self.events)
            self.events |= {event.event_id: event for event in events}
            self.order += [event.event_id for event in events]
            return {
                "accepted": len(self.events) - known,
                "duplicates": len(events) + known - len(self.events),
            }
        if path == "/items":
            items = msgspec.json.decode(body, type=ItemUpserts).items
            self.items |= {item.item_id: item.available for item in items}
            return {"accepted": len(items), "duplicates": 0}
        if path == "/readyz":
            return {"status": "ready", "model": "scripted", "version": "1"}
        asked: SessionRequest | Request
        if path == "/session":
            asked = msgspec.json.decode(body, type=SessionRequest)
        else:
            asked = msgspec.json.decode(body, type=Request)
        first = len(self.requests) % 50
        item_ids = [f"i{number:07d}" for number in range(first, first + asked.k)]
        request_id = f"r{len(self.requests)}"
        self.requests[request_id] = item_ids
        listed = [{"item_id": one, "score": 1.0, "propensity": 1.0} for one in item_ids]
        return {
            "request_id": request_id,
            "model": "scripted",
            "version": "1",
            "items": listed,
            "fallback": None,
        }


def simulated(
    folder: Path,
    service: Service,
    plan: Plan = PLAN,
    nature: TrafficMix = NATURE,
    headers: Any = None,
    running: list[Traffic] | None = None,
) -> Summary:
    """Traffic against the service, in one event loop."""

    async def run() -> Summary:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", service.reply)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            async with HttpClient(
                f"http://{host}:{port}/", connections=16, timeout=5, headers=headers
            ) as client:
                await client.ready()
                with ClientLog(folder / "client_log.jsonl") as client_log:
                    traffic = Traffic(Audience(SHOP, nature), client, client_log, plan)
                    if running is not None:
                        running.append(traffic)
                    return await traffic.run()
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def witnessed(folder: Path) -> ClientEvents:
    return ClientEvents.of(read(folder / "client_log.jsonl"))


def test_the_client_log_holds_what_the_service_acknowledged(tmp_path: Path) -> None:
    service = Service()
    summary = simulated(tmp_path, service, headers={"authorization": "Bearer k"})
    seen = witnessed(tmp_path)
    assert seen.acknowledged == set(service.events)
    assert seen.answers == service.requests
    assert check(seen, service.order, service.requests.items()).sound
    assert (summary.visits, summary.failed, summary.stages) == (150, 0, {"model": 150})
    assert summary.impressions == 1_500
    assert summary.statuses["/recommend"]["200"] + summary.statuses["/session"]["200"] == 150
    assert summary.events_acknowledged == len(service.events) > 0
    assert summary.clicks == sum(event.event_type == "view" for event in service.events.values())
    assert summary.expected_click_rate == pytest.approx(summary.click_rate, rel=0.35)
    assert service.keys == {"Bearer k"}


def test_events_name_their_request_place_and_person(tmp_path: Path) -> None:
    service = Service()
    simulated(tmp_path, service, nature=TrafficMix(anonymous=0.5))
    for event in service.events.values():
        assert event.request_id is not None
        assert event.position is not None
        assert service.requests[event.request_id][event.position] == event.item_id
    assert {event.user_id is None for event in service.events.values()} == {True, False}


def test_one_visit_at_a_time_repeats_itself(tmp_path: Path) -> None:
    def entries(folder: str) -> list[Any]:
        service = Service()
        simulated(tmp_path / folder, service, replace(PLAN, at_once=1))
        return [(one.event_id, one.event_type, one.item_id, one.value) for one in service.events.values()]

    assert entries("a") == entries("b")


def test_unacknowledged_events_are_sent_again_until_they_are(tmp_path: Path) -> None:
    refusals = iter([429, 503, 500] * 5)

    def answering(path: str) -> web.Response | None:
        status = next(refusals, None) if path == "/feedback" else None
        return None if status is None else web.Response(status=status, headers={"retry-after": "0"})

    service = Service(answering)
    summary = simulated(tmp_path, service)
    assert {"429", "503", "500", "200"} == set(summary.statuses["/feedback"])
    assert summary.events_abandoned == 0
    assert witnessed(tmp_path).acknowledged == set(service.events)


@pytest.mark.parametrize(("status", "again"), [(503, True), (400, False)])
def test_retry_seconds_ends_and_a_refusal_is_final(tmp_path: Path, status: int, again: bool) -> None:
    service = Service(lambda path: web.Response(status=status) if path == "/feedback" else None)
    summary = simulated(tmp_path, service, replace(PLAN, visits=40, retry_seconds=0.5))
    entries = list(read(tmp_path / "client_log.jsonl"))
    abandoned = [entry for entry in entries if isinstance(entry, GivenUp)]
    assert summary.events_abandoned == sum(len(entry.event_ids) for entry in abandoned) > 0
    assert {entry.why for entry in abandoned} == {f"status {status}"}
    assert not any(isinstance(entry, Acknowledged) for entry in entries)
    assert (service.asked["/feedback"] > len(abandoned)) == again


def test_a_list_that_never_came_counts_as_failed(tmp_path: Path) -> None:
    service = Service(lambda path: web.Response(status=503) if path == "/recommend" else None)
    summary = simulated(tmp_path, service)
    assert summary.failed == summary.statuses["/recommend"]["503"] > 100
    assert set(witnessed(tmp_path).answers) == set(service.requests)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "message of another version"),
        (
            b'{"request_id":"r","model":"m","version":"v","fallback":null,'
            b'"items":[{"item_id":"85123A","score":1,"propensity":1}]}',
            "'85123A', which is not an item of the simulated shop",
        ),
    ],
)
def test_a_service_of_another_catalogue_is_refused(tmp_path: Path, body: bytes, message: str) -> None:
    service = Service(lambda path: web.Response(body=body) if path == "/recommend" else None)
    with pytest.raises(TastemakerError, match=message):
        simulated(tmp_path, service)


@pytest.mark.parametrize("path", ["/recommend", "/feedback", "/items"])
def test_an_unreachable_service_is_reported_at_once(tmp_path: Path, path: str) -> None:
    service = Service(lambda asked: web.Response(status=401) if asked == path else None)
    with pytest.raises(TastemakerError, match=rf"refuses {path} \(401\)\n  fix: set TASTEMAKER_API_KEY"):
        simulated(tmp_path, service, replace(PLAN, visits=1_000, new_items=True))


def test_a_service_that_is_not_ready_is_not_visited(tmp_path: Path) -> None:
    service = Service(lambda path: web.Response(status=503))
    with pytest.raises(TastemakerError, match=r"/readyz says 503\n  fix: start one"):
        simulated(tmp_path, service)
    assert not (tmp_path / "client_log.jsonl").exists()


def test_faults_befall_their_shares_each_on_its_own() -> None:
    half = Faults(**dict.fromkeys(FAULTS, 0.5))
    some = [fault_rates(half, 0, visit) for visit in range(1_000)]
    for name in FAULTS:
        hit = [bool(getattr(one, "skew" if name == "skewed" else name)) for one in some]
        assert 430 < sum(hit) < 570, name
        alone = [fault_rates(Faults(**{name: 0.5}), 0, visit) for visit in range(1_000)]
        assert [bool(getattr(one, "skew" if name == "skewed" else name)) for one in alone] == hit
    assert {one.skew for one in some} == {0, SKEW_SECONDS, -SKEW_SECONDS}


def test_repeated_and_dropped_events_keep_their_ids(tmp_path: Path) -> None:
    service = Service()
    summary = simulated(tmp_path, service, replace(PLAN, faults=Faults(repeated=1.0, dropped=1.0)))
    assert len(service.order) >= 2 * len(service.events) > 0
    assert summary.duplicates >= len(service.events)
    assert witnessed(tmp_path).acknowledged == set(service.events)
    assert sum(service.asked[path] for path in ("/recommend", "/session")) > 150


@pytest.mark.slow
def test_late_events_come_after_later_ones_and_all_come(tmp_path: Path) -> None:
    service = Service()
    simulated(tmp_path, service, replace(PLAN, faults=Faults(late=0.5)))
    visits = [int(one.split("-")[1]) for one in service.order]
    assert visits != sorted(visits)
    assert witnessed(tmp_path).acknowledged == set(service.events)
    timestamps = [service.events[one].occurred_at or 0.0 for one in service.order]
    assert timestamps != sorted(timestamps)


def test_orphans_name_a_user_only_and_shown_lists_are_reported_twice(tmp_path: Path) -> None:
    service = Service()
    simulated(
        tmp_path, service, replace(PLAN, faults=Faults(orphaned=1.0, reshown=1.0)), TrafficMix(anonymous=0)
    )
    events = service.events.values()
    assert {event.request_id for event in events} == {None}
    assert sum(event.event_type == "impression" for event in events) == 2 * 10 * 150
    assert {event.event_type for event in events} >= {"impression", "view"}


@pytest.mark.slow
def test_items_are_launched_and_withdrawn_once_as_days_go_by(tmp_path: Path) -> None:
    service = Service()
    audience = Audience(SHOP, TrafficMix())
    days = 40
    plan = replace(PLAN, visits=days * audience.visits_per_day, new_items=True, at_once=4)
    summary = simulated(tmp_path, service, plan)
    first = SHOP.config.n_days
    launched = {f"i{item:07d}" for day in range(first, first + days) for item in audience.launched(day)}
    withdrawn = {f"i{item:07d}" for day in range(first, first + days) for item in audience.withdrawn(day)}
    assert launched
    assert set(service.items) == launched | withdrawn
    assert {one for one, available in service.items.items() if not available} == withdrawn
    assert (summary.items_launched, summary.items_withdrawn) == (len(launched), len(withdrawn))
    assert len(summary.days) == days


def test_who_is_there_when_it_closes_is_served(tmp_path: Path) -> None:
    """No visit begins after the twentieth list; every event arrives, if not the first time."""
    running: list[Traffic] = []
    refused: set[bytes] = set()

    class Closing(Service):
        async def reply(self, request: web.Request) -> web.Response:
            body = await request.read()
            if len(self.requests) == 20:
                running[0].close()
            if request.path == "/feedback" and body not in refused:
                refused.add(body)
                return web.Response(status=503)
            return await super().reply(request)

    service = Closing()
    summary = simulated(tmp_path, service, replace(PLAN, visits=100_000), running=running)
    assert 20 <= summary.visits < 40
    assert summary.events_acknowledged == len(service.events) > 0
    assert summary.events_abandoned == 0


def test_it_ends_when_no_user_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.simulator.traffic.audience.leave_chance", lambda clicks: 1.0)
    summary = simulated(tmp_path, Service(), replace(PLAN, visits=100_000))
    assert summary.deserted
    assert summary.left == summary.users > 0, "each of them once, though visits overlap"


def test_a_rate_and_a_time_bound_the_traffic(tmp_path: Path) -> None:
    service = Service()
    summary = simulated(tmp_path, service, Plan(run="run", seconds=1.0, rate=50.0))
    assert 0 < summary.visits < 100
    assert summary.seconds < 10
