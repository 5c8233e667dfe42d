"""The table of report-in's endpoints, from which its OpenAPI document is made too."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool

from tastemaker.api import report_schemas, training_schemas
from tastemaker.api.report_schemas import (
    Announced,
    HealthReport,
    KnownMetric,
    KnownMetrics,
    Model,
    ModelAnnouncement,
    ReportedEvent,
    ReportedList,
    ReportedMeasurement,
    ReportQuery,
    ReportReceipt,
    RowRefusal,
)
from tastemaker.api.schemas import HTTPError
from tastemaker.api.training_schemas import TrainingOrder, TrainingState
from tastemaker.report_in.body import rows_in
from tastemaker.report_in.intake import Intake
from tastemaker.report_in.known_metrics import known_metrics
from tastemaker.report_in.rows import Kind
from tastemaker.report_in.training_orders import TrainingDesk
from tastemaker.serving.http.asgi import Reply
from tastemaker.serving.http.openapi import Interface, document
from tastemaker.serving.http.parsing import Decoder, QueryReader
from tastemaker.serving.http.routing import Route

PATH = "/api/v1"
"""Where the dashboard mounts it."""


class ReportCall(NamedTuple):
    """A request as its endpoint gets it."""

    source: str
    """Who reports; empty where no key is needed."""
    body: bytes
    content_type: str
    argument: str
    """What the path holds in the place of its parameter."""
    query: bytes = b""
    intake: Intake | None = None
    """What takes rows; None for endpoints that take none."""
    idempotency_key: str = ""
    """The caller's own name of the request; empty: none."""
    trainings: TrainingDesk | None = None
    """What takes requests for trainings."""

    async def take(self, kind: Kind) -> ReportReceipt:
        """Store the rows of the body. Raises HTTPError."""
        return await run_in_threadpool(self._take, kind)

    def _take(self, kind: Kind) -> ReportReceipt:
        assert self.intake is not None
        rows = rows_in(self.body, self.content_type)
        return self.intake.take(kind, self.source, rows, dry_run=_read_query(self.query).dry_run)


async def _measurements(report: ReportCall) -> ReportReceipt:
    """Report figures of a model over windows, such as its click-through rate of a day.

    A figure that was reported before is replaced. Rows that do not fit are refused one by one.
    """
    return await report.take("measurements")


async def _impressions(report: ReportCall) -> ReportReceipt:
    """Report the lists that a model answered with, acknowledged once they are on disk.

    With feedback, they give all figures that our own models have. A request id counts once.
    """
    return await report.take("impressions")


async def _feedback(report: ReportCall) -> ReportReceipt:
    """Report what users did, acknowledged once it is on disk.

    An event id counts once. An event with a request id belongs to a list of the same source.
    """
    return await report.take("feedback")


async def _health(report: ReportCall) -> ReportReceipt:
    """Report how many lists a model answered since its report before, once a minute.

    The alert rules about answers read it as they read our own services.
    """
    return await report.take("health")


async def _announce(report: ReportCall) -> Announced:
    """Announce a model: its title, and who answers for it.

    The model then belongs to this source. Models that report without it are shown as unannounced.
    """
    announcement = _read_announcement(report.body)
    name = _checked(report.argument)
    assert report.intake is not None
    dry_run = _read_query(report.query).dry_run
    announce = partial(report.intake.announce, report.source, name, announcement, dry_run=dry_run)
    answer = await run_in_threadpool(announce)
    if isinstance(answer, str):
        raise HTTPError(HTTPStatus.FORBIDDEN, answer, field="name", value=name)
    return answer


def _checked(name: str) -> str:
    """Return a model's name from a path. Raises HTTPError (400)."""
    try:
        return msgspec.convert(name, Model)
    except msgspec.ValidationError as error:
        raise HTTPError(HTTPStatus.BAD_REQUEST, f"name = {name[:100]!r}: {error}", field="name") from None


async def _train(report: ReportCall) -> Reply:
    """Request trainings of models, which the orchestrator starts; the answer does not wait for them.

    The path in the header Location says what became of the request; its `run_id` is null until the run has
    started. A request with the header Idempotency-Key is stored once, however often it is sent. While no
    orchestrator runs, the request waits.
    """
    assert report.trainings is not None
    order = _read_order(report.body)
    state = await run_in_threadpool(report.trainings.order, report.source, order, report.idempotency_key)
    location = f"{PATH}/train/{state.id}".encode()
    return Reply(HTTPStatus.ACCEPTED, msgspec.json.encode(state), headers=((b"location", location),))


async def _training(report: ReportCall) -> TrainingState:
    """Return what became of a request for trainings, or what it waits for."""
    assert report.trainings is not None
    return await run_in_threadpool(report.trainings.look_up, report.argument)


async def _metrics(report: ReportCall) -> KnownMetrics:
    """Return the metrics that have definitions, with their units."""
    return known_metrics()


async def _openapi(report: ReportCall) -> Reply:
    """Return this document."""
    return Reply(200, document(ROUTES, INTERFACE))


_read_announcement = Decoder(ModelAnnouncement)
_read_order = Decoder(TrainingOrder)
_read_query = QueryReader(ReportQuery)

ROUTES: tuple[Route[ReportCall], ...] = (
    Route(
        "POST", "/measurements", "report", _measurements, ReportReceipt, ReportedMeasurement,
        query=ReportQuery, needs_model=False, is_batch=True,
    ),
    Route(
        "POST", "/impressions", "report", _impressions, ReportReceipt, ReportedList,
        query=ReportQuery, needs_model=False, is_batch=True,
    ),
    Route(
        "POST", "/feedback", "report", _feedback, ReportReceipt, ReportedEvent,
        query=ReportQuery, needs_model=False, is_batch=True,
    ),
    Route(
        "POST", "/health", "report", _health, ReportReceipt, HealthReport,
        query=ReportQuery, needs_model=False, is_batch=True,
    ),
    Route("PUT", "/models/{name}", "report", _announce, Announced, ModelAnnouncement, ReportQuery, False),
    Route(
        "POST", "/train", "train", _train, TrainingState, TrainingOrder,
        needs_model=False, status=HTTPStatus.ACCEPTED,
    ),
    Route("GET", "/train/{id}", "train", _training, TrainingState, needs_model=False),
    Route("GET", "/metrics", "report", _metrics, KnownMetrics, needs_model=False),
    Route("GET", "/openapi.json", None, _openapi, needs_model=False),
)  # fmt: skip

_DAY = 1_767_225_600.0
INTERFACE = Interface(
    "Reports of models that this platform does not serve, and requests for trainings.",
    PATH,
    (report_schemas, training_schemas),
    {
        ReportedMeasurement: ReportedMeasurement(
            "shop_search", "7", "ctr_list", "share", _DAY, _DAY + 86_400, 0.114, 2_310, 0.103, 0.126
        ),
        ReportedList: ReportedList("r-1", _DAY, "u0000001", "shop_search", "7", ["i0000360", "i0000017"]),
        ReportedEvent: ReportedEvent("e-1", "click", "i0000360", _DAY + 9, "u0000001", "r-1"),
        HealthReport: HealthReport("shop_search", "7", 1_200, 3, 0, _DAY + 60, 0.041),
        ModelAnnouncement: ModelAnnouncement(
            "Search of the shop", "search team", "https://wiki.shop.example/search", "search"
        ),
        TrainingOrder: TrainingOrder("a new catalogue", ["ials", "ranker"]),
        TrainingState: TrainingState(
            "3f0a5d8e2b7c4196a1d4c3b2f6e79580",
            "waiting",
            ["ials", "ranker"],
            "a new catalogue",
            datetime(2026, 1, 1, tzinfo=UTC),
            detail="the orchestrator starts a run within a minute",
        ),
        ReportReceipt: ReportReceipt(1, 1, 0, [RowRefusal(1, "value = nan: must be finite", "value")]),
        Announced: Announced("shop_search", "search-team", "Search of the shop"),
        KnownMetrics: KnownMetrics(
            [KnownMetric("ctr_list", "share", "Click-through rate per list", "Lists with a click.")]
        ),
    },
)
