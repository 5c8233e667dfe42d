"""The serving process as a plain ASGI application: POST /recommend, GET /livez, /readyz and /metrics.

It stands in front of another application, which gets every other path. BentoML's own routing, tracing and
access log cost five times what the answer does, so the hot path is answered before they see it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from tastemaker.serving.messages import MAX_BODY_BYTES, Problem, Refusal
from tastemaker.serving.reading import read_request
from tastemaker.serving.worker import Worker

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
PROBLEM = b"application/problem+json"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_METHODS = {"/recommend": "POST", "/livez": "GET", "/readyz": "GET", "/metrics": "GET"}
_encode = msgspec.json.Encoder().encode

logger = logging.getLogger("tastemaker.serving")


class Reply(NamedTuple):
    """One HTTP response."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Gateway:
    """ASGI middleware: answers the platform's own paths, hands on the rest."""

    def __init__(self, app: Application, worker: Worker) -> None:
        self.app, self.worker = app, worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else None
        if path not in _METHODS:
            await self.app(scope, receive, send)
            return
        reply = await self._reply(path, scope["method"], receive)
        await _send(send, reply, with_body=scope["method"] != "HEAD")

    async def _reply(self, path: str, method: str, receive: Receive) -> Reply:
        try:
            _check_method(path, method)
            if path == "/recommend":
                request = read_request(await read_body(receive))
                return Reply(200, _encode(await self.worker.recommend(request)))
            return self._status(path)
        except Refusal as refusal:
            return self._refusal(path, refusal.problem)
        except Exception:  # a defect of ours: the caller is told so, the log gets the trace
            logger.exception("%s %s failed", method, path)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            problem = Problem(status.phrase, int(status), "a defect; the server's log says more")
            return self._refusal(path, problem)

    def _status(self, path: str) -> Reply:
        predictor, metrics = self.worker.predictor, self.worker.metrics
        if path == "/livez":
            return Reply(200, b'{"status":"alive"}')
        if predictor is None or metrics is None:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the model is not loaded yet")
        if path == "/metrics":
            return Reply(200, metrics.page(), TEXT)
        ready = {"status": "ready", "model": predictor.model, "version": predictor.version}
        return Reply(200, _encode(ready))

    def _refusal(self, path: str, problem: Problem) -> Reply:
        if path == "/recommend" and self.worker.metrics is not None:
            self.worker.metrics.refused(problem.status)
        wrong_method = problem.status == HTTPStatus.METHOD_NOT_ALLOWED
        headers = ((b"allow", _METHODS[path].encode()),) if wrong_method else ()
        return Reply(problem.status, _encode(problem), PROBLEM, headers)


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind a gateway that has nothing behind it."""
    if scope["type"] != "http":
        return
    detail = f"there is nothing at {scope['path']}; try {', '.join(_METHODS)}"
    problem = Problem(HTTPStatus.NOT_FOUND.phrase, int(HTTPStatus.NOT_FOUND), detail)
    await _send(send, Reply(problem.status, _encode(problem), PROBLEM))


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises Refusal (413) as soon as it is too long."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False) and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
    if len(body) > MAX_BODY_BYTES:
        detail = f"the body has more than {MAX_BODY_BYTES} bytes"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, limit=MAX_BODY_BYTES)
    return body


async def _send(send: Send, reply: Reply, *, with_body: bool = True) -> None:
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(reply.body)),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body if with_body else b""})


def _check_method(path: str, method: str) -> None:
    allowed = _METHODS[path]
    if method != allowed and not (method == "HEAD" and allowed == "GET"):
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} {path}: only {allowed} is allowed")
