"""What does not work though lists are answered, and the numbers that no request counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from tastemaker.serving.runtime.metrics import Metrics, Reason
from tastemaker.serving.runtime.served_engine import ServedEngine
from tastemaker.util.poller import Poller

GAUGES_SECONDS = 1.0
"""How old the numbers may be that no request counts."""
Check = Callable[[], str | None]
"""Says why a part does not work, in words; None while it does."""


class Health:
    """The state of one process's parts. Each part itself logs when it fails and when it works again."""

    def __init__(
        self,
        metrics: Metrics,
        engines: Sequence[ServedEngine],
        checks: Mapping[Reason, Check],
        *,
        poll_seconds: float | None = GAUGES_SECONDS,
    ) -> None:
        """Start measuring.

        Args:
            metrics: Where the gauges are.
            engines: The engines whose parts are checked.
            checks: Further parts, which all engines share.
            poll_seconds: Between two measurements; None to measure on demand only.
        """
        self._metrics, self._engines, self.checks = metrics, engines, dict(checks)
        self._poller: Poller | None = None
        if poll_seconds is not None:
            self._poller = poller = Poller(self.measure, seconds=poll_seconds, name="gauges")
            self.checks["gauges"] = lambda: poller.trouble

    def degraded(self) -> dict[Reason, str]:
        """Return why each part that does not work does not, in words.

        Where there are several engines, the words of an engine's part begin with its version.
        """
        found: defaultdict[Reason, list[str]] = defaultdict(list)
        for reason, check in self.checks.items():
            if (words := check()) is not None:
                found[reason].append(words)
        for engine in self._engines:
            for reason, words in engine.troubles():
                if words is not None:
                    found[reason].append(words if len(self._engines) == 1 else f"{engine.served}: {words}")
        return {reason: "; ".join(words) for reason, words in found.items()}

    def measure(self) -> None:
        """Update the numbers that no request counts."""
        for engine in self._engines:
            engine.measure()
        self._metrics.count_rest()
        differs = any(engine.differs for engine in self._engines)
        self._metrics.is_degraded(self.degraded(), differs=differs)

    def close(self) -> None:
        """Stop measuring."""
        if self._poller is not None:
            self._poller.close()
