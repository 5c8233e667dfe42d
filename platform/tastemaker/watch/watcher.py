"""The watcher scrapes and evaluates at a fixed interval; its threads write, deliver and collect facts."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tastemaker.alerting.expression import Expression, Values
from tastemaker.alerting.rule import Rule
from tastemaker.errors import TastemakerError
from tastemaker.notifications.notification import Channel, Notification
from tastemaker.settings import Settings
from tastemaker.util.beat_file import BEAT_SECONDS, write_beat
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.poller import Poller
from tastemaker.watch import outbox, records
from tastemaker.watch.circumstances import BY_REASON, SERVED, CircumstancesReader, FindExamples
from tastemaker.watch.clock import AscendingClock
from tastemaker.watch.database_thread import DatabaseThread
from tastemaker.watch.delivery import Deliveries, occurred_at
from tastemaker.watch.evaluation import RuleEvaluation
from tastemaker.watch.heartbeat import Heartbeat
from tastemaker.watch.incident import AlertState, Incident
from tastemaker.watch.incident_explainer import IncidentExplainer
from tastemaker.watch.message import compose
from tastemaker.watch.outbox import Claim
from tastemaker.watch.reads import kept_series
from tastemaker.watch.retention import delete_old
from tastemaker.watch.routing import Routing
from tastemaker.watch.sample_history import SampleHistory
from tastemaker.watch.samples import AllSamples, PageError, ScrapeTarget, TargetSamples
from tastemaker.watch.scrape import ScrapeError, Scraper, instance_of
from tastemaker.watch.signed_links import SignedLinks
from tastemaker.watch.state_machine import StateMachine
from tastemaker.watch.store import WatchStore
from tastemaker.watch.watch_metrics import WatchMetrics

FACTS_SECONDS = 60.0
"""How often facts are collected: most of them change by the day."""
FACTS_LOOK_SECONDS = 1.0
FACTS_STALE_SECONDS = 300.0
"""How old facts may be to be shown and evaluated."""
GONE_SECONDS = 86_400.0
"""How long a service that was found by itself stays a target after it ended."""
DELETE_SECONDS = 3_600.0
"""How often incidents that are over for long are deleted."""
OWN_ADDRESS = "watch"
OWN_JOB = "tastemaker_watch"
HEALTHY_SECONDS = 60.0
"""How old the last evaluation, the last use of the database and the oldest message may be."""

logger = logging.getLogger("tastemaker.watch")

Services = Callable[[], Iterable[str]]
"""Returns the addresses of the running services."""
Facts = Callable[[], str]
"""Returns the facts in Prometheus' text format."""


class Watcher:
    """One `tastemaker watch`."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        rules: Sequence[Rule],
        channels: Mapping[str, Channel],
        *,
        services: Services,
        facts: Facts,
        links: SignedLinks,
        find_examples: FindExamples = lambda query, limit: (),
        facts_only: bool = False,
        clock: AscendingClock | None = None,
        scraper: Scraper | None = None,
    ) -> None:
        """Create a watcher whose threads are not started.

        Args:
            settings: All settings.
            engine: The metadata database.
            rules: The rules that are evaluated, those of plugins included.
            channels: Name -> channel.
            services: Returns the addresses of the running services; used if no targets are set.
            facts: Returns what the database says of data, models and jobs, in Prometheus' text format.
            links: Makes links to the alerts' pages.
            find_examples: Searches the log for requests that an alert is about.
            facts_only: Whether another program evaluates the rules: nothing is scraped then.
            clock: The clock of samples and alerts; None: the machine's.
            scraper: Reads the services' pages; None: by HTTP.
        """
        watch = settings.watch
        self.settings, self.engine, self.links, self._services = settings, engine, links, services
        self._facts, self._facts_only = facts, facts_only
        self.interval = watch.interval_seconds
        self.rules = rules
        self.metrics = WatchMetrics(channels)
        kept = kept_series(rules, SERVED, *BY_REASON.values())
        self.samples = AllSamples(kept)
        self._evaluation = RuleEvaluation(rules, self.interval)
        self._routing = Routing.of(watch)
        self._clock, self._scraper = clock or AscendingClock(), scraper or Scraper()
        self._machine: StateMachine | None = None
        self._lock = threading.Lock()
        """Of the samples and of the state machine."""
        self._history = SampleHistory(engine, self.samples, kept, self._lock)
        self._oldest: dict[str, float] = {}
        self._evaluated_at: float | None = None
        self._found: dict[str, float] = {}
        self._facts_page = ""
        self._facts_at = self._facts_tried_at = float("-inf")
        self._target_logs: dict[str, FailureLog] = {}
        self._deleted_at = float("-inf")
        name = f"{socket.gethostname()}-{os.getpid()}-{int(time.time())}"
        self._store = WatchStore(engine, name[-100:])
        self.deliveries = Deliveries(
            engine,
            channels,
            compose=self._compose,
            counted=self.metrics.count,
            timeouts={name: one.timeout_seconds for name, one in watch.channels.items()},
        )
        self._channel_names = tuple(channels)
        self.database = DatabaseThread(
            self._store,
            self._routing,
            began=self._began,
            ended=self._ended,
            written=self.deliveries.wake,
            evaluated_at=lambda: self._evaluated_at,
            role="facts" if facts_only else "waits",
        )
        reader = CircumstancesReader(settings, engine, self.evaluate, find_examples)
        self._explain = IncidentExplainer(settings, reader)
        self._heartbeat = Heartbeat(
            watch.heartbeat_url,
            self._heartbeat_trouble,
            fail_url=watch.heartbeat_fail_url,
            failure=self.trouble,
        )
        self._pollers: list[Poller] = []
        self._stopping = threading.Event()
        self._tick_log = FailureLog(logger, "the rules can be evaluated again", level=logging.ERROR)

    def run(self) -> None:
        """Watch until `stop` is called."""
        self.start()
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    self.tick()
                    self._tick_log.succeeded()
                except Exception as error:  # also of a plugin's rule: the next tick may succeed
                    self._tick_log.failed("the rules can't be evaluated", error=error)
                self._stopping.wait(max(0.0, self.interval - (time.monotonic() - began)))
        finally:
            self.close()

    def start(self) -> None:
        """Start the threads."""
        self.database.start()
        self.deliveries.start()
        self._heartbeat.start()
        self._pollers = [
            Poller(self._collect_facts_if_due, seconds=FACTS_LOOK_SECONDS, name="facts"),
            Poller(self.measure, seconds=self.interval, name="own metrics"),
            Poller(self.archive_samples, seconds=self.interval, name="archive"),
            Poller(self.beat, seconds=BEAT_SECONDS, name="beat"),
        ]

    def stop(self) -> None:
        """Let `run` return after the current tick."""
        self._stopping.set()

    def close(self) -> None:
        """End the threads; what waits for the database is written, if it can be."""
        for poller in self._pollers:
            poller.close()
        self._heartbeat.close()
        self.database.close()
        self.deliveries.close()
        self._scraper.close()

    def tick(self) -> None:
        """Scrape all targets, and evaluate the rules if it is for this watcher to do so."""
        began = time.monotonic()
        if self._facts_only:
            self._evaluated_at = self._clock.now()
            return
        now = self._clock.now()
        self.scrape(now)
        with self._lock:
            if self._machine is not None:
                self._evaluate(self._machine, now)
        self.metrics.evaluation_seconds.set(time.monotonic() - began)

    def scrape(self, now: float) -> None:
        """Read the pages of all targets, as of a time."""
        addresses = self.targets(now)
        pages = self._scraper.pages(addresses, min(self.interval * 0.8, 10.0))
        with self._lock:
            self.samples.remove_others([*addresses, OWN_ADDRESS])
            for address, page in pages.items():
                target = ScrapeTarget(self.settings.alerts.job, instance_of(address))
                self._append(address, self.samples.of(address, target), page, now)
            own = self.samples.of(OWN_ADDRESS, ScrapeTarget(OWN_JOB, self._own_instance()))
            self._append(OWN_ADDRESS, own, self.page(), now)
            self._history.set_far_if_due(now)
        self.metrics.series_dropped.set(sum(one.too_many for one in self.samples.targets().values()))

    def targets(self, now: float) -> list[str]:
        """Return the addresses to scrape: those of the settings, else the services that run or ran lately."""
        if self.settings.watch.targets:
            return list(self.settings.watch.targets)
        self._found |= dict.fromkeys(self._services(), now)
        self._found = {one: at for one, at in self._found.items() if now - at < GONE_SECONDS}
        return list(self._found)

    def conditions(self, now: float) -> dict[str, dict[str, str]]:
        """Return rule -> key of the labels -> summary, for the conditions that are true now."""
        readings = self._evaluation.readings(self.samples.by_name(), now, lambda _: [])
        found = {}
        for rule in self.rules:
            fires = readings[rule.name].fires if rule.name in readings else {}
            if fires and rule.severity != "none":
                texts = {
                    ", ".join(f"{name}={text}" for name, text in sorted(labels)): rule.text(
                        dict.fromkeys(rule.labels, "") | dict(labels), value
                    )
                    for labels, value in fires.items()
                }
                found[rule.name] = texts
        return found

    def evaluate(self, expression: Expression) -> Values:
        """Return the values of an expression over what was scraped last."""
        with self._lock:
            return expression.evaluate(self.samples.by_name(), self._clock.now())

    def page(self) -> str:
        """Return the watch's own metrics and the facts, in Prometheus' text format."""
        is_fresh = time.monotonic() - self._facts_at < FACTS_STALE_SECONDS
        return self.metrics.page() + (self._facts_page if is_fresh else "")

    def trouble(self) -> str | None:
        """Return why this watcher does not do its work; None while it does, or while another one does it."""
        now = time.monotonic()
        reached = self.database.succeeded_at
        if reached is None or now - reached > HEALTHY_SECONDS:
            return "the database can't be used"
        if not self._facts_only and self.database.is_leader:
            evaluated = self._evaluated_at
            if evaluated is None or self._clock.now() - evaluated > HEALTHY_SECONDS + self.interval:
                return "the rules are not evaluated"
        late = [name for name, seconds in self._oldest.items() if seconds > 5 * HEALTHY_SECONDS]
        return f"messages to {', '.join(late)} are not sent" if late else None

    def _heartbeat_trouble(self) -> str | None:
        """Return why no heartbeat is sent: only the watcher that evaluates sends it."""
        if not self._facts_only and not self.database.is_leader:
            return "another watcher evaluates the rules"
        return self.trouble()

    def beat(self) -> None:
        """Write into the home folder that the rules are evaluated and messages sent, if they are."""
        if self.trouble() is None:
            write_beat(self.settings.home)

    def _collect_facts_if_due(self) -> None:
        if time.monotonic() - self._facts_tried_at >= FACTS_SECONDS:
            self.collect_facts()

    def collect_facts(self) -> None:
        """Read the facts of the database and the lake. Raises what the collection raises."""
        self._facts_tried_at = time.monotonic()
        self._facts_page = self._facts()
        self._facts_at = time.monotonic()

    def measure(self) -> None:
        """Update the metrics that are read from the database and from the threads."""
        metrics = self.metrics
        metrics.is_leader.set(self.database.is_leader)
        metrics.database_up.set(self.database.log.trouble is None)
        metrics.unwritten.set(self.database.waiting)
        metrics.rules_failed.set(self._evaluation.failed)
        try:
            self._oldest = outbox.oldest_seconds(self.engine, self._channel_names)
            for channel, seconds in self._oldest.items():
                metrics.oldest_seconds.labels(channel).set(seconds)
            found = [one.severity for one in records.incidents(self.engine)]
        except (SQLAlchemyError, OSError):
            return  # the database's own thread says so
        for severity in ("page", "ticket"):
            metrics.firing.labels(severity).set(found.count(severity))

    def _own_instance(self) -> str:
        return f"{self.settings.watch.host}:{self.settings.watch.port}"

    def _append(self, address: str, samples: TargetSamples, page: str | ScrapeError, now: float) -> None:
        log = self._target_logs.setdefault(address, FailureLog(logger, f"{address} answers again"))
        stored = None
        if not isinstance(page, ScrapeError):
            try:
                stored = samples.append(page, now)
                log.succeeded()
            except PageError as error:
                log.failed(f"the metrics of {address} can't be read", detail=error)
        else:
            log.failed(f"{address} can't be scraped", detail=page)
        if stored is None:
            stored = samples.append("", now, is_up=False)
        if stored:
            self._history.add(address, stored)

    def _evaluate(self, machine: StateMachine, now: float) -> None:
        people = self.database.interventions
        machine.acknowledge(people.acknowledged)
        readings = self._evaluation.readings(self.samples.by_name(), now, machine.known)
        instances = {one.target.instance for one in self.samples.targets().values()}
        changes = machine.step(readings, now, silences=people.silences, instances=instances)
        self.database.add(changes)
        self._evaluated_at = now
        self.metrics.evaluated.set(now)

    def _began(self, states: Collection[AlertState], incidents: Collection[Incident]) -> None:
        machine = StateMachine(self.rules, self._routing)
        machine.restore(states, incidents, self._clock.now())
        with self._lock:
            self._machine = machine

    def _ended(self) -> None:
        with self._lock:
            self._machine = None

    def _compose(self, record: records.IncidentRecord, claimed: Claim) -> Notification:
        value = None
        if claimed.event == "reminder":
            value = records.newest_value(self.engine, record.key)
        notification = compose(
            record,
            claimed.event,
            delivery_id=claimed.delivery_id,
            occurred_at=occurred_at(claimed),
            value=value,
            related=records.related(self.engine, record.number),
            settings=self.settings,
            links=self.links,
        )
        return self._explain(notification, record.cause)

    def archive_samples(self) -> None:
        """Read samples of former processes, and write those of this one."""
        now = self._clock.now()
        if self._facts_only:
            return
        try:
            if self._history.exchange(now, writes=self.database.is_leader):
                self._delete_old(now)
        except (SQLAlchemyError, OSError, TastemakerError) as error:
            logger.debug("samples can't be stored: %s", error)  # the database's own thread says so

    def _delete_old(self, now: float) -> None:
        if now - self._deleted_at >= DELETE_SECONDS:
            delete_old(self.engine, self.settings.watch.keep_days)
            self._deleted_at = now
