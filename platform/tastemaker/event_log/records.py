"""Logged records: requests with their answers, feedback, exposures, and changes of items and users.

The record of a request holds enough to compute the answer again and to weight it off-policy.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tastemaker.errors import TastemakerError

Stage = Literal["model", "precomputed", "popular", "static"]
"""What chose a list: the model, the model's precomputed list, popularity, or the static list."""
Kind = Literal["recommend", "session", "rank"]
"""The kind of request, named as its endpoint."""
IMPRESSION = "impression"
"""The type of feedback that reports that an item of an answer was seen. It is not an event."""
MAX_EPOCH = 2**63 - 1
"""The tables' column holds 64 bits."""


def seed_of(request_id: str) -> int:
    """Return the 64-bit seed of a request's answer: the id's last 16 digits. The first encode the time."""
    return int(request_id[16:], 16)


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item of an answer; its position is its place in the list, from 0.

    The garbage collector skips it and what holds it: a busy service makes tens of thousands a second, and
    none can be part of a cycle.
    """

    item_id: str
    score: float
    """The model's score, in arbitrary units; descending unless the list was reordered for diversity. 0 for an
    item that the fallback filled in.
    """
    propensity: float
    """The probability that the policy puts this item at this position."""


class Assignment(msgspec.Struct, frozen=True):
    """The variant of an experiment that a unit was assigned to, whichever variant answered it."""

    experiment: str
    """The experiment's id."""
    epoch: int
    """From 0; rises when the experiment's ratios change, so that each epoch has one ratio."""
    variant: str
    probability: float | None = None
    """The probability, in (0, 1], that this variant was assigned; None where the assignment was forced."""
    served: str | None = None
    """The variant whose service answered; None where a list of no variant had to."""
    plan: str | None = None
    """The first 16 hexadecimal digits of the digest of the plan in force."""
    unit: str | None = None
    """What was assigned: the id of a user, device, session or request; a pseudonym where those are used."""

    def __post_init__(self) -> None:
        """Raise TastemakerError for values that the log can't hold or that weigh nothing."""
        if not self.experiment or not self.variant:
            raise TastemakerError(
                f"an assignment has experiment {self.experiment!r} and variant {self.variant!r}, "
                "neither may be empty",
                fix="name both, or log no assignment",
            )
        if not 0 <= self.epoch <= MAX_EPOCH:
            raise TastemakerError(
                f"epoch is {self.epoch}, must be 0 to {MAX_EPOCH}", fix="count the epochs from 0"
            )
        if self.probability is not None and not 0 < self.probability <= 1:
            raise TastemakerError(
                f"probability is {self.probability}, must be above 0 and at most 1",
                fix="log the assigned variant's share of the epoch; None if the assignment was forced",
            )


ASSIGNMENT_FIELDS = {
    "experiment": "experiment",
    "epoch": "epoch",
    "variant": "variant",
    "variant_probability": "probability",
    "variant_served": "served",
    "plan_digest": "plan",
    "unit": "unit",
}
"""Column of the tables -> field of `Assignment`."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A request and its answer. The request id seeds the answer, so that a stochastic one can be replayed."""

    request_id: str
    occurred_at: float
    """Seconds since 1970 UTC."""
    user_id: str
    k: int
    model: str
    version: str
    items: list[Item]
    latency_ms: float | None
    """From the request to its answer; None where a foreign model did not report it."""
    context: list[float] | dict[str, str | float | bool | None] | None = None
    exclude: list[str] | None = None
    candidates: list[str] | None = None
    features: dict[str, float | None] | None = None
    """The user features that the model was given; None for a missing value."""
    fallback: str | None = None
    """Why the list, or a part of it, does not come from the model; None if all of it does."""
    stage: Stage = "model"
    """What chose the first items of the list."""
    kind: Kind = "recommend"
    session: list[str] | None = None
    """The recent items of an anonymous user, oldest first (kind `session`)."""
    diversity: float | None = None
    """λ of the step that reordered the list for diversity; None where the model's order was kept."""
    assignment: Assignment | None = None
    """None where no experiment assigned a variant."""
    teams: list[str] | None = None
    """Of an interleaved list: the variant that placed each item, empty for none."""


class ShadowRecord(msgspec.Struct, frozen=True, gc=False):
    """The answer of a variant to the copy of a request. No user saw it.

    It is not a `Record`, so that nothing credits it, counts it or learns from it by mistake.
    """

    shadow_of: str
    """The id of the request whose answer the user saw."""
    record: Record
    """The copy, with an id of its own, and its answer."""

    @property
    def request_id(self) -> str:
        """The id of the copy."""
        return self.record.request_id

    @property
    def user_id(self) -> str:
        """The user of both requests."""
        return self.record.user_id

    @property
    def occurred_at(self) -> float:
        """When the copy was answered, seconds since 1970 UTC."""
        return self.record.occurred_at


class ExposureRecord(msgspec.Struct, frozen=True):
    """A unit that the shop's own code showed a variant."""

    exposure_id: str
    """Unique; an exposure that is reported twice counts once."""
    assignment: Assignment
    """With its unit."""
    occurred_at: float
    """Seconds since 1970 UTC, by the caller's clock."""
    received_at: float
    """Seconds since 1970 UTC, by our clock."""
    user_id: str | None = None
    """None where the user is not known."""

    def __post_init__(self) -> None:
        """Raise TastemakerError without a unit: the table has no exposure without one."""
        if not self.assignment.unit:
            raise TastemakerError(
                f"exposure {self.exposure_id!r} has unit {self.assignment.unit!r}, must have one",
                fix="report the unit that was assigned: the id of the user, device, session or request",
            )


class FeedbackRecord(msgspec.Struct, frozen=True, gc=False):
    """An event that a caller reported. `attribution` finds its impression."""

    event_id: str
    """Unique; an event that is reported twice counts once."""
    item_id: str
    event_type: str
    value: float
    occurred_at: float
    """Seconds since 1970 UTC, by the caller's clock."""
    received_at: float
    """Seconds since 1970 UTC, by our clock."""
    user_id: str | None = None
    """None where only the request is known: then it is the request's user."""
    request_id: str | None = None
    position: int | None = None


class ItemRecord(msgspec.Struct, frozen=True):
    """The state of an item from `received_at` (seconds since 1970 UTC) on."""

    item_id: str
    received_at: float
    title: str | None = None
    category: str | None = None
    price: float | None = None
    available: bool = True


class UserRecord(msgspec.Struct, frozen=True):
    """The state of a user from `received_at` (seconds since 1970 UTC) on."""

    user_id: str
    received_at: float
    country: str | None = None
    blocked_items: list[str] | None = None


Entry = Record | ShadowRecord | ExposureRecord | FeedbackRecord | ItemRecord | UserRecord
