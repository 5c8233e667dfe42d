"""Traffic on a service over HTTP, whose answers are written to the client log.

Several visits run concurrently. Each requests a list, reacts to it, sends the events, and repeats them under
the same event ids until the service acknowledges them or the time for retries ends, as a correct client does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tastemaker.api.schemas import MAX_CHANGES, Answer, FeedbackEvent, FeedbackEvents, ItemUpserts
from tastemaker.errors import TastemakerError
from tastemaker.simulator.traffic import page
from tastemaker.simulator.traffic.audience import Audience, Reaction, Visit
from tastemaker.simulator.traffic.client_log import Acknowledged, Answered, Begun, ClientLog, GivenUp
from tastemaker.simulator.traffic.fault_injection import FaultRates, fault_rates
from tastemaker.simulator.traffic.http_client import NO_REPLY, HttpClient, HttpReply
from tastemaker.simulator.traffic.plan import Pacer, Plan
from tastemaker.simulator.traffic.statistics import Statistics, Summary

FLUSH_SECONDS = 0.1
"""How often the client log is put on disk."""
PAUSE_SECONDS = 0.2
"""The pause after a request without a reply, which doubles each time."""
LONGEST_PAUSE_SECONDS = 5.0
LATE_SECONDS = (1.0, 4.0)
"""How long late events are held back."""
FOREIGN_HOST = "another-host.invalid"
SHUT = frozenset({401, 403})
TRY_AGAIN = frozenset({NO_REPLY, 429, 500, 502, 503, 504})
_encode = msgspec.json.Encoder().encode

NeverComes = Callable[[str], bool]
"""Returns whether the user with an id never comes."""
Listener = Callable[[float, Statistics], None]
"""Called with the share that is done and the statistics, several times a second."""


class _Sent(NamedTuple):
    """A report on its way."""

    body: bytes
    event_ids: list[str]
    how: FaultRates


class Traffic:
    """One simulation, which can be run once.

    Args:
        audience: The users who visit the service; their seed is that of the faults and arrivals, too.
        client: A client of the service, whose context was entered.
        client_log: An open client log, to which answers and acknowledged events are written.
        plan: The amount and the duration of the traffic, and its faults.
        never_comes: Returns whether the user with an id never comes.
    """

    def __init__(
        self,
        audience: Audience,
        client: HttpClient,
        client_log: ClientLog,
        plan: Plan,
        never_comes: NeverComes = lambda user_id: False,
    ) -> None:
        self.audience, self.client, self.client_log, self.plan = audience, client, client_log, plan
        self._never_comes = never_comes
        self.seed = audience.nature.seed
        self.statistics = Statistics(audience.first_day)
        self.pacer = Pacer(plan, self.seed)
        self._open_until = audience.first_day - 1
        self._asides: set[asyncio.Task[None]] = set()

    async def run(self, on_progress: Listener = lambda share, statistics: None) -> Summary:
        """Run until the plan is fulfilled, no user is left, or the caller cancels."""
        self.client_log.note(Begun(self.plan.run, self.client.url, self.seed))
        self.pacer.start()
        keeper = asyncio.create_task(self._keep(on_progress))
        visits = [asyncio.create_task(self._run_visits()) for _ in range(self.plan.at_once)]
        try:
            await asyncio.gather(*visits)
            while self._asides:
                await asyncio.gather(*self._asides)
        finally:
            tasks = (*visits, *self._asides, keeper)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self.summary()

    def close(self) -> None:
        """Stop new visits; `run` returns when the running ones are done."""
        self.pacer.closed = True

    def summary(self) -> Summary:
        """Return the summary of the simulation so far."""
        return self.statistics.summary(self.pacer.seconds, str(self.client_log.path))

    async def _keep(self, on_progress: Listener) -> None:
        """Flush the client log and report the progress, repeatedly."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await asyncio.to_thread(self.client_log.flush)
            on_progress(self.pacer.share_done, self.statistics)

    async def _run_visits(self) -> None:
        """Run one visit after the other."""
        while await self.pacer.next():
            visit = self.audience.arrive()
            if visit is None:
                self.statistics.deserted = True
                return
            if self.plan.new_items and visit.day > self._open_until:
                await self._change_items(visit.day)
            how = fault_rates(self.plan.faults, self.seed, visit.number)
            user = page.user_id(visit)
            if not how.traffic_gone and (user is None or not self._never_comes(user)):
                self.statistics.came(visit)
                await self._visit(visit, how)

    async def _visit(self, visit: Visit, how: FaultRates) -> None:
        answer = await self._ask(visit, how)
        reactions: list[Reaction] = []
        events: list[FeedbackEvent] = []
        if answer is not None:
            shown = page.item_numbers(answer, len(self.audience.shop.catalogue))
            reactions = self.audience.react(visit, shown)
            expected = self.audience.expected_clicks(visit.user, shown)
            self.statistics.reacted(visit, len(shown), expected, reactions)
            events = page.report(self.plan.run, visit, how, answer, shown, reactions)
        if not self.audience.stay(visit, sum(one.event_type == "view" for one in reactions)):
            self.statistics.days[visit.day].left += 1
        if answer is not None and how.explained:
            await self.client.get(f"/explain/{answer.request_id}")
        if how.feedback_gone:
            return
        if events and how.late:
            self._aside(self._deliver_late(visit, events, how))
        elif events:
            await self._deliver(events, how)

    async def _ask(self, visit: Visit, how: FaultRates) -> Answer | None:
        """Return the list that the user gets, if any."""
        path, body = page.question(visit, self.plan.k)
        if how.dropped:
            await self.client.hang_up(path, body)
        reply = await self._post(path, body, how)
        if not reply.good:
            self.statistics.failed += 1
            if reply.status == NO_REPLY:
                await asyncio.sleep(PAUSE_SECONDS)
            return None
        answer = page.read_answer(reply.body)
        item_ids = [item.item_id for item in answer.items]
        self.client_log.note(Answered(answer.request_id, page.user_id(visit), answer.stage, item_ids))
        self.statistics.answered(answer, item_ids, time.monotonic())
        return answer

    async def _post(self, path: str, body: bytes, how: FaultRates | None = None) -> HttpReply:
        """Send a request and count it. Raises TastemakerError if the service requires a (different) key."""
        slow = how is not None and how.slow
        host = FOREIGN_HOST if how is not None and how.foreign_host and path != "/feedback" else None
        reply = await self.client.post(path, body, slow=slow, host=host)
        self.statistics.replied(path, reply, usual=not slow)
        if reply.status in SHUT:
            raise TastemakerError(
                f"the service refuses {path} ({reply.status})",
                fix="set TASTEMAKER_API_KEY to a key with the scopes recommend, feedback and manage: "
                "tastemaker keys new",
            )
        return reply

    async def _deliver_late(self, visit: Visit, events: list[FeedbackEvent], how: FaultRates) -> None:
        await asyncio.sleep(float(visit.rng.uniform(*LATE_SECONDS)))
        await self._deliver(events[::-1], how)

    async def _deliver(self, events: list[FeedbackEvent], how: FaultRates) -> None:
        """Send the first attempt. Retries follow while the visit continues."""
        sent = _Sent(_encode(FeedbackEvents(events)), [event.event_id for event in events], how)
        if how.dropped:
            await self.client.hang_up("/feedback", sent.body)
        reply = await self._post("/feedback", sent.body, how)
        if reply.status in TRY_AGAIN:
            self._aside(self._insist(sent, reply))
        else:
            await self._settle(sent, reply)

    async def _insist(self, sent: _Sent, reply: HttpReply) -> None:
        """Send until a reply settles it, or the time for retries ends."""
        give_up = time.monotonic() + self.plan.retry_seconds
        pause = PAUSE_SECONDS
        while reply.status in TRY_AGAIN:
            wait = max(pause, reply.retry_after or 0.0)
            if time.monotonic() + wait > give_up:
                break
            await asyncio.sleep(wait)
            reply = await self._post("/feedback", sent.body, sent.how)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        await self._settle(sent, reply)

    async def _settle(self, sent: _Sent, reply: HttpReply) -> None:
        """Note what became of events."""
        if not reply.good:
            why = f"status {reply.status}" if reply.status else "no reply"
            self.client_log.note(GivenUp(sent.event_ids, why))
            self.statistics.abandoned += len(sent.event_ids)
            return
        self.client_log.note(Acknowledged(sent.event_ids))
        self.statistics.acknowledged += len(sent.event_ids)
        self.statistics.duplicates += page.read_receipt(reply.body).duplicates
        if sent.how.repeated:
            again = await self._post("/feedback", sent.body, sent.how)
            if again.good:
                self.statistics.duplicates += page.read_receipt(again.body).duplicates

    def _aside(self, doing: Coroutine[Any, Any, None]) -> None:
        """Have something done while the visit ends; the simulation waits for it."""
        task = asyncio.create_task(doing)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _change_items(self, day: int) -> None:
        """Open the shop's next days: report to the service what is launched and withdrawn on them."""
        days = range(self._open_until + 1, day + 1)
        self._open_until = day
        audience, catalogue = self.audience, self.audience.catalogue
        there = [found for one in days for found in (audience.launched(one), audience.repriced(one))]
        launched = np.unique(np.concatenate(there)).tolist()
        withdrawn = np.concatenate([audience.withdrawn(one) for one in days]).tolist()
        changes = [page.upsert(catalogue, item, available=True) for item in launched]
        changes += [page.upsert(catalogue, item, available=False) for item in withdrawn]
        for start in range(0, len(changes), MAX_CHANGES):
            part = changes[start : start + MAX_CHANGES]
            reply = await self._post("/items", _encode(ItemUpserts(part)))
            if reply.good:
                self.statistics.changed(part, time.monotonic())
