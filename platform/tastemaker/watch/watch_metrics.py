"""What the watch measures of itself."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import Metric

OUTCOMES = ("sent", "retry", "rejected")


class WatchMetrics:
    """The metrics of this process."""

    def __init__(self, channels: Iterable[str]) -> None:
        """Create all metrics, with 0 for what may happen. `channels`: names of the channels."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self.evaluated = Gauge(
            "tastemaker_watch_evaluated_timestamp_seconds",
            "When the rules were evaluated last",
            registry=registry,
        )
        self.evaluation_seconds = Gauge(
            "tastemaker_watch_evaluation_duration_seconds",
            "How long the newest evaluation took, scrapes included",
            registry=registry,
        )
        self.is_leader = Gauge(
            "tastemaker_watch_evaluates", "1 if this watcher evaluates the rules", registry=registry
        )
        self.database_up = Gauge(
            "tastemaker_watch_database_up",
            "1 if the database was written at the last attempt",
            registry=registry,
        )
        self.unwritten = Gauge(
            "tastemaker_watch_unwritten_changes", "Changes that wait for the database", registry=registry
        )
        self.oldest_seconds = Gauge(
            "tastemaker_watch_outbox_oldest_seconds",
            "Age of the oldest message that was not sent",
            ["channel"],
            registry=registry,
        )
        self._notifications = Counter(
            "tastemaker_watch_notifications_total",
            "Attempts to send a message, by what came of them",
            ["channel", "outcome"],
            registry=registry,
        )
        self.firing = Gauge("tastemaker_watch_incidents", "Open incidents", ["severity"], registry=registry)
        self.series_dropped = Gauge(
            "tastemaker_watch_dropped_series", "Series beyond the most that are kept", registry=registry
        )
        self.rules_failed = Gauge(
            "tastemaker_watch_failed_rules", "Rules that can't be evaluated", registry=registry
        )
        for channel in channels:
            self.oldest_seconds.labels(channel).set(0)
            for outcome in OUTCOMES:
                self._notifications.labels(channel, outcome)
        for severity in ("page", "ticket"):
            self.firing.labels(severity).set(0)

    def count(self, channel: str, outcome: str) -> None:
        """Count an attempt to send a message.

        Args:
            channel: The channel's name.
            outcome: What came of it: one of OUTCOMES.
        """
        self._notifications.labels(channel, outcome).inc()

    def page(self) -> str:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry).decode()


def rendered(metrics: Iterable[Metric]) -> str:
    """Return metrics in Prometheus' text format."""

    class _Collected:
        def collect(self) -> Iterable[Metric]:
            return metrics

    return generate_latest(_Collected()).decode()
