"""Settings of `tastemaker dashboard`: `[dashboard]` in tastemaker.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DashboardSettings(BaseModel):
    """The dashboard's process."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 9_280
    """Port to listen on."""
