"""The thread that talks to the database, so that evaluation never waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from sqlalchemy.exc import SQLAlchemyError

from tastemaker.errors import TastemakerError
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.supervised_thread import SupervisedThread
from tastemaker.watch.incident import AlertState, Changes, Incident
from tastemaker.watch.reported_incidents import notify_reported
from tastemaker.watch.routing import Routing
from tastemaker.watch.store import LEASE_SECONDS, Interventions, LeaseLost, WatchStore

RENEW_SECONDS = LEASE_SECONDS / 3
AGAIN_SECONDS = 1.0

logger = logging.getLogger("tastemaker.watch")

Began = Callable[[Collection[AlertState], Collection[Incident]], None]


class DatabaseThread:
    """Keeps the lease, writes changes in the order in which they came, and reads what people did.

    It also enqueues the messages about incidents that others reported, once no silence keeps them back. Each
    watcher does that, also one that does not evaluate.

    While the database is away, changes wait in memory. If another watcher evaluates by then, they are
    dropped: it saw the same targets, and what it wrote holds.
    """

    def __init__(
        self,
        store: WatchStore,
        routing: Routing,
        *,
        began: Began,
        ended: Callable[[], None],
        written: Callable[[], None],
        evaluated_at: Callable[[], float | None],
        role: str = "waits",
    ) -> None:
        """Create the thread, which is not started.

        Args:
            store: Reads and writes the alerts' tables.
            routing: Who is notified of incidents that others reported.
            began: Called with alerts and incidents when this watcher is to evaluate from now on.
            ended: Called when another watcher evaluates from now on.
            written: Called when messages may have been added to the outbox.
            evaluated_at: Returns when the rules were evaluated last.
            role: waits, or facts for a watcher that never evaluates.
        """
        self._store, self._routing, self._role = store, routing, role
        self._began, self._ended, self._written, self._evaluated_at = began, ended, written, evaluated_at
        self._pending, self._lock = Changes(), threading.Lock()
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._renewed = float("-inf")
        self.is_leader = False
        self.interventions = Interventions((), frozenset())
        self.succeeded_at: float | None = None
        """When the database was reached last, by time.monotonic."""
        self.log = FailureLog(logger, "the database can be used again; what waited for it is written")
        self._thread = SupervisedThread(self._run, name="database")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, changes: Changes) -> None:
        """Write changes as soon as possible."""
        if changes:
            with self._lock:
                self._pending.extend(changes.copied())
            self._wake.set()

    @property
    def waiting(self) -> int:
        """The number of incidents and states that are not written yet."""
        with self._lock:
            return len(self._pending.states) + len(self._pending.incidents)

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, give the lease back, and end; at most so many seconds."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(seconds)

    def work(self) -> None:
        """Do once what the thread does again and again."""
        now = time.monotonic()
        if now - self._renewed >= RENEW_SECONDS or not self.is_leader:
            self._renew(now)
        if self.is_leader:
            self._flush()
        if notify_reported(self._store.engine, self._routing):
            self._written()
        self.interventions = self._store.interventions()
        self.succeeded_at = time.monotonic()

    def _run(self) -> None:
        while True:
            is_last = self._stopping.is_set()
            try:
                self.work()
                if is_last and self.is_leader:
                    self._store.release()
                self.log.succeeded()
                self._thread.succeeded()
            except (SQLAlchemyError, OSError, TastemakerError) as error:
                lines = str(error).splitlines() or [type(error).__name__]
                self.log.failed("the database can't be used; evaluation continues in memory", detail=lines[0])
            if is_last:
                return
            self._wake.wait(AGAIN_SECONDS)
            self._wake.clear()

    def _renew(self, now: float) -> None:
        holds = self._store.renew(self._role, self._evaluated_at())
        self._renewed = now
        if holds and not self.is_leader:
            states, incidents = self._store.load()
            self.interventions = self._store.interventions()
            self.is_leader = True
            logger.info("this watcher evaluates the rules")
            self._began(states, incidents)
        elif self.is_leader and not holds:
            self._lose()

    def _flush(self) -> None:
        with self._lock:
            batch, self._pending = self._pending, Changes()
        if not batch:
            return
        try:
            self._store.write(batch)
        except LeaseLost:
            self._lose()
            return
        except BaseException:
            with self._lock:
                batch.extend(self._pending)
                self._pending = batch
            raise
        if batch.messages:
            self._written()

    def _lose(self) -> None:
        logger.warning("another watcher evaluates the rules; this one waits")
        self.is_leader = False
        with self._lock:
            self._pending = Changes()
        self._ended()
