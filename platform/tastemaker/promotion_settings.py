"""Settings of promotion: `[promotion]` in tastemaker.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class PromotionSettings(BaseModel):
    """Promotion of versions to champion."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    max_loss: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Non-inferiority margin, as a share of the champion's figure: the 95 % interval of a challenger's paired
    difference from the champion must not reach below minus this share."""
    path: Literal["automatic", "rollout", "experiment", "offline"] = "automatic"
    """How a new version enters production. rollout: shadow, canary and ramp, each step gated by guardrails.
    experiment: an experiment against the champion. offline: the challenger test alone. automatic: rollout for
    the champion's recipe trained again, experiment for another recipe, and offline where the traffic is too
    small for either or does not pass `tastemaker control`."""
    approval: bool = False
    """Whether a person must approve a version before it answers users."""
    shadow_hours: Annotated[float, Field(ge=0, le=720)] = 24.0
    """Hours for which a version answers in shadow before its first users (rollout)."""
    step_hours: Annotated[float, Field(gt=0, le=720)] = 24.0
    """Smallest time in hours that a step of the canary or the ramp lasts (rollout)."""
    newer_fit_hours: Annotated[float, Field(gt=0, le=720)] = 3.0
    """Largest `shadow_hours` and `step_hours` of a version that differs from the champion by newer data alone
    (rollout)."""
    max_days: Annotated[float, Field(ge=1, le=365)] = 28.0
    """Largest number of days that an experiment may take; if the planner says more, the traffic is too small
    (automatic)."""
