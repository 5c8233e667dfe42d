"""Settings of the orchestrator's instance: `[orchestrator]` in tastemaker.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class OrchestratorSettings(BaseModel):
    """Runs of the asset graph: where they are kept, how many at once, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    postgres_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Name of the environment variable with the URL of a Postgres database of the orchestrator's own, such as
    postgresql://user:password@host/dagster; null: SQLite in the home folder."""
    max_concurrent_runs: Annotated[int, Field(ge=1, le=1_000)] = 2
    """Number of runs that may execute at once; the others wait."""
    pool_limit: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Number of steps that may execute at once in each pool, training and memory-high, over all runs."""
    max_retries: Annotated[int, Field(ge=0, le=20)] = 2
    """How often a run whose process was killed is started again. A run in which a step failed is not."""
    runs_days: Annotated[int, Field(ge=1, le=3_650)] = 90
    """Number of days for which ended runs and their logs are kept. The newest run of each asset stays."""
