"""What a serving process counts for Prometheus; `page` is what is scraped. docs/how-to/on-call.md lists all.

Every label has few values: no ids, no paths as they come. What may happen is there with 0 before it happens,
so that `rate` sees the first time. With several workers, each writes its numbers to files in `folder`, and
any of them answers for all. The files belong to a worker's place, not to its process: whoever takes over
from a worker that ended counts on from there, so that no counter falls.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import threading
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from tastemaker._version import __version__
from tastemaker.serving.runtime.engine_metrics import (
    EngineFamilies,
    EngineMetrics,
    FeedbackOutcome,
)
from tastemaker.serving.runtime.machine import Machine
from tastemaker.serving.runtime.processes import Processes
from tastemaker.serving.runtime.version_info import VersionInfo
from tastemaker.serving.runtime.worker_slots import Workers

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram
    from prometheus_client.metrics_core import Metric

    from tastemaker.event_log.spool import Spool

SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Upper bounds of the duration's buckets: fine where a service level would be set."""
Reason = Literal[
    "changes", "database", "features", "gauges", "keys", "learning", "log", "model", "plan", "recent",
    "services", "version", "watch", "workers",
]  # fmt: skip
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Parts that may fail while lists are answered."""
UNKNOWN: Final = "unknown"
"""The endpoint of requests for an unknown path."""
SHADOW: Final = "shadow"
"""The endpoint of copies of requests, whose answers no user sees."""
FILE_BYTES = 1 << 18
"""Room in each file: a file that has to grow where there is no room kills the process."""
PREFIX = "tastemaker_"

logger = logging.getLogger("tastemaker.serving")


class Metrics:
    """The numbers of one process."""

    def __init__(
        self,
        spool: Spool,
        folder: Path | None = None,
        *,
        place: int = 1,
        server: int | None = None,
        endpoints: Mapping[str, Iterable[int]] | None = None,
        folders: Mapping[str, Path] | None = None,
    ) -> None:
        """Create all metrics, with 0 for what may happen.

        Args:
            spool: The log, whose backlog is shown.
            folder: What the workers of one server share; without it, this process answers for itself.
            place: The place of this worker among them.
            server: Their parent process.
            endpoints: The statuses that each endpoint may answer with, by its path's template.
            folders: The folders whose disks are measured, by the value of the label `folder`.
        """
        import prometheus_client as prometheus

        self._folder, self._place, self._spool = folder, place, spool
        self._workers = None if folder is None else Workers(folder)
        self._processes = Processes(folder, server)
        self._machine = Machine(server or os.getpid(), folders or {})
        if folder is not None and not _share(folder, place):
            self._folder = None
        self._registry = prometheus.CollectorRegistry()
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._requests = self.counter(
            "requests_total", "HTTP requests by endpoint and status", "endpoint", "status"
        )
        self._durations = self.histogram(
            "request_duration_seconds", "Seconds from an HTTP request to its response", "endpoint"
        )
        self._versions = VersionInfo(PREFIX, self._folder, place)
        self._engines = EngineFamilies(self.counter, self.gauge, self.histogram, self._versions)
        self._records = self.counter(
            "log_records_total",
            "Log records by whether they are on disk, found no room, or the disk failed them",
            "outcome",
        )
        self._lost = self.counter(
            "log_lost_records_total", "Answers that were given and will never be in the log, by why", "cause"
        )
        self._waiting = self.gauge(
            "log_waiting_records", "Log records that wait for the disk", mode="livesum"
        )
        self._waiting_limit = self.gauge(
            "log_waiting_limit_records", "The most log records that may wait", mode="livesum"
        )
        self._degraded = self.gauge(
            "degraded", "1 while this does not work in some worker though lists are answered", "reason"
        )
        self._differs = self.gauge(
            "version_differs", "1 while some worker serves another version than is wanted"
        )
        self._counted: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._counted_records: dict[Counter, int] = {}
        self._count_lock = threading.Lock()
        self._begin(endpoints or {})

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """Return a new counter of this process.

        Args:
            name: What follows PREFIX; it ends in `_total`.
            meaning: One line, which Prometheus shows as help.
            labels: The names of the labels.
        """
        from prometheus_client import Counter

        return Counter(PREFIX + name, meaning, labels, registry=self._registry)

    def gauge(
        self,
        name: str,
        meaning: str,
        *labels: str,
        mode: Literal["livemax", "livemin", "livesum"] = "livemax",
    ) -> Gauge:
        """Return a new gauge of this process.

        Args:
            name: What follows PREFIX.
            meaning: One line, which Prometheus shows as help.
            labels: The names of the labels.
            mode: What the values of the workers that run become together: the greatest, the least or the sum.
        """
        from prometheus_client import Gauge

        full = PREFIX + name
        return Gauge(full, meaning, labels, registry=self._registry, multiprocess_mode=mode)

    def histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        """Return a new histogram of seconds, with the buckets SECONDS.

        Args:
            name: What follows PREFIX; it ends in `_seconds`.
            meaning: One line, which Prometheus shows as help.
            labels: The names of the labels.
        """
        from prometheus_client import Histogram

        return Histogram(PREFIX + name, meaning, labels, buckets=SECONDS, registry=self._registry)

    def requested(self, endpoint: str, status: int, *seconds: float) -> None:
        """Count HTTP requests of one kind.

        Args:
            endpoint: A path's template, UNKNOWN or SHADOW, never a path.
            status: Of the answers.
            seconds: Of each request.
        """
        requests, durations = self._counted.get((endpoint, status)) or self._count(endpoint, status)
        requests.inc(len(seconds))
        _observe(durations, seconds)

    def engine(self, model: str) -> EngineMetrics:
        """Return the numbers of a further engine, which serves this model first."""
        return EngineMetrics(self._engines, model)

    def know_events(self, types: Iterable[str]) -> None:
        """Show these types of feedback, so that they are there before they happen."""
        self._engines.know_events(types)

    def is_degraded(self, reasons: Collection[Reason], *, differs: bool) -> None:
        """Set what of this process does not work.

        Args:
            reasons: The parts that do not work; all others do.
            differs: Whether it serves another version than is wanted.
        """
        for reason in REASONS:
            self._degraded.labels(reason).set(reason in reasons)
        self._differs.set(differs)

    def feedback(self, types: Iterable[str], outcome: FeedbackOutcome) -> None:
        """Count events of feedback by their types.

        Args:
            types: The type of each event, as callers sent it.
            outcome: What became of all of them.
        """
        self._engines.feedback(types, outcome)

    def count_rest(self) -> None:
        """Count what no request counts: log records, and values of features.

        The other workers answer for this one, too.
        """
        self._waiting.set(self._spool.waiting)
        with self._count_lock:
            self._engines.count_values()
            counts, lost = self._spool.counts._asdict(), self._spool.lost._asdict()
            children = {self._records.labels(outcome): n for outcome, n in counts.items()}
            children |= {self._lost.labels(cause): n for cause, n in lost.items()}
            for child, n in children.items():
                child.inc(n - self._counted_records.get(child, 0))
            self._counted_records = children

    def page(self) -> bytes:
        """Return the text that Prometheus reads."""
        from prometheus_client import generate_latest

        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics: prometheus_client's interface of a collector."""
        living = self._living()
        own = self._registry.collect() if self._folder is None else self._merged(self._folder, living)
        for metric in own:
            if metric.name == PREFIX + "ready":  # no models of the past
                metric.samples = [sample for sample in metric.samples if not math.isnan(sample.value)]
            yield metric
        yield from self._versions.collect(living)
        yield from self._backlog()
        yield from self._processes.collect()
        yield from self._machine.collect()
        yield _build()

    def _begin(self, endpoints: Mapping[str, Iterable[int]]) -> None:
        for endpoint, statuses in endpoints.items():
            for status in statuses:
                self._count(endpoint, status)
        self._waiting_limit.set(self._spool.capacity)
        self.is_degraded((), differs=False)
        self.count_rest()

    def _count(self, endpoint: str, status: int) -> tuple[Counter, Histogram]:
        counted = self._requests.labels(endpoint, str(status)), self._durations.labels(endpoint)
        self._counted[endpoint, status] = counted
        return counted

    def _living(self) -> set[int]:
        """Return the places of the workers that run and share their numbers; none without a folder."""
        if self._folder is None or self._workers is None:
            return set()
        return {self._place} | {number for number, slot in self._workers.slots().items() if slot.runs}

    def _merged(self, folder: Path, living: Collection[int]) -> Iterator[Metric]:
        """Yield the numbers of all workers; gauges only of those that are living."""
        from prometheus_client.multiprocess import MultiProcessCollector

        files = [
            str(path)
            for path in sorted(folder.glob("*.db"))
            if not path.name.startswith("gauge_live") or _place_of(path) in living
        ]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        # Feast's own numbers, which lie there too, are 0 here.
        yield from (metric for metric in merged if metric.name.startswith(PREFIX))

    def _backlog(self) -> Iterator[Metric]:
        """Yield the gauges of the spool's file, which all workers share."""
        from prometheus_client.core import GaugeMetricFamily

        meanings = {
            "records": "Log records that were not shipped yet",
            "bytes": "Bytes on disk that the log takes",
            "oldest_seconds": "Age of the oldest log record that was not shipped yet",
        }
        for name, value in self._spool.backlog()._asdict().items():
            yield GaugeMetricFamily(f"{PREFIX}log_backlog_{name}", meanings[name], value)
        limit = "The most bytes on disk that the log may take; feedback is refused from 80 % of them"
        yield GaugeMetricFamily(f"{PREFIX}log_limit_bytes", limit, self._spool.max_bytes)


def _observe(histogram: Histogram, values: Sequence[float]) -> None:
    """Do what `histogram.observe` does for each value: it writes twice to the workers' shared memory."""
    for bucket, n in Tally(bisect_left(SECONDS, value) for value in values).items():
        histogram._buckets[bucket].inc(n)
    histogram._sum.inc(sum(values))


def _build() -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    labels = {"version": __version__, "python": platform.python_version()}
    found = GaugeMetricFamily(f"{PREFIX}build_info", "1 for what runs", labels=list(labels))
    found.add_metric(list(labels.values()), 1)
    return found


def _share(folder: Path, place: int) -> bool:
    """Have this process's numbers lie in the files of its place, without the gauges of who had it before.

    False if there is no room for them.
    """
    from prometheus_client import values

    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    for kind in ("counter", "histogram", "gauge_livemax", "gauge_livemin", "gauge_livesum"):
        path = folder / f"{kind}_{place}.db"
        if kind.startswith("gauge") or not path.exists():  # whole when it appears: it may be read at any time
            partial = path.with_suffix(f".{os.getpid()}")
            try:
                partial.write_bytes(bytes(FILE_BYTES))
            except OSError as error:
                partial.unlink(missing_ok=True)
                logger.warning("%s: %s; this worker counts for itself", folder, error.strerror)
                return False
            partial.replace(path)
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]
    return True


def _place_of(path: Path) -> int | None:
    number = path.stem.rpartition("_")[2]
    return int(number) if number.isdigit() else None
