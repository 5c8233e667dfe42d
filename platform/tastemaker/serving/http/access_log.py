"""What a serving process says about itself: JSON lines on stderr, made by structlog.

No line holds personal data: no user, no item, no context, no body; of an exception its type and where it was
raised, for its message might quote any of these. Requests that went well are counted (`/metrics`), not told.
Of each kind of trouble at most one line a second is written, which says how many were not.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import MutableMapping
from typing import Any

SLOW_SECONDS = 0.25
"""An answer that took longer is told about."""
_PAUSE_SECONDS = 1.0

logger = logging.getLogger("tastemaker.requests")


class RequestLogger:
    """Tells of requests that were refused, failed or slow."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int], float] = {}
        self._untold: dict[tuple[str, int], int] = {}

    def log(self, status: int, seconds: float, **facts: Any) -> None:
        """One request; `facts` must hold its path template. Call it in the except clause of a defect."""
        kind = (facts["path"], status)
        now = time.monotonic()
        if now - self._told.get(kind, -_PAUSE_SECONDS) < _PAUSE_SECONDS:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return
        self._told[kind] = now
        defect = status == 500
        level = logging.ERROR if defect else logging.WARNING
        event = "request failed" if defect else "request refused" if status >= 400 else "request slow"
        facts |= {"status": status, "ms": round(seconds * 1_000, 2), "untold": self._untold.pop(kind, 0)}
        logger.log(level, event, exc_info=defect, extra=facts)


def write_json_lines() -> None:
    """From now on, write what the platform logs as JSON lines on stderr, and only there."""
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
    """structlog processor: exceptions as their types and places."""
    caught = event.pop("exc_info", None)
    if not caught:
        return event
    error: BaseException | None = caught[1]
    told = []
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        told.append({"type": type(error).__name__, "places": places})
        error = error.__cause__ or error.__context__
    return {**event, "exceptions": told}
