"""Settings of the prediction service: `[serving]` and `[retrieval]` in tastemaker.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tastemaker.util.setting_types import Names


class RetrievalSettings(BaseModel):
    """Retrieval of candidates and reranking."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    index_items: Annotated[int, Field(ge=1)] = 50_000
    """Number of items above which a catalogue gets an approximate index of its vectors; smaller catalogues
    are scored exactly."""
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """λ of maximal marginal relevance: 0 keeps the model's order, 1 ranks by diversity only."""
    new_items: bool = True
    """Whether the last place of lists of 5 or more items is given to an item that the model does not know."""


class ServingSettings(BaseModel):
    """Prediction service."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    model_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    """Deadline of the model in seconds. A request that is not answered by then gets a precomputed list."""
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Largest number of requests that wait for the model. Further requests get a precomputed list at once."""
    features_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 0.05
    """Deadline of the online feature store in seconds. A request is then answered without the features."""
    features_cache_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Seconds for which a user's features are cached before they are read again; 0 disables the cache."""
    features_cache_users: Annotated[int, Field(ge=0)] = 100_000
    """Largest number of users whose features are cached, in each worker."""
    precomputed_users: Annotated[int, Field(ge=0, le=10_000_000)] = 50_000
    """Number of users, those with the latest events, whose list is precomputed for each version."""
    precomputed_items: Annotated[int, Field(ge=1, le=1_000)] = 50
    """Length of the precomputed lists."""
    static_items: tuple[str, ...] = ()
    """Item ids of the last fallback; if empty, the items that were popular when the model was loaded."""
    max_connections: Annotated[int, Field(ge=10, le=100_000)] = 1_000
    """Largest number of open connections of each worker, at most the system's limit of open files (ulimit -n)
    less 200. When it is reached, a connection that has sent no complete request is closed."""
    allowed_hosts: Names = ()
    """Host names, without port, that requests may use while there is no API key, besides localhost and the
    service's own address: those of a proxy or a container."""
    pin_workers: bool = False
    """Whether each worker is pinned to a processor, of its own while there are any. This is faster if the
    processors are used by services only, and may be slower if other programs or containers use them, too."""
