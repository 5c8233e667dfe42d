"""What one engine counts for Prometheus. Several engines of a process may serve versions of one model."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from tastemaker.event_log.records import IMPRESSION, Kind
from tastemaker.registry.deployment import Target
from tastemaker.serving.inference.fallback_reasons import (
    FALLBACKS,
    MODEL_INVALID,
    MODEL_SHORT,
    SOURCES,
    STAGES,
)
from tastemaker.serving.inference.user_features import OUTCOMES

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

    from tastemaker.api.schemas import Answer
    from tastemaker.event_log.records import Stage
    from tastemaker.plugins.arrays import Float32
    from tastemaker.serving.inference.fallback_reasons import Source
    from tastemaker.serving.inference.user_features import Outcome
    from tastemaker.serving.runtime.version_info import VersionInfo

NONE: Final = "none"
"""The reason of answers that are all the model's."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
State = Literal["present", "missing", "invalid"]
STATES: Final[tuple[State, ...]] = get_args(State)
"""Of a feature's value: a number, none, or one that is not finite."""
OTHER: Final = "other"
"""The type of feedback whose type no served model's problem has."""
FeedbackOutcome = Literal["accepted", "refused"]
FEEDBACK_OUTCOMES: Final[tuple[FeedbackOutcome, ...]] = get_args(FeedbackOutcome)
MOST_UNCOUNTED = 10_000
"""Batches whose feature values are kept until they are counted."""


class EngineFamilies:
    """The metrics that the engines of a process share, labelled by model."""

    def __init__(
        self,
        counter: Callable[..., Counter],
        gauge: Callable[..., Gauge],
        histogram: Callable[..., Histogram],
        versions: VersionInfo,
    ) -> None:
        """Create the metrics that the engines of a process share.

        Args:
            counter: Makes a counter, of its name, its meaning and the names of its labels.
            gauge: Makes a gauge likewise; `mode` says what the workers' values become together.
            histogram: Makes a histogram of seconds likewise.
            versions: Shows the versions that the engines serve and want.
        """
        self.answers = counter(
            "answers_total",
            "Lists by what they begin with, and why they are not (all) the model's",
            "model", "stage", "reason",
        )  # fmt: skip
        self.shadows = counter(
            "shadow_answers_total",
            "Lists for copies of requests, which no user sees, by what they begin with",
            "model", "stage",
        )  # fmt: skip
        self.empty = counter("empty_answers_total", "Lists without an item", "model", "kind")
        self.short = counter(
            "short_answers_total", "Lists that have items, and fewer than were asked for", "model", "kind"
        )
        self.shown = counter("shown_items_total", "Items in lists, by what chose them", "model", "source")
        self.features = counter(
            "user_features_total",
            "Users whose features were wanted, by what became of it",
            "model", "outcome",
        )  # fmt: skip
        self._values = counter(
            "feature_values_total",
            "Values of user features that were in time for the model, by whether they are a number",
            "model", "feature", "state",
        )  # fmt: skip
        self._uncounted: deque[tuple[str, tuple[str, ...], Float32]] = deque(maxlen=MOST_UNCOUNTED)
        self.batches = histogram(
            "model_batch_duration_seconds", "Seconds from the start of a batch to its lists", "model"
        )
        self.swaps = counter(
            "swaps_total", "Changes of the served version, done and refused", "model", "outcome"
        )
        self._feedback = counter(
            "feedback_events_total",
            "Events of feedback by their type, and whether they were acknowledged (repeated ones, too)",
            "event_type", "outcome",
        )  # fmt: skip
        self._event_types = set[str]()
        self.know_events((IMPRESSION, OTHER))
        self.versions = versions
        self.lag = ModelGauge(
            gauge(
                "learning_lag_seconds",
                "Age of the oldest answer that the served state of the model has not learned; 0 if none",
                "model",
            )
        )
        self.ready = ModelGauge(
            gauge(
                "ready",
                "1 if every worker has a version of the model loaded, else 0",
                "model",
                mode="livemin",
            ),
            put=min,
            unserved=math.nan,
        )
        self.waiting = ModelGauge(
            gauge(
                "waiting_requests",
                "Requests that wait for the model, in the worker that has the most",
                "model",
            )
        )
        self.waiting_limit = ModelGauge(
            gauge("waiting_limit_requests", "The most requests that may wait in a worker", "model")
        )

    def know(self, model: str) -> None:
        """Show all that may happen to this model, so that it is there before it happens."""
        for stage in STAGES:
            self.shadows.labels(model, stage)
            for reason in (NONE, MODEL_INVALID, MODEL_SHORT) if stage == "model" else FALLBACKS:
                self.answers.labels(model, stage, reason)
        for kind in KINDS:
            self.empty.labels(model, kind)
            self.short.labels(model, kind)
        for source in SOURCES:
            self.shown.labels(model, source)
        for outcome in OUTCOMES:
            self.features.labels(model, outcome)
        for done in ("done", "refused"):
            self.swaps.labels(model, done)
        self.batches.labels(model)
        for each in (self.lag, self.waiting, self.waiting_limit):
            each.know(model)

    def know_features(self, model: str, names: Iterable[str]) -> None:
        """Show the features that a model reads, with 0 values so far.

        Args:
            model: The model's name.
            names: The names of the user features.
        """
        for name in names:
            for state in STATES:
                self._values.labels(model, name, state)

    def know_events(self, types: Iterable[str]) -> None:
        """Show these types of feedback."""
        for event_type in types:
            self._event_types.add(event_type)
            for outcome in FEEDBACK_OUTCOMES:
                self._feedback.labels(event_type, outcome)

    def feedback(self, types: Iterable[str], outcome: FeedbackOutcome) -> None:
        """Count events by their types. Callers may invent types: those that no model knows are one.

        Args:
            types: The type of each event.
            outcome: What became of all of them.
        """
        for event_type, n in Tally(types).items():
            known = event_type if event_type in self._event_types else OTHER
            self._feedback.labels(known, outcome).inc(n)

    def read(self, model: str, names: tuple[str, ...], values: Float32) -> None:
        """Remember values of user features until `count_values`.

        Args:
            model: The name of the model that received them.
            names: The names of the features, one per column.
            values: float32[n, len(names)], a row per user; NaN where missing. It is not copied.
        """
        self._uncounted.append((model, names, values))

    def count_values(self) -> None:
        """Count the values that were read: many batches at once cost a tenth of each by itself."""
        read: defaultdict[tuple[str, tuple[str, ...]], list[Float32]] = defaultdict(list)
        for _ in range(len(self._uncounted)):
            model, names, values = self._uncounted.popleft()
            read[model, names].append(values)
        for (model, names), arrays in read.items():
            found = np.concatenate(arrays)
            missing = np.isnan(found).sum(axis=0).tolist()
            present = np.isfinite(found).sum(axis=0).tolist()
            for name, is_missing, is_present in zip(names, missing, present, strict=True):
                count = partial(self._values.labels, model, name)
                count("present").inc(is_present)
                count("missing").inc(is_missing)
                count("invalid").inc(len(found) - is_present - is_missing)


class ModelGauge:
    """A gauge by model, put together from the engines that serve the model."""

    def __init__(
        self, gauge: Gauge, *, put: Callable[[Iterable[float]], float] = max, unserved: float = 0.0
    ) -> None:
        """Wrap a gauge.

        Args:
            gauge: With the one label `model`.
            put: Makes one value of those of a model's engines.
            unserved: The value of a model that no engine serves any more; NaN is not shown.
        """
        self._gauge, self._put, self._unserved = gauge, put, unserved
        self._values: dict[EngineMetrics, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def know(self, model: str) -> None:
        """Show the model, with 0 if it has no value yet."""
        self._gauge.labels(model)

    def set(self, engine: EngineMetrics, model: str, value: float) -> None:
        """Set the value of an engine, and with it that of its model.

        Where the engine served another model before, that model's value is computed again without it.

        Args:
            engine: The numbers of the engine.
            model: The name of the model that it serves now.
            value: The engine's own value, which is put together with those of the model's other engines.
        """
        with self._lock:
            models = {model, self._values.get(engine, (model, 0.0))[0]}
            self._values[engine] = model, value
            for one in models:
                values = [given for named, given in self._values.values() if named == one]
                self._gauge.labels(one).set(self._put(values) if values else self._unserved)


class EngineMetrics:
    """One engine's numbers."""

    def __init__(self, families: EngineFamilies, model: str) -> None:
        """Count for one engine, with 0 for what may happen.

        Args:
            families: The metrics that the engines of the process share.
            model: The name of the model whose version is served first.
        """
        self._families, self._model = families, model
        self._served: Target | None = None
        self.answered_at = 0.0
        """When this engine last answered a list, seconds since 1970 UTC."""
        families.know(model)
        self._batch = families.batches.labels(model)
        self._labelled = cache(_labelled)

    def answered(
        self,
        lists: Mapping[tuple[str, Stage, str | None], int],
        shown: Mapping[tuple[str, Source], int],
        incomplete: Mapping[tuple[str, Kind, bool], int],
    ) -> None:
        """Count the answers of a batch.

        Args:
            lists: Their number by model, stage and reason of the fallback.
            shown: The number of their items by model and source.
            incomplete: Lists with fewer items than were asked for, by model, kind and whether they are empty.
        """
        self.answered_at = time.time()
        families, labelled = self._families, self._labelled
        for (model, stage, fallback), n in lists.items():
            labelled(families.answers, model, stage, fallback or NONE).inc(n)
        for (model, source), n in shown.items():
            labelled(families.shown, model, source).inc(n)
        for (model, kind, empty), n in incomplete.items():
            labelled(families.empty if empty else families.short, model, kind).inc(n)

    def shadowed(self, answers: Iterable[Answer]) -> None:
        """Count lists that no user sees."""
        for (model, stage), n in Tally((one.model, one.stage) for one in answers).items():
            self._labelled(self._families.shadows, model, stage).inc(n)

    def batch(self, seconds: float) -> None:
        """Count a batch that the model answered in so many seconds."""
        self._batch.observe(seconds)

    def serves(self, model: str, version: str) -> None:
        """Show that this version is served from now on.

        Args:
            model: The name of the version's model, for which all else is counted from now on.
            version: The version's id.
        """
        served = Target(model, version)
        self._families.versions.move("served", self._served, served)
        if model != self._model:
            self._families.know(model)
            self._families.lag.set(self, model, 0.0)
            self._batch = self._families.batches.labels(model)
        self._model, self._served = model, served

    def measured(self, *, ready: bool, waiting: int, limit: int) -> None:
        """Set the gauges of the engine at this time.

        Args:
            ready: Whether a version is loaded.
            waiting: How many requests wait for it.
            limit: The most requests that may wait for it.
        """
        families = self._families
        families.ready.set(self, self._model, ready)
        families.waiting.set(self, self._model, waiting)
        families.waiting_limit.set(self, self._model, limit)

    def wants(self, before: Target | None, wanted: Target | None) -> None:
        """Show that another version is to be served than before.

        Args:
            before: The version that was to be served; None if there was none.
            wanted: The version that is to be served now; None if there is none.
        """
        if wanted is not None:
            self._families.know(wanted.model)
        self._families.versions.move("wanted", before, wanted)

    def swapped(self, model: str, outcome: Literal["done", "refused"]) -> None:
        """Count that a version was wanted, and put in place or refused.

        Args:
            model: The name of the version's model.
            outcome: What became of it.
        """
        self._families.swaps.labels(model, outcome).inc()

    def lags(self, seconds: float) -> None:
        """Set the online-learning lag, in seconds."""
        self._families.lag.set(self, self._model, seconds)

    def featured(self, outcome: Outcome, users: int) -> None:
        """Count users by how their features were read.

        Args:
            outcome: Whether from memory, from the store, too late or not at all.
            users: The number of the users.
        """
        self._labelled(self._families.features, self._model, outcome).inc(users)

    def learns_from(self, event_types: Iterable[str]) -> None:
        """Show the types of feedback that the problem of a version has."""
        self._families.know_events(event_types)

    def reads(self, model: str, names: Iterable[str]) -> None:
        """Show the features that a model will read, with 0 values so far.

        Args:
            model: The model's name; it need not be served yet.
            names: The names of the user features.
        """
        self._families.know_features(model, names)

    def read(self, names: tuple[str, ...], values: Float32) -> None:
        """Count values of user features that were in time for the model: later, together with further ones.

        Args:
            names: The names of the features, one per column.
            values: float32[n, len(names)], a row per user; NaN where missing. It is not copied.
        """
        self._families.read(self._model, names, values)


def _labelled(family: Counter, *labels: str) -> Counter:
    """Return the counter with these labels. Remembered, as prometheus_client checks and locks each time."""
    return family.labels(*labels)
