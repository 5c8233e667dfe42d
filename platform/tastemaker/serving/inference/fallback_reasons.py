"""Why a list is not the model's, and what chose its items instead: the names in answers, logs and metrics."""

from __future__ import annotations

from typing import Final, Literal, get_args

from tastemaker.event_log.records import Stage

MODEL_ERROR: Final = "model_error"
"""The model raised an error, or returned something other than a ranking."""
MODEL_INVALID: Final = "model_invalid"
"""The model returned items that are unknown, not allowed, repeated or without a score: dropped."""
MODEL_SHORT: Final = "model_short"
"""The model returned fewer items than are allowed."""
MODEL_TIMEOUT: Final = "model_timeout"
"""The model did not answer before its deadline."""
MODEL_OVERLOADED: Final = "model_overloaded"
"""More requests wait for the model than it can answer in time."""
MODEL_RESTING: Final = "model_resting"
"""The circuit breaker is open: the model did not answer several times and is not called for a while."""
NO_MODEL: Final = "no_model"
"""No version is loaded."""
NO_SERVICE: Final = "no_service"
"""No service of a controller answered in time."""
FALLBACKS: Final = (
    MODEL_ERROR, MODEL_INVALID, MODEL_SHORT, MODEL_TIMEOUT, MODEL_OVERLOADED, MODEL_RESTING, NO_MODEL,
)  # fmt: skip
STAGES: Final[tuple[Stage, ...]] = ("model", "precomputed", "popular", "static")
Source = Literal["model", "precomputed", "popular", "static", "new"]
"""What chose an item: a stage, or the place that each list has for a new item."""
SOURCES: Final[tuple[Source, ...]] = get_args(Source)
