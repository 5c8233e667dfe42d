"""The messages of report-in, by which models that this platform does not serve report to it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from tastemaker.api.schemas import MAX_ID_BYTES, MAX_K, MAX_SECONDS, Id, Number, WrittenId

MAX_ROWS = 10_000
"""Rows of one report."""
_PRINTABLE = r"^(?![\s\S]*[\u0000-\u001f\u007f])"
"""Texts without control characters; Python's $ would allow one line break at the end."""
Model = Annotated[str, Meta(min_length=1, max_length=100, pattern=_PRINTABLE)]
Version = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES, pattern=_PRINTABLE)]
Label = Annotated[str, Meta(max_length=100, pattern=_PRINTABLE)]
Address = Annotated[str, Meta(max_length=500, pattern=r"^(?![\s\S]*[\u0000-\u0020\u007f])(https?://.+)?$")]
Time = Annotated[datetime, Meta(tz=True)] | Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
"""ISO 8601 with a time zone, or seconds since 1970 UTC."""
Count = Annotated[int, Meta(ge=0, le=10**15)]
Items = Annotated[list[Id], Meta(max_length=MAX_K)]
_Scores = Annotated[list[Number], Meta(max_length=MAX_K)]
_Propensities = Annotated[list[Annotated[float, Meta(gt=0, le=1)]], Meta(max_length=MAX_K)]


class ReportedMeasurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /measurements: one figure of a model over a window. Sending it again replaces it."""

    model: Model
    version: Annotated[str, Meta(max_length=MAX_ID_BYTES, pattern=_PRINTABLE)]
    """The version; empty: all versions."""
    metric: Annotated[str, Meta(min_length=1, max_length=100)]
    """A name of GET /metrics; or x_ and lower case letters, digits and _: drawn, and not aggregated."""
    unit: Annotated[str, Meta(min_length=1, max_length=50, pattern=_PRINTABLE)]
    """That of the definition; of an x_ metric, any."""
    window_start: Time
    """The start of the window (included): ISO 8601 with a time zone, or seconds since 1970 UTC."""
    window_end: Time
    """The end of the window (not included)."""
    value: Number
    n: Count
    """Users behind the figure."""
    low: Number | None = None
    """The lower end of the 95 % interval."""
    high: Number | None = None
    """The upper end of the 95 % interval."""
    experiment: Label = ""
    """The experiment's id; empty: all requests."""
    variant: Label = ""
    """The experiment's variant; empty: all."""
    slice: Annotated[str, Meta(max_length=200, pattern=_PRINTABLE)] = ""
    """Such as position=1; empty: no slice."""


class ReportedList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /impressions: a request that a foreign model answered, and the items that it showed."""

    request_id: Id
    """Unique for the source. It is stored as SOURCE/request_id."""
    occurred_at: Time
    """ISO 8601 with a time zone, or seconds since 1970 UTC."""
    user_id: WrittenId
    model: Model
    version: Version
    item_ids: Items
    """What was shown, best first; may be empty."""
    scores: _Scores | None = None
    """The model's score of each item."""
    propensities: _Propensities | None = None
    """The probability of each item at its position; absent: 1, the model chooses no items at random."""
    k: Annotated[int, Meta(ge=0, le=MAX_K)] | None = None
    """How many items were asked for; absent: as many as were shown."""
    latency_ms: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    """Milliseconds to the answer."""
    fallback: Annotated[str, Meta(min_length=1, max_length=100, pattern=_PRINTABLE)] | None = None
    """Why the list is not the model's; absent: it is."""
    experiment: Label | None = None
    variant: Label | None = None

    def __post_init__(self) -> None:
        for name in ("scores", "propensities"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.item_ids):
                raise ValueError(f"`{name}` has {len(given)} values for {len(self.item_ids)} items")
        if bool(self.experiment) != bool(self.variant):
            raise ValueError("`experiment` and `variant` go together: give both or none")


class ReportedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /feedback: what a person did. Its user is named, or known by the request that it answers."""

    event_id: WrittenId
    """Unique for the source; an event that comes twice counts once."""
    event_type: Annotated[str, Meta(min_length=1, max_length=64, pattern=_PRINTABLE)]
    """purchase, click, view, ...; the problem file gives each its weight."""
    item_id: WrittenId
    occurred_at: Time
    """ISO 8601 with a time zone, or seconds since 1970 UTC."""
    user_id: WrittenId | None = None
    request_id: Id | None = None
    """The `request_id` of the list that showed the item, as it was reported."""
    value: Number = 1.0
    """How much: money in the shop's currency for a purchase, 1 where nothing else fits."""
    position: Annotated[int, Meta(ge=0, le=MAX_K)] | None = None
    """The item's place in the list that was shown, from 0."""

    def __post_init__(self) -> None:
        if self.user_id is None and self.request_id is None:
            raise ValueError("Object missing required field `user_id` (or `request_id` in its place)")


class HealthReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /health: the lists that a model answered since its report before, usually one minute of them."""

    model: Model
    version: Version
    answers: Count
    """Lists since the report before."""
    bad: Count
    """Those of them that are not the model's: errors, timeouts, fallbacks."""
    empty: Count
    """Those of them without items."""
    at: Time
    """The end of that time. A second report of a version with the same time does not count."""
    p99_seconds: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    """The duration that 1 % of the answers exceed."""

    def __post_init__(self) -> None:
        for name in ("bad", "empty"):
            if getattr(self, name) > self.answers:
                raise ValueError(f"`{name}` is {getattr(self, name)}, more than the {self.answers} answers")


class ModelAnnouncement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /models/{name}: who answers for a model."""

    title: Annotated[str, Meta(min_length=1, max_length=200, pattern=_PRINTABLE)]
    """What people call it."""
    owner: Annotated[str, Meta(min_length=1, max_length=200, pattern=_PRINTABLE)]
    """Who answers for it."""
    url: Address = ""
    """Where it is described or runs."""
    kind: Label = ""
    """Such as search, or similar items."""
    runbook: Address = ""
    """Address of what to do when it fails."""


class ReportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query string of reports."""

    dry_run: bool = False
    """Whether rows are only checked: the answer is the same, and nothing is stored."""


class RowRefusal(msgspec.Struct, frozen=True):
    """Why a row of a report was not accepted."""

    row: int
    """Its place in the report, from 0."""
    reason: str
    field: str | None = None
    """The field at fault; null where it is the whole row."""


class ReportReceipt(msgspec.Struct, frozen=True):
    """What became of the rows of a report: those that were accepted are on disk."""

    accepted: int
    rejected: int
    duplicates: int = 0
    """Accepted rows whose ids the log still knew: they count once."""
    refusals: list[RowRefusal] = []
    """Why rows were not accepted, the first 100."""


class Announced(msgspec.Struct, frozen=True):
    """A model as it is known now."""

    model: str
    source: str
    """The only source that may report it: the name of its API key."""
    title: str


class KnownMetric(msgspec.Struct, frozen=True):
    """A metric that may be reported, by its definition."""

    name: str
    unit: str
    title: str
    meaning: str


class KnownMetrics(msgspec.Struct, frozen=True):
    """GET /metrics: the metrics that have definitions. Others are called x_ and something."""

    metrics: list[KnownMetric]
