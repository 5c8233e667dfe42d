"""Settings of the export of logs to Elasticsearch or OpenSearch: `[elasticsearch]` in tastemaker.toml."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tastemaker.util.setting_types import HttpUrl

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class ElasticsearchSettings(BaseModel):
    """Elasticsearch or OpenSearch, to which `tastemaker ship --to elasticsearch` copies the log."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    url: HttpUrl | None = None
    """URL of the cluster, such as https://search:9200; null: the log is not copied."""
    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,99}$")] = "tastemaker"
    """Beginning of the names of the indices, which are PREFIX-requests-DAY and PREFIX-feedback-DAY."""
    api_key_variable: Variable | None = None
    """Name of the environment variable with an API key (Elasticsearch)."""
    user: Annotated[str, Field(min_length=1)] | None = None
    """Name of a user with a password, in place of an API key."""
    password_variable: Variable | None = None
    """Name of the environment variable with that user's password."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Deadline of a request to the cluster in seconds."""
    batch_bytes: Annotated[int, Field(ge=10_000, le=100_000_000)] = 5_000_000
    """Largest size in bytes of a request with documents."""

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> Self:
        if (self.user is None) != (self.password_variable is None):
            raise ValueError("user and password_variable must be set together")
        if self.user is not None and self.api_key_variable is not None:
            raise ValueError("api_key_variable and user exclude each other")
        return self
