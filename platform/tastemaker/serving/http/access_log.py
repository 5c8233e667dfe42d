"""The log of a serving process: JSON lines on stderr, made by structlog.

No line holds personal data: no user, no item, no context, no body; of an exception its type and where it was
raised, for its message might quote any of these. Requests that succeed are counted (`/metrics`), not
logged. For each kind of failure, at most one line per second is written; it says how many were suppressed.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import MutableMapping
from typing import Any

SLOW_SECONDS = 0.25
"""A request that takes longer is logged."""
_PAUSE_SECONDS = 1.0

logger = logging.getLogger("tastemaker.requests")


class RequestLogger:
    """Logs requests that were refused, failed or slow."""

    def __init__(self) -> None:
        self._logged_at: dict[tuple[str, int], float] = {}
        self._suppressed: dict[tuple[str, int], int] = {}

    def log(self, status: int, seconds: float, **facts: Any) -> None:
        """Log a request, unless one of its kind was logged within the last second.

        Call it in the `except` clause of a defect.

        Args:
            status: Of the answer.
            seconds: How long the answer took.
            facts: Further fields; they must hold `path`, the path's template.
        """
        kind = (facts["path"], status)
        now = time.monotonic()
        if now - self._logged_at.get(kind, -_PAUSE_SECONDS) < _PAUSE_SECONDS:
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return
        self._logged_at[kind] = now
        defect = status == 500
        level = logging.ERROR if defect else logging.WARNING
        event = "request failed" if defect else "request refused" if status >= 400 else "request slow"
        facts |= {
            "status": status,
            "ms": round(seconds * 1_000, 2),
            "suppressed": self._suppressed.pop(kind, 0),
        }
        logger.log(level, event, exc_info=defect, extra=facts)


def write_json_lines() -> None:
    """Write what the platform logs as JSON lines on stderr from now on, and only there."""
    import structlog

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_messages,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    platform = logging.getLogger("tastemaker")
    platform.handlers = [handler]
    platform.setLevel(logging.INFO)
    platform.propagate = False


def _without_messages(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace exceptions by their types and places: a structlog processor."""
    caught = event.pop("exc_info", None)
    if not caught:
        return event
    error: BaseException | None = caught[1]
    exceptions = []
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        exceptions.append({"type": type(error).__name__, "places": places})
        error = error.__cause__ or error.__context__
    return {**event, "exceptions": exceptions}
