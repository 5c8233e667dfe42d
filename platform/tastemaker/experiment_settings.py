"""Settings of experiments: `[experiments]` in tastemaker.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ExperimentSettings(BaseModel):
    """Experiments over models."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,99}$")] = "home"
    """The namespace of new experiments that name none; it is made, with users as units, by the first one."""
    service_workers: Annotated[int, Field(ge=1, le=128)] = 1
    """Processes of each pinned service that `tastemaker control` starts."""
