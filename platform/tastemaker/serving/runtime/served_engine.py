"""One engine of a process, with what keeps its version current."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tastemaker.registry.deployment import Target
from tastemaker.serving.inference.batcher import Batcher
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.serving.runtime.metrics import Reason

if TYPE_CHECKING:
    from tastemaker.serving.runtime.engine_metrics import EngineMetrics
    from tastemaker.serving.runtime.hot_swap import VersionWatcher
    from tastemaker.serving.runtime.online_updates import ModelRefresher
    from tastemaker.serving.runtime.version_loader import VersionLoader


@dataclass(frozen=True, eq=False)
class ServedEngine:
    """An engine, and what replaces its version and its model's state while it serves."""

    batcher: Batcher
    loader: VersionLoader | None = None
    """Opens its versions."""
    watcher: VersionWatcher | None = None
    """Follows a deployment; None where the version is pinned or packed."""
    refresher: ModelRefresher | None = None
    """Follows the states of online learning; None where no served model learns online."""
    pinned: bool = False
    """Whether a person pinned the version, so that no deployment replaces it."""
    metrics: EngineMetrics | None = None

    @property
    def predictor(self) -> Predictor | None:
        """What answers now; None while no version is loaded."""
        return self.batcher.predictor

    @property
    def served(self) -> Target | None:
        """The version that answers now; None while none is loaded."""
        predictor = self.batcher.predictor
        return None if predictor is None else Target(predictor.model, predictor.version)

    @property
    def wanted(self) -> Target | None:
        """The version that the deployment names; None if it names none, or none is followed."""
        return None if self.watcher is None else self.watcher.wanted

    @property
    def differs(self) -> bool:
        """Whether another version is served than is wanted."""
        return self.wanted is not None and self.wanted != self.served

    def troubles(self) -> Iterator[tuple[Reason, str | None]]:
        """Yield each part that may fail while lists are answered, and why it does; None while it works."""
        predictor = self.batcher.predictor
        yield "model", self.batcher.trouble
        yield "features", None if self.loader is None else self.loader.trouble
        yield "changes", None if predictor is None else predictor.pipeline.overlay.trouble
        yield "learning", None if self.refresher is None else self.refresher.trouble
        yield "version", None if self.watcher is None else self.watcher.trouble

    def measure(self) -> None:
        """Update the numbers that no request counts."""
        if self.metrics is not None:
            batcher = self.batcher
            self.metrics.measured(
                ready=batcher.predictor is not None,
                waiting=batcher.queue.qsize(),
                limit=batcher.limits.waiting,
            )

    def close(self) -> None:
        """Stop following, and let the model's thread end."""
        for follower in (self.watcher, self.refresher):
            if follower is not None:
                follower.close()
        self.batcher.close()
