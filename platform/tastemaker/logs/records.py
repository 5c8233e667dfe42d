"""What is logged of one request: enough to compute the answer again and to weigh it off-policy."""

from __future__ import annotations

from typing import Literal

import msgspec

Stage = Literal["model", "precomputed", "popular", "static"]
"""What chose a list: the model, the model's precomputed list, popularity, or the list that never fails."""
Kind = Literal["recommend", "session", "rank"]
"""What was asked, as the endpoint is called."""


class Item(msgspec.Struct, frozen=True):
    """One item of an answer; its position is its place in the list, from 0."""

    item_id: str
    score: float
    """The model's own; in arbitrary units, descending. 0 for an item that the fallback filled in."""
    propensity: float
    """The probability that the policy puts this item at this position."""


class Record(msgspec.Struct, frozen=True):
    """One request and its answer. The request id also seeds the answer: a stochastic one can be replayed."""

    request_id: str
    occurred_at: float
    """Seconds since 1970 UTC."""
    user_id: str
    k: int
    model: str
    version: str
    items: list[Item]
    latency_ms: float
    context: list[float] | dict[str, str | float | bool | None] | None = None
    exclude: list[str] | None = None
    candidates: list[str] | None = None
    features: dict[str, float | None] | None = None
    """The user features that the model was given; None for a missing value."""
    fallback: str | None = None
    """Why the list, or a part of it, is not the model's."""
    stage: Stage = "model"
    """What the list begins with."""
    kind: Kind = "recommend"
    session: list[str] | None = None
    """The recent items of an anonymous visitor, oldest first (kind `session`)."""
