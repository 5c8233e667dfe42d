"""The ASGI application: its paths, methods and refusals, and what it logs and counts."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import httpx
import pytest

from support.asgi_apps import not_found
from support.workers import open_worker
from tastemaker.api.schemas import MAX_BODY_BYTES, Answer
from tastemaker.event_log.records import FeedbackRecord, Item, Record, Stage
from tastemaker.event_log.spool import FILE_NAME, Spool, read
from tastemaker.privacy.pseudonyms import Pseudonyms
from tastemaker.serving.http.asgi import Scope
from tastemaker.serving.http.gateway import Gateway
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.inference.fallback_reasons import MODEL_SHORT
from tastemaker.serving.inference.predictor import InferenceRequest, InferenceResult
from tastemaker.serving.runtime.metrics import Reason
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.worker import Worker


class Canned:
    """A predictor that answers all users alike."""

    model = "canned"
    version = "v1"
    n_items = 3
    trouble = None
    pipeline = SimpleNamespace(overlay=SimpleNamespace(trouble=None))

    def recommend(self, asks: Sequence[InferenceRequest]) -> list[InferenceResult]:
        return [
            self.fall_back(ask, MODEL_SHORT if ask.request.user_id == "unknown" else None) for ask in asks
        ]

    def fall_back(self, ask: InferenceRequest, reason: str | None) -> InferenceResult:
        items = [Item(f"item-{number}", 1.0 - number, 0.5) for number in range(ask.request.k)]
        answer = Answer(ask.request_id, self.model, self.version, items, reason)
        return InferenceResult(answer, {"recency_days": None})

    def popular_ids(self, at_most: int) -> list[str]:
        return ["item-0"]


class Counted:
    """Metrics that a test can read."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def answered(self, lists: Mapping[tuple[str, Stage, str | None], int], *more: Any) -> None:
        for (_, stage, fallback), n in lists.items():
            assert stage == "model"
            self.seen += [fallback] * n

    def requested(self, endpoint: str, status: int, *seconds: float) -> None:
        assert all(0 <= each < 5 for each in seconds)
        self.seen += [(endpoint, status)] * len(seconds)

    def count_rest(self) -> None:
        pass

    def feedback(self, types: Iterable[str], outcome: str) -> None:
        assert [*types]

    def is_degraded(self, reasons: Mapping[Reason, str], *, differs: bool) -> None:
        assert (reasons, differs) == ({}, False)

    def page(self) -> bytes:
        return b"tastemaker_requests_total 1\n"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A process that is ready."""
    worker = open_worker("canned", Canned(), Spool(tmp_path), Counted())
    yield worker
    worker.close()


def ask(worker: Worker | None, method: str, path: str, **more: Any) -> httpx.Response:
    """One request, as over HTTP."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(Gateway(not_found, SERVICE_ROUTES, ServingProcess(worker)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def seen(worker: Worker) -> list[Any]:
    """What was counted."""
    return cast(Counted, worker.metrics).seen


def test_an_answer_has_the_documented_shape(worker: Worker) -> None:
    answer = ask(worker, "POST", "/recommend", json={"user_id": "u", "k": 2})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    body = answer.json()
    assert re.fullmatch("[0-9a-f]{32}", body.pop("request_id"))
    assert body == {
        "model": "canned",
        "version": "v1",
        "items": [
            {"item_id": "item-0", "score": 1.0, "propensity": 0.5},
            {"item_id": "item-1", "score": 0.0, "propensity": 0.5},
        ],
        "fallback": None,
        "stage": "model",
    }


def test_each_answer_is_logged_as_it_was_given(worker: Worker, tmp_path: Path) -> None:
    sent = {
        "user_id": "unknown",
        "k": 1,
        "context": {"page": "home"},
        "exclude": ["x"],
        "candidates": ["item-0"],
    }
    body = ask(worker, "POST", "/recommend", json=sent).json()
    spool = worker.spool
    worker.close()
    pending = read(spool.path, 10)
    assert pending is not None
    (record,) = pending.records
    assert isinstance(record, Record)
    assert record.request_id == body["request_id"]
    assert (record.user_id, record.k, record.context) == ("unknown", 1, {"page": "home"})
    assert (record.exclude, record.candidates) == (["x"], ["item-0"])
    assert (record.model, record.version, record.fallback) == ("canned", "v1", MODEL_SHORT)
    assert record.items == [Item("item-0", 1.0, 0.5)]
    assert record.features == {"recency_days": None}


def test_a_batch_is_answered_in_its_order_each_under_an_id_of_its_own(worker: Worker) -> None:
    sent = {"requests": [{"user_id": "u", "k": 1}, {"user_id": "unknown", "k": 2}, {"user_id": "u", "k": 3}]}
    answers = ask(worker, "POST", "/recommend/batch", json=sent).json()["answers"]
    assert [len(answer["items"]) for answer in answers] == [1, 2, 3]
    assert [answer["fallback"] for answer in answers] == [None, MODEL_SHORT, None]
    assert len({answer["request_id"] for answer in answers}) == 3


def test_a_session_and_a_ranking_are_logged_as_what_they_are(worker: Worker) -> None:
    visit = {"items": ["item-1", "item-2"], "k": 2, "session_id": "visit"}
    candidates = {"user_id": "u", "candidates": ["item-2", "item-0", "item-1"]}
    visited = ask(worker, "POST", "/session", json=visit).json()
    ranked = ask(worker, "POST", "/rank", json=candidates).json()
    assert (len(visited["items"]), len(ranked["items"])) == (2, 3)
    spool = worker.spool
    worker.close()
    pending = read(spool.path, 10)
    assert pending is not None
    logged = {record.request_id: record for record in pending.records if isinstance(record, Record)}
    session, rank = logged[visited["request_id"]], logged[ranked["request_id"]]
    assert (session.kind, session.session, session.k) == ("session", ["item-1", "item-2"], 2)
    assert session.user_id == "session:visit"
    assert (rank.kind, rank.candidates, rank.k) == ("rank", ["item-2", "item-0", "item-1"], 3)


def test_feedback_is_on_disk_when_it_is_acknowledged(worker: Worker) -> None:
    event = {"event_id": "1", "event_type": "click", "item_id": "i", "user_id": "u", "occurred_at": 5.0}
    for duplicates in (0, 1):
        answer = ask(worker, "POST", "/feedback", json={"events": [event]})
        assert answer.json() == {"accepted": 1 - duplicates, "duplicates": duplicates}
        pending = read(worker.spool.path, 10)
        assert pending is not None
        (record,) = pending.records
        assert isinstance(record, FeedbackRecord)
        assert (record.event_id, record.occurred_at, record.user_id) == ("1", 5.0, "u")


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("POST", "/recommend", {"content": b"{"}, 400),
        ("POST", "/recommend", {"json": {"user_id": "u", "k": 0}}, 400),
        ("GET", "/recommend", {}, 405),
        ("POST", "/livez", {}, 405),
        ("POST", "/recommend", {"content": b" " * (MAX_BODY_BYTES + 1)}, 413),
        ("POST", "/recommend", {"content": b"{}", "headers": {"Content-Length": "9" * 5_000}}, 413),
        ("POST", "/recommend", {"files": {"body": b"{}"}}, 415),
        ("POST", "/recommend", {"content": b"{}", "headers": {"Content-Encoding": "gzip"}}, 415),
        ("POST", "/", {}, 405),
        ("GET", "/docs.json", {}, 404),
        ("POST", "/recommend/", {}, 404),
        ("GET", "/%ff%00", {}, 404),
    ],
)
def test_a_refusal_is_a_problem_document(
    worker: Worker, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    answer = ask(worker, method, path, **more)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["type"] == "about:blank"
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("0af7651916cd43dd8448eb211c80319c", True),
        ("0AF7651916CD43DD8448EB211C80319C", False),
        ("1" * 33, False),
        ("' OR 1", False),
        ("", False),
    ],
)
def test_the_callers_request_id_is_kept_if_it_is_one(worker: Worker, given: str, kept: bool) -> None:
    for body in ({"user_id": "u"}, {}):
        answer = ask(worker, "POST", "/recommend", json=body, headers={"X-Request-Id": given})
        echoed = answer.headers["x-request-id"]
        assert (echoed == given) == kept
        assert re.fullmatch("[0-9a-f]{32}", echoed)
        assert answer.json()["request_id"] == echoed


def test_a_body_may_come_in_pieces_but_not_without_end(worker: Worker) -> None:
    async def pieces(end: bytes) -> AsyncIterator[bytes]:
        for piece in (b'{"user', b'_id": "u"', b', "k": 2', end):
            yield piece

    answer = ask(worker, "POST", "/recommend", content=pieces(b"}"))
    assert len(answer.json()["items"]) == 2
    assert ask(worker, "POST", "/recommend", content=pieces(b" " * MAX_BODY_BYTES)).status_code == 413


def test_a_caller_who_hangs_up_in_the_middle_gets_no_answer(worker: Worker) -> None:
    said = iter(
        [{"type": "http.request", "body": b'{"user_id"', "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(said)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.0",
        "path": "/recommend",
        "method": "POST",
        "headers": [],
        "query_string": b"",
    }
    asyncio.run(Gateway(not_found, SERVICE_ROUTES, ServingProcess(worker))(scope, receive, send))
    assert (sent, seen(worker)) == ([], [])


@pytest.mark.slow
def test_the_page_says_how_the_process_does_and_is_html_whatever_is_said(worker: Worker) -> None:
    document = ask(worker, "GET", "/openapi.json").json()
    page = ask(worker, "GET", "/").text
    assert "everything works" in page
    for what in [*document["paths"], *document["components"]["schemas"]]:
        assert html.escape(what) in page
    worker.health.checks["log"] = lambda: "<script>alert('no room')</script>"
    page = ask(worker, "GET", "/").text
    assert "<script" not in page
    assert "not everything works: log: &lt;script&gt;" in page


def test_the_page_is_there_before_a_model_is() -> None:
    answer = ask(None, "GET", "/")
    assert (answer.status_code, "the model is not loaded yet" in answer.text) == (200, True)


def test_a_defect_is_reported_without_a_trace(
    worker: Worker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "recommend", Mock(side_effect=RuntimeError("a defect")))
    answer = ask(worker, "POST", "/recommend", json={"user_id": "defect"})
    assert answer.status_code == 500
    assert "RuntimeError" not in answer.text
    (line,) = caplog.records
    assert (line.message, line.levelname) == ("request failed", "ERROR")
    assert line.exc_info is not None
    assert line.exc_info[0] is RuntimeError


def test_answers_refusals_and_defects_are_counted(worker: Worker) -> None:
    for user in ("u", "unknown", ""):
        ask(worker, "POST", "/recommend", json={"user_id": user})
    ask(worker, "GET", "/recommend")
    ask(worker, "GET", "/no/such/path")
    assert seen(worker) == [
        None,
        ("/recommend", 200),
        MODEL_SHORT,
        *[("/recommend", status) for status in (200, 400, 405)],
        ("unknown", 404),
    ]


def test_the_process_says_how_it_does(worker: Worker) -> None:
    assert ask(worker, "GET", "/livez").json() == {"status": "alive"}
    ready = {"status": "ready", "model": "canned", "version": "v1", "degraded": [], "pinned": False}
    assert ask(worker, "GET", "/readyz").json() == ready
    page = ask(worker, "GET", "/metrics")
    assert page.text.startswith("tastemaker_requests_total")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    head = ask(worker, "HEAD", "/readyz")
    assert (head.status_code, head.content) == (200, b"")


def test_before_the_model_is_loaded_the_process_lives_but_is_not_ready() -> None:
    assert ask(None, "GET", "/livez").status_code == 200
    assert ask(None, "GET", "/readyz").status_code == 503
    assert ask(None, "GET", "/metrics").status_code == 503
    assert ask(None, "POST", "/recommend", json={"user_id": "u"}).status_code == 503


def test_a_body_that_does_not_come_is_not_waited_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.serving.http.asgi.BODY_SECONDS", 0.05)

    async def stalling() -> AsyncIterator[bytes]:
        yield b'{"user'
        await asyncio.sleep(60)

    answer = ask(worker, "POST", "/recommend", content=stalling())
    assert (answer.status_code, answer.headers["content-type"]) == (408, "application/problem+json")
    assert answer.headers["connection"] == "close"
    assert answer.json()["field"] == "body"


def test_a_disk_that_hangs_is_not_waited_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = SERVICE_ROUTES._whole["/feedback"]._replace(timeout_seconds=cast(int, 0.05))
    monkeypatch.setitem(SERVICE_ROUTES._whole, "/feedback", impatient)

    async def hang(records: Sequence[Any]) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(worker.spool, "stored", hang)
    event = {"event_id": "e", "event_type": "click", "item_id": "i", "user_id": "u"}
    answer = ask(worker, "POST", "/feedback", json={"events": [event]})
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.headers["retry-after"] == "1"
    assert "no harm" in answer.json()["detail"]


def test_behind_pseudonyms_nothing_that_is_stored_names_a_user(tmp_path: Path) -> None:
    names = Pseudonyms(b"k" * 32)
    worker = open_worker("canned", Canned(), Spool(tmp_path), Counted(), pseudonyms=names)
    event = {"event_id": "e", "event_type": "click", "item_id": "tea", "user_id": "Annabel"}
    bodies: dict[str, Any] = {
        "/recommend": {"user_id": "Annabel"},
        "/recommend/batch": {"requests": [{"user_id": "Annabel"}]},
        "/rank": {"user_id": "Annabel", "candidates": ["tea"]},
        "/session": {"session_id": "Annabel", "items": ["tea"]},
        "/feedback": {"events": [event]},
    }
    for path, body in bodies.items():
        assert ask(worker, "POST", path, json=body).status_code == 200, path
    worker.close()
    pending = read(tmp_path / FILE_NAME, 100)
    assert pending is not None
    whose = {names.of("Annabel"), names.of("session:Annabel")}
    assert {getattr(one, "user_id", None) for one in pending.records} == whose
    assert len(pending.records) == len(bodies)
    assert all(b"Annabel" not in file.read_bytes() for file in tmp_path.iterdir())


def test_other_kinds_of_connection_are_handed_on(worker: Worker) -> None:
    handed: list[str] = []

    async def behind(scope: Scope, receive: Any, send: Any) -> None:
        handed.append(scope["type"])

    asyncio.run(
        Gateway(behind, SERVICE_ROUTES, ServingProcess(worker))(
            {"type": "lifespan"}, cast(Any, None), cast(Any, None)
        )
    )
    assert handed == ["lifespan"]
