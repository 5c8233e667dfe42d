"""What Prometheus scrapes from a serving process: requests, seconds, fallbacks, and what became of the log.

Every label has few values: no ids, no paths as they come. With several workers, each writes its numbers to
files in `folder` and any of them answers for all.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from tastemaker.logs.records import Stage
    from tastemaker.logs.spool import Spool
    from tastemaker.registry.deployment import Target
    from tastemaker.serving.user_features import Outcome

SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Upper bounds of the latency buckets: fine where a service level would be set."""
Reason = Literal[
    "log", "model", "features", "recent", "changes", "version", "learning", "database", "workers", "gauges"
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""What may not work though lists are answered."""
STATES = ("written", "waiting", "refused", "failed")


class Metrics:
    """One process's numbers. Make one a process: they register with the Prometheus client's own registry."""

    def __init__(self, model: str, spool: Spool, folder: Path | None) -> None:
        """`folder` is shared by the workers of one server; without it this process answers for itself."""
        if folder is not None:
            _forget_the_dead(folder)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # read when prometheus_client is imported
        import prometheus_client as prometheus

        self._prometheus, self._shared = prometheus, folder is not None
        self._spool = spool
        self._requests = prometheus.Counter(
            "tastemaker_requests_total", "Lists that were asked for, by HTTP status", ["model", "status"]
        )
        self._refusals = prometheus.Counter(
            "tastemaker_refusals_total",
            "Requests that were refused, or failed",
            ["model", "endpoint", "status"],
        )
        self._seconds = prometheus.Histogram(
            "tastemaker_request_seconds", "Seconds from request to answer", ["model"], buckets=SECONDS
        )
        self._answers = prometheus.Counter(
            "tastemaker_answers_total",
            "Answers by what their list begins with, and why it is not (all) the model's",
            ["model", "stage", "reason"],
        )
        self._features = prometheus.Counter(
            "tastemaker_user_features_total",
            "Users whose features were wanted, by what became of it",
            ["model", "outcome"],
        )
        self._model = model
        records = prometheus.Gauge(
            "tastemaker_log_records",
            "Log records of the living workers by what became of them",
            ["state"],
            multiprocess_mode="livesum",
        )
        self._records = {state: records.labels(state) for state in STATES}
        backlog = {
            "records": "Log records that were not drained yet",
            "bytes": "Bytes on disk that the log takes",
            "oldest_seconds": "Age of the oldest log record that was not drained yet",
        }
        self._backlog = {
            name: prometheus.Gauge(
                f"tastemaker_log_backlog_{name}", meaning, multiprocess_mode="livemostrecent"
            )
            for name, meaning in backlog.items()
        }
        self._swaps = prometheus.Counter(
            "tastemaker_swaps_total",
            "Changes of the served version, done and refused",
            ["model", "outcome"],
        )
        self._versions = prometheus.Gauge(
            "tastemaker_version_info",
            "1 for the version that is served",
            ["model", "version"],
            multiprocess_mode="livemax",
        )
        self._wanted = prometheus.Gauge(
            "tastemaker_wanted_version_info",
            "1 for the version that was promoted or deployed, and is to be served",
            ["model", "version"],
            multiprocess_mode="livemax",
        )
        self._lag = prometheus.Gauge(
            "tastemaker_learning_lag_seconds",
            "Age of the oldest answer that the served state of the model has not learned; 0 if none",
            ["model"],
            multiprocess_mode="livemax",
        )
        self.answered_at = 0.0
        """When a list was answered last, seconds since 1970 UTC."""
        self._version: str | None = None
        self._lags = False

    def answered(self, model: str, answers: Sequence[tuple[float, Stage, str | None]]) -> None:
        """Requests were answered together: the seconds of each, its stage and why it fell back."""
        self.answered_at = time.time()
        self._requests.labels(model, "200").inc(len(answers))
        observed = self._seconds.labels(model)
        for seconds, _, _ in answers:
            observed.observe(seconds)
        for (stage, fallback), n in Counter((stage, fallback) for _, stage, fallback in answers).items():
            self._answers.labels(model, stage, fallback or "none").inc(n)

    def serves(self, model: str, version: str) -> None:
        """This version is served from now on."""
        if self._version is not None:
            self._versions.labels(self._model, self._version).set(0)
        if self._lags and model != self._model:
            self._lag.labels(self._model).set(0)
            self._lags = False
        self._model, self._version = model, version
        self._versions.labels(model, version).set(1)

    def wants(self, before: Target | None, wanted: Target | None) -> None:
        """Another version is to be served than before."""
        if before is not None:
            self._wanted.labels(before.model, before.version).set(0)
        if wanted is not None:
            self._wanted.labels(wanted.model, wanted.version).set(1)

    def swapped(self, model: str, outcome: Literal["done", "refused"]) -> None:
        """A version of the model was wanted, and put in place or refused."""
        self._swaps.labels(model, outcome).inc()

    def lags(self, seconds: float) -> None:
        """The model goes on learning, and is so far behind."""
        self._lags = True
        self._lag.labels(self._model).set(seconds)

    def featured(self, outcome: Outcome, users: int) -> None:
        """The features of so many users were read from memory, from the store, too late or not at all."""
        self._features.labels(self._model, outcome).inc(users)

    def refused(self, endpoint: str, status: int, *, list_asked: bool) -> None:
        """One request was refused; `endpoint` is a path's template, never a path."""
        self._refusals.labels(self._model, endpoint, str(status)).inc()
        if list_asked:
            self._requests.labels(self._model, str(status)).inc()

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        self.count_records()
        for name, value in self._spool.backlog()._asdict().items():
            self._backlog[name].set(value)
        if not self._shared:
            return self._prometheus.generate_latest()
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._prometheus.CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return self._prometheus.generate_latest(registry)

    def count_records(self) -> None:
        """What became of the log's records so far: the other workers answer for this one, too."""
        for state, value in {**self._spool.counts._asdict(), "waiting": self._spool.waiting}.items():
            self._records[state].set(value)


def _forget_the_dead(folder: Path) -> None:
    """Workers that were killed leave gauges behind that would be added up with the living ones' for ever."""
    for path in folder.glob("gauge_live*.db"):
        process = path.stem.rpartition("_")[2]
        if not Path(f"/proc/{process}").exists():
            path.unlink(missing_ok=True)
