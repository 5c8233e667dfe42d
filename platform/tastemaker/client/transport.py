"""Calls over HTTP, with retries."""

from __future__ import annotations

import random
import time
from typing import Any, TypeVar

import msgspec
import urllib3

from tastemaker.api.schemas import Problem
from tastemaker.errors import TastemakerError

T = TypeVar("T")
_LATER = (429, 502, 503, 504)
"""Statuses after which a retry may succeed: a limit, a full log, a service that starts."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts where the service names none."""


class ServiceError(TastemakerError):
    """The service refused or could not be reached."""

    def __init__(self, problem: Problem | None, detail: str, retry_after: float | None = None) -> None:
        """Describe a refusal, or a service that can't be reached.

        Args:
            problem: The service's problem document; None if none arrived.
            detail: What is wrong, in words: the message.
            retry_after: Seconds to wait before a retry; None if the service gave none.
        """
        super().__init__(detail)
        self.details = problem
        """The service's problem document; None if none arrived."""
        self.retry_after = retry_after
        """Seconds to wait before a retry, if the service gave them."""

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later."""
        return self.details is None or self.details.status in _LATER


class Transport:
    """Connections to a service, for several threads."""

    def __init__(self, url: str, key: str | None, timeout_seconds: float, connections: int) -> None:
        """Prepare to call a service; the first call connects.

        Args:
            url: Where the service listens, such as `http://127.0.0.1:3000`; a path in it precedes all paths.
            key: The API key that each call sends; None sends none.
            timeout_seconds: How long it may take to connect, and then to get the next part of an answer,
                together.
            connections: How many connections are kept open. Threads beyond that number open their own for
                each call.
        """
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._pool = urllib3.PoolManager(
            maxsize=connections, timeout=urllib3.Timeout(timeout_seconds), retries=False
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def call(
        self, method: str, path: str, answers: type[T], body: Any = None, *, request_id: str | None = None
    ) -> T:
        """Call the service once, and return its decoded answer.

        Args:
            method: Of HTTP.
            path: Of the endpoint, with its query.
            answers: The type that the answer is decoded to.
            body: What is sent as JSON; None sends nothing.
            request_id: The id of the request; None lets the service choose one.

        Raises:
            ServiceError: The service can't be reached, or refused the request.
        """
        return msgspec.json.decode(self.read(method, path, body, request_id=request_id), type=answers)

    def read(self, method: str, path: str, body: Any = None, *, request_id: str | None = None) -> bytes:
        """Call the service once, and return its answer as it is.

        Args:
            method: Of HTTP.
            path: Of the endpoint, with its query.
            body: What is sent as JSON; None sends nothing.
            request_id: The id of the request; None lets the service choose one.

        Raises:
            ServiceError: The service can't be reached, or refused the request.
        """
        headers = self._headers if request_id is None else {**self._headers, "X-Request-Id": request_id}
        sent = None if body is None else msgspec.json.encode(body)
        try:
            reply = self._sent(method, path, sent, headers)
        except urllib3.exceptions.HTTPError as error:
            raise ServiceError(None, f"{self._url} can't be reached: {error}") from error
        if reply.status != 200:
            raise _refused(reply)
        return reply.data

    def _sent(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, once more if the connection broke: its worker may have ended."""
        try:
            return self._pool.request(method, self._url + path, body=body, headers=headers)
        except urllib3.exceptions.ProtocolError:
            return self._pool.request(method, self._url + path, body=body, headers=headers)

    def insist(self, path: str, answers: type[T], body: Any, retry_seconds: float) -> T:
        """POST a body, and repeat it while the service fails; return the decoded answer.

        Args:
            path: Of an endpoint that may be called twice with the same body.
            answers: The type that the answer is decoded to.
            body: What is sent as JSON.
            retry_seconds: For how long the call is repeated after a failure that may pass.

        Raises:
            ServiceError: The failure does not pass, or lasted longer.
        """
        end = time.monotonic() + retry_seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                return self.call("POST", path, answers, body)
            except ServiceError as error:
                wait = pause * random.uniform(0.5, 1.0) if error.retry_after is None else error.retry_after
                if not error.passing or time.monotonic() + wait > end:
                    raise
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _refused(reply: urllib3.BaseHTTPResponse) -> ServiceError:
    try:
        problem = msgspec.json.decode(reply.data, type=Problem)
    except msgspec.DecodeError:  # a proxy's own page
        problem = Problem(reply.reason or "Error", reply.status, "no problem document came with it")
    after = reply.headers.get("Retry-After", "")
    detail = f"{problem.status} {problem.title}: {problem.detail}"
    return ServiceError(problem, detail, float(after) if after.isdigit() else None)
