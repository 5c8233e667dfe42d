"""ASGI applications that stand behind a gateway."""

from __future__ import annotations

from http import HTTPStatus

from tastemaker.api.schemas import HTTPError
from tastemaker.serving.http.asgi import Receive, Scope, Send, problem_reply, send_reply
from tastemaker.serving.inference.predictor import new_request_id


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404 to each request of HTTP."""
    if scope["type"] == "http":
        request_id = new_request_id()
        missing = HTTPError(HTTPStatus.NOT_FOUND, "there is no page at this path")
        await send_reply(send, problem_reply(missing, request_id), request_id)
