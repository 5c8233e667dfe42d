"""What one engine counts for Prometheus. Several engines of a process may serve versions of one model."""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal

from tastemaker.registry.deployment import Target
from tastemaker.serving.inference.fallback import FALLBACKS, MODEL_INVALID, MODEL_SHORT, STAGES
from tastemaker.serving.inference.user_features import OUTCOMES

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

    from tastemaker.event_log.records import Stage
    from tastemaker.serving.inference.user_features import Outcome

NONE: Final = "none"
"""The reason of answers that are all the model's."""
INFO = "_version_info"


class EngineFamilies:
    """The metrics that the engines of a process share, labelled by model."""

    def __init__(self, counter: Callable[..., Counter], gauge: Callable[..., Gauge]) -> None:
        """Create the metrics; `counter` and `gauge` make one of a name, a meaning and labels."""
        self.answers = counter(
            "answers_total",
            "Lists by what they begin with, and why they are not (all) the model's",
            "model", "stage", "reason",
        )  # fmt: skip
        self.features = counter(
            "user_features_total",
            "Users whose features were wanted, by what became of it",
            "model", "outcome",
        )  # fmt: skip
        self.swaps = counter(
            "swaps_total", "Changes of the served version, done and refused", "model", "outcome"
        )
        self.served = VersionGauge(
            gauge("served" + INFO, "1 for the version that is served", "model", "version")
        )
        self.wanted = VersionGauge(
            gauge(
                "wanted" + INFO,
                "1 for the version that was promoted or deployed, and is to be served",
                "model", "version",
            )
        )  # fmt: skip
        self._lag = gauge(
            "learning_lag_seconds",
            "Age of the oldest answer that the served state of the model has not learned; 0 if none",
            "model",
        )
        self._lags: dict[EngineMetrics, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def know(self, model: str) -> None:
        """Show all that may happen to this model, so that it is there before it happens."""
        for stage in STAGES:
            for reason in (NONE, MODEL_INVALID, MODEL_SHORT) if stage == "model" else FALLBACKS:
                self.answers.labels(model, stage, reason)
        for outcome in OUTCOMES:
            self.features.labels(model, outcome)
        for done in ("done", "refused"):
            self.swaps.labels(model, done)
        self._lag.labels(model)

    def lags(self, engine: EngineMetrics, model: str, seconds: float) -> None:
        """Show the longest lag of each model's engines."""
        with self._lock:
            models = {model, self._lags.get(engine, (model, 0.0))[0]}
            self._lags[engine] = model, seconds
            for one in models:
                longest = max((lag for named, lag in self._lags.values() if named == one), default=0.0)
                self._lag.labels(one).set(longest)


class VersionGauge:
    """A gauge that is 1 for each version that some engine names, and 0 for the others."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge, self._named = gauge, Tally[Target]()
        self._lock = threading.Lock()

    def move(self, before: Target | None, after: Target | None) -> None:
        """Set that an engine, which named the version `before`, names `after`."""
        with self._lock:
            if before is not None:
                self._named[before] -= 1
                if not self._named[before]:
                    self._gauge.labels(before.model, before.version).set(0)
            if after is not None:
                self._named[after] += 1
                self._gauge.labels(after.model, after.version).set(1)


class EngineMetrics:
    """One engine's numbers."""

    def __init__(self, families: EngineFamilies, model: str) -> None:
        """Count for `model`, whose version is served first."""
        self._families, self._model = families, model
        self._served: Target | None = None
        self.answered_at = 0.0
        """When this engine last answered a list, seconds since 1970 UTC."""
        families.know(model)

    def answered(self, answers: Mapping[tuple[str, Stage, str | None], int]) -> None:
        """Count lists by model, stage and reason of the fallback."""
        self.answered_at = time.time()
        for (model, stage, fallback), n in answers.items():
            self._families.answers.labels(model, stage, fallback or NONE).inc(n)

    def serves(self, model: str, version: str) -> None:
        """Show that this version is served from now on."""
        served = Target(model, version)
        self._families.served.move(self._served, served)
        if model != self._model:
            self._families.know(model)
            self._families.lags(self, model, 0.0)
        self._model, self._served = model, served

    def wants(self, before: Target | None, wanted: Target | None) -> None:
        """Show that another version is to be served than before."""
        if wanted is not None:
            self._families.know(wanted.model)
        self._families.wanted.move(before, wanted)

    def swapped(self, model: str, outcome: Literal["done", "refused"]) -> None:
        """Count that a version of the model was wanted, and put in place or refused."""
        self._families.swaps.labels(model, outcome).inc()

    def lags(self, seconds: float) -> None:
        """Set the online-learning lag, in seconds."""
        self._families.lags(self, self._model, seconds)

    def featured(self, outcome: Outcome, users: int) -> None:
        """Count users by how their features were read."""
        self._families.features.labels(self._model, outcome).inc(users)
