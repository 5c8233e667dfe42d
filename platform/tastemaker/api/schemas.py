"""The messages of the HTTP interface: requests, answers, and the problem document that refuses a request.

These structs are the contract: `serving.http.parsing` decodes bodies by them and refuses those that do not
fit, `openapi` describes them, and `tastemaker.client` sends and returns them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tastemaker.event_log.records import MAX_EPOCH, Item, Stage
from tastemaker.util.canonical_texts import BLANK_RANGES, BLANKS

MAX_ID_BYTES = 200
"""As in the canonical tables."""
MAX_K = 1_000
MAX_LISTED = 10_000
"""The longest `exclude`, `candidates`, `context` or `blocked_items`."""
MAX_BATCH = 100
"""Requests in one batch."""
MAX_SESSION = 100
"""Recent items of one session."""
MAX_CHANGES = 1_000
"""Events, exposures, items or users in one body."""
MAX_BODY_BYTES = 4 << 20
MAX_SECONDS = 253_402_300_799
"""The last second of the year 9999."""

_WITHOUT_NUL = {"pattern": "^[^\\u0000]*$"}
"""Only described here; `serving.http.parsing` checks texts by it, and ids by their bytes."""
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES, extra_json_schema=_WITHOUT_NUL)]
_VISIBLE = {"pattern": f"^[^\\u0000]*[^\\u0000{BLANK_RANGES}][^\\u0000]*$"}
_NOT_BLANK = _VISIBLE | {
    "description": (
        "Not blank, not a word for a missing value such as NULL (`source.missing_ids`), and not a rounded "
        "number such as 1.2E+09."
    ),
}
WrittenId = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES, extra_json_schema=_NOT_BLANK)]
"""An id of what is stored; `serving.runtime.stored_ids` checks it."""
Ids = Annotated[list[Id], Meta(max_length=MAX_LISTED)]
K = Annotated[int, Meta(ge=1, le=MAX_K)]
Candidates = Annotated[list[Id], Meta(min_length=1, max_length=MAX_LISTED)]
Text = Annotated[str, Meta(max_length=1_000, extra_json_schema=_WITHOUT_NUL)]
Number = Annotated[float, Meta(ge=-1e15, le=1e15)]
_Word = Annotated[str, Meta(extra_json_schema=_WITHOUT_NUL)]
Context = (
    Annotated[list[Number], Meta(max_length=MAX_LISTED)]
    | Annotated[dict[_Word, _Word | Number | bool | None], Meta(max_length=MAX_LISTED)]
)


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """POST /recommend: k items for a user."""

    user_id: Id
    """Unknown users are answered, too."""
    k: K = 10
    """The length of the list."""
    context: Context | None = None
    """The context: numbers are passed to the model in this order; names with values are only logged."""
    exclude: Ids | None = None
    """Items not to show, such as those already on the page. Unknown ids are ignored."""
    candidates: Candidates | None = None
    """If given, only these may be shown. Unknown ids are ignored."""
    diversity: Annotated[float, Meta(ge=0, le=1)] | None = None
    """λ of the diversity stage: 0 keeps the model's order. Absent: the service's setting."""
    device_id: Id | None = None
    """The caller's own id of the device, the same before and after a login: experiments may assign it."""


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /recommend/batch: several requests at once, for a mailing or a page with several lists."""

    requests: Annotated[list[Request], Meta(min_length=1, max_length=MAX_BATCH)]


class SessionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /session: a request of an anonymous user with the items just viewed."""

    items: Annotated[list[Id], Meta(min_length=1, max_length=MAX_SESSION)]
    """The recent items, oldest first. Unknown ids are ignored."""
    k: K = 10
    """The length of the list."""
    exclude: Ids | None = None
    """Items not to show. Unknown ids are ignored."""
    context: Context | None = None
    """The context, as in /recommend."""
    session_id: Id | None = None
    """Ties the session's requests together in the log."""
    device_id: Id | None = None
    """The caller's own id of the device, as in /recommend."""


class RankRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /rank: the caller's own items in the best order for a user."""

    user_id: Id
    """Unknown users are answered, too."""
    candidates: Candidates
    """The items to order. Unknown ids are ignored."""
    k: K | None = None
    """How many of them to return; null for all that may be shown, MAX_K at most."""
    context: Context | None = None
    """The context, as in /recommend."""
    device_id: Id | None = None
    """The caller's own id of the device, as in /recommend."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """k items, best first; fewer only where so few are allowed."""

    request_id: str
    """To be sent with the feedback that the answer causes."""
    model: str
    version: str
    items: list[Item]
    fallback: str | None
    """Why the list, or a part of it, is not the model's; null where all of it is."""
    stage: Stage = "model"
    """The stage that gave the first item."""


class BatchAnswer(msgspec.Struct, frozen=True):
    """One answer per request, in their order."""

    answers: list[Answer]


class SimilarQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query string of /similar/{item_id}."""

    k: K = 10
    """The most neighbours to return."""
    user_id: Id | None = None
    """The user who will see them: where several versions answer, it chooses one."""


class SimilarItem(msgspec.Struct, frozen=True):
    """A neighbour of an item."""

    item_id: str
    score: float
    """The similarity, in units of the method that found the item; descending."""


class SimilarAnswer(msgspec.Struct, frozen=True):
    """GET /similar/{item_id}: the items most similar to one, most similar first."""

    model: str
    version: str
    item_id: str
    items: list[SimilarItem]


class FeedbackEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What a person did. Its user is named, or known by the request that the event answers."""

    event_id: WrittenId
    """Unique: an event that comes twice counts once, so that it can be sent again after a doubt."""
    event_type: Annotated[str, Meta(min_length=1, max_length=64, extra_json_schema=_VISIBLE)]
    """purchase, click, view, ...; the problem file gives each its weight."""
    item_id: WrittenId
    user_id: WrittenId | None = None
    request_id: Id | None = None
    """The `request_id` of the answer that showed the item."""
    value: Number = 1.0
    """How much: money in the shop's currency for a purchase, 1 where nothing else fits."""
    occurred_at: Annotated[float, Meta(ge=0, le=MAX_SECONDS)] | None = None
    """Seconds since 1970 UTC; when the server got it, if absent."""
    position: Annotated[int, Meta(ge=0, le=MAX_K)] | None = None
    """The item's place in the list that was shown, from 0."""

    def __post_init__(self) -> None:
        if self.user_id is None and self.request_id is None:
            raise ValueError("Object missing required field `user_id` (or `request_id` in its place)")
        if not self.event_type.strip(BLANKS):
            raise ValueError("`event_type` is blank: name what the person did, such as `purchase`")


_AttributedEvent = Annotated[
    FeedbackEvent,
    Meta(
        extra_json_schema={
            "anyOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("user_id", "request_id")
            ]
        }
    ),
]
"""Only described here; the event itself holds to it."""


class FeedbackEvents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /feedback: events, acknowledged once they are durable."""

    events: Annotated[list[_AttributedEvent], Meta(min_length=1, max_length=MAX_CHANGES)]


class ExposureReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A unit that the caller's own code showed the variant of a flag."""

    exposure_id: WrittenId
    """Unique: an exposure that comes twice counts once, so that it can be sent again after a doubt."""
    experiment: Id
    epoch: Annotated[int, Meta(ge=0, le=MAX_EPOCH)]
    """As in the plan that assigned the variant."""
    variant: Id
    """The variant that was assigned, and shown."""
    unit: WrittenId
    """What was assigned: the id of a user, device, session or request."""
    probability: Annotated[float, Meta(gt=0, le=1)] | None = None
    """The probability that this variant was assigned; null where a person forced it."""
    plan: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")] | None = None
    """The first 16 hexadecimal digits of the plan's digest."""
    user_id: WrittenId | None = None
    """The user, where known: what the user does is the experiment's outcome."""
    occurred_at: Annotated[float, Meta(ge=0, le=MAX_SECONDS)] | None = None
    """Seconds since 1970 UTC; when the server got it, if absent."""


class ExposureReports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /exposures: exposures, acknowledged once they are durable."""

    exposures: Annotated[list[ExposureReport], Meta(min_length=1, max_length=MAX_CHANGES)]


class ItemUpsert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item as it is from now on. What is left out is unknown, whatever was said earlier."""

    item_id: WrittenId
    title: Text | None = None
    category: Text | None = None
    price: Annotated[float, Meta(ge=0, le=1e15)] | None = None
    """In the shop's currency."""
    available: bool = True
    """False: it is no longer shown to any user."""


class ItemUpserts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /items: new items, and old ones that changed."""

    items: Annotated[list[ItemUpsert], Meta(min_length=1, max_length=MAX_CHANGES)]


class UserUpsert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user as they are from now on. What is left out is unknown, whatever was said earlier."""

    user_id: WrittenId
    country: Text | None = None
    blocked_items: Ids | None = None
    """Items that this user is never shown."""


class UserUpserts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /users: new users, and old ones that changed."""

    users: Annotated[list[UserUpsert], Meta(min_length=1, max_length=MAX_CHANGES)]


class Receipt(msgspec.Struct, frozen=True):
    """The acknowledgement that what was sent is on disk."""

    accepted: int
    """New ones."""
    duplicates: int = 0
    """Events or exposures whose id was known already."""


class Explained(msgspec.Struct, frozen=True):
    """Why an item was shown."""

    item_id: str
    reasons: list[str]
    """In words, the most important first."""


class Explanation(msgspec.Struct, frozen=True):
    """GET /explain/{request_id}: why an answer was what it was."""

    request_id: str
    model: str
    version: str
    stage: Stage
    items: list[Explained]
    features: dict[str, float | None] | None
    """The user features that the model was given."""


class WantedVersion(msgspec.Struct, frozen=True):
    """The version that was promoted or deployed."""

    model: str
    version: str


class EngineStatus(msgspec.Struct, frozen=True):
    """One of several versions that answer."""

    model: str
    version: str
    wanted: WantedVersion | msgspec.UnsetType = msgspec.UNSET
    """What should answer in its place; absent where nothing was promoted or deployed."""
    pinned: bool = False
    """Whether no deployment replaces this version."""


class Ready(msgspec.Struct, frozen=True):
    """GET /readyz: the version that answers; with several, the first one."""

    model: str
    version: str
    degraded: list[str] = []
    """What does not work though lists are answered, each after its reason: `log: the log is full`."""
    status: Literal["ready"] = "ready"
    wanted: WantedVersion | msgspec.UnsetType = msgspec.UNSET
    """What should answer; absent where nothing was promoted or deployed. Where it is not what answers, it is
    being loaded, or was refused, and then `degraded` says why."""
    pinned: bool = False
    """Whether the service was started for this version alone: no deployment replaces it."""
    engines: list[EngineStatus] | msgspec.UnsetType = msgspec.UNSET
    """All versions that answer, where there are several; absent where there is one."""


class Alive(msgspec.Struct, frozen=True):
    """GET /livez: the process runs."""

    status: Literal["alive"] = "alive"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="about:blank"):
    """A refusal as RFC 9457's application/problem+json: what is wrong and what is allowed.

    Its type is `about:blank`: the status says what kind of problem it is, as the RFC has it.
    """

    title: str
    status: int
    detail: str
    field: str | None = None
    value: Any = None
    limit: int | None = None
    request_id: str | None = None
    """As in the header X-Request-Id of the response."""


class HTTPError(Exception):
    """A refused request, with its problem document."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, retry_after: int | None = None, **more: Any
    ) -> None:
        """Describe an error.

        Args:
            status: Of the answer.
            detail: What is wrong, and what is allowed.
            retry_after: Seconds, where a retry may succeed.
            more: Further fields of `Problem`.
        """
        super().__init__(detail)
        self.problem = Problem(status.phrase, int(status), detail, **more)
        self.retry_after = retry_after
