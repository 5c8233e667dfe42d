"""A pinned service as one worker of the controller sees it: how to ask it, and whether it answers."""

from __future__ import annotations

import time
from collections import deque
from functools import lru_cache
from http import HTTPStatus

import msgspec

from tastemaker.api.control_schemas import ControlledServiceStatus
from tastemaker.controller.connection import NoAnswerError, ServiceReply
from tastemaker.controller.service_client import ClientLimits, ServiceClient
from tastemaker.experiments.plan import PinnedService
from tastemaker.experiments.service_address import parse_address
from tastemaker.serving.inference.predictor import copied_request_id

DOWN_SECONDS = 2.0
"""After so long without an answer a service is not asked, but for probes, until it answers one."""
UNREACHABLE_SECONDS = 10.0
"""After so long without an answer, the traffic of its variants goes to control until a person acts."""
START_SECONDS = 60.0
"""The same for a service that has not answered yet: it may be loading its version."""
WINDOW = 200
"""The last answers among which fallbacks are counted."""
MAX_FALLBACK_SHARE = 0.5
LOOK_UPS = ClientLimits(seconds=5.0, waiting=100, connections=4)
"""Of requests that read disks: explanations and similar items."""
MAX_HEADS = 64
"""Kinds of requests whose beginnings are kept."""


class ControlledService:
    """A service, and its latest answers."""

    def __init__(self, pinned: PinnedService, limits: ClientLimits, key: str | None = None) -> None:
        """Prepare to ask a service.

        Args:
            pinned: The service's name, address and version.
            limits: The deadline of a request, and how many may wait or be on their way.
            key: The API key for services that are reached over the network.
        """
        self.pinned = pinned
        address = parse_address(pinned.address)
        self._client = ServiceClient(address, limits)
        self._patient = ServiceClient(address, LOOK_UPS)
        self._host = address.host.encode()
        self._authorization = b"" if key is None else b"authorization: Bearer %b\r\n" % key.encode()
        self._head = lru_cache(MAX_HEADS)(self._new_head)
        self._answered_at: float | None = None
        self._failing_since: float | None = time.monotonic()
        self.answers_with = pinned.version
        """The version of its last answer."""
        self._fell_back: deque[bool] = deque(maxlen=WINDOW)
        self._fallbacks = 0

    @property
    def is_down(self) -> bool:
        """Whether it is not asked: it has not answered for a while, or not yet."""
        since = self._failing_since
        return since is not None and (self._answered_at is None or time.monotonic() - since > DOWN_SECONDS)

    @property
    def status(self) -> ControlledServiceStatus:
        """What is known of it."""
        pinned = self.pinned
        other = msgspec.UNSET if self.answers_with == pinned.version else self.answers_with
        return ControlledServiceStatus(
            pinned.name, pinned.model, pinned.version, up=not self.is_down, answers_with=other
        )

    @property
    def trouble(self) -> str | None:
        """Why its variants are to lose their traffic, in words; None while they keep it."""
        since = self._failing_since
        if since is not None:
            seconds = time.monotonic() - since
            if seconds > (START_SECONDS if self._answered_at is None else UNREACHABLE_SECONDS):
                return f"it has not answered for {seconds:.0f} s"
        if len(self._fell_back) == WINDOW and self._fallbacks > MAX_FALLBACK_SHARE * WINDOW:
            return f"{self._fallbacks} of its last {WINDOW} answers were fallbacks"
        return None

    async def ask(
        self, target: bytes, request_id: str, control: bytes, body: bytes | None = None
    ) -> ServiceReply:
        """Return its answer to a request.

        Args:
            target: The path and the query.
            request_id: 32 hexadecimal digits.
            control: The value of the header X-Tastemaker-Control.
            body: JSON, sent with POST; None for GET.

        Raises:
            NoAnswerError: It did not answer in time, or that it can't.
        """
        try:
            reply = await self._sent(target, request_id, control, body)
            if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise NoAnswerError("refused")
        except NoAnswerError:
            if self._failing_since is None:
                self._failing_since = time.monotonic()
            raise
        self._answered_at, self._failing_since = time.monotonic(), None
        return reply

    async def _sent(self, target: bytes, request_id: str, control: bytes, body: bytes | None) -> ServiceReply:
        """Send a request; once more, under another id, if the connection was closed for being idle."""
        try:
            return await self._client.send(self._request(target, request_id, control, body))
        except NoAnswerError as error:
            if not error.was_idle:
                raise
        same_seed = copied_request_id(request_id)
        return await self._client.send(self._request(target, same_seed, control, body))

    def _request(self, target: bytes, request_id: str, control: bytes, body: bytes | None) -> bytes:
        return b"%bx-request-id: %b\r\nx-tastemaker-control: %b\r\ncontent-length: %d\r\n\r\n%b" % (
            self._head(b"GET" if body is None else b"POST", target),
            request_id.encode(),
            control,
            len(body or b""),
            body or b"",
        )

    async def look_up(self, target: bytes, request_id: str, control: bytes) -> ServiceReply:
        """Return its answer to a request that may take seconds and says nothing of its health.

        Args:
            target: The path and the query.
            request_id: 32 hexadecimal digits.
            control: The value of the header X-Tastemaker-Control.

        Raises:
            NoAnswerError: It did not answer in time, or that it can't.
        """
        reply = await self._patient.send(self._request(target, request_id, control, None))
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise NoAnswerError("refused")
        return reply

    def note(self, *, fell_back: bool) -> None:
        """Remember whether the service's model answered a request."""
        if len(self._fell_back) == WINDOW:
            self._fallbacks -= self._fell_back[0]
        self._fell_back.append(fell_back)
        self._fallbacks += fell_back

    def forget_answers(self) -> None:
        """Count fallbacks from now on: what a variant did before it was repaired says nothing about it."""
        self._fell_back.clear()
        self._fallbacks = 0

    def close(self) -> None:
        """Close its connections."""
        self._client.close()
        self._patient.close()

    def _new_head(self, method: bytes, target: bytes) -> bytes:
        """Return what all requests of a kind begin with."""
        line = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method, target, self._host)
        return line + self._authorization + b"content-type: application/json\r\n"
