"""Settings of retraining: `[automation]` in tastemaker.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class AutomationSettings(BaseModel):
    """When models are trained again, and with how much memory."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    enabled: bool = True
    """Whether models are trained again by themselves; if not, only schedules and requests train them."""
    poll_seconds: Annotated[int, Field(ge=5, le=86_400)] = 60
    """Seconds between two looks for new data, and between two evaluations of the conditions."""
    min_gap_hours: Annotated[float, Field(ge=0, le=8_760)] = 6.0
    """Smallest time in hours between the starts of two trainings of one model; requests do not wait for it,
    nor does new data where drift was found."""
    drift_trainings: Annotated[int, Field(ge=0, le=100)] = 1
    """Largest number of trainings that drift may cause until the drift report is without drift again."""
    training_memory_bytes: Annotated[int, Field(ge=1 << 28)] | None = None
    """Memory in bytes that the training of one model may use; null: 80 % of what the machine or container
    has."""
