"""One HTTP POST with a deadline, and what a status means for a delivery."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from tastemaker._version import __version__
from tastemaker.notifications.deadline import BEYOND_SECONDS, call_within, close_socket, network_error
from tastemaker.notifications.http_route import route
from tastemaker.notifications.notification import Delivery
from tastemaker.notifications.secret_values import without_secrets

BODY_BYTES = 65_536
"""The most bytes of an answer that are read."""
LONGEST_WAIT_SECONDS = 3_600.0
"""The longest wait that a receiver may ask for."""
LATER = (408, 425, 429)
"""Statuses of the 4xx that do not refuse the message itself."""


@dataclass(frozen=True)
class ReceiverReply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """Names are in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace").strip()

    def json(self) -> Any:
        """Return the body as JSON; None if it is something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class HttpTarget:
    """A URL that notifications are posted to."""

    url: str = field(repr=False)
    timeout_seconds: float
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What no message may repeat."""

    def send(
        self,
        body: bytes,
        headers: Mapping[str, str],
        refusal: Callable[[ReceiverReply], str | None],
        words: Callable[[ReceiverReply], str] = lambda reply: reply.text,
    ) -> Delivery:
        """Post a body once and return what came of it; never raise.

        Args:
            body: The body, JSON.
            headers: Headers besides Content-Type and User-Agent.
            refusal: Returns why an answer of 2xx is not the receiver's own; None if it is.
            words: Returns what the receiver says about an error.
        """
        try:
            reply = self._post(body, headers)
        except TimeoutError:
            return Delivery("retry", f"{self._host} did not answer within {self.timeout_seconds:g} s")
        except Exception as error:  # a socket, TLS, HTTP or a library: all mean that no answer came
            return Delivery("retry", without_secrets(network_error(self._host, error), self.secrets))
        return self._delivery(reply, refusal, words)

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def _post(self, body: bytes, headers: Mapping[str, str]) -> ReceiverReply:
        """Return the answer. Raises what sockets, ssl, http.client and urllib3 raise."""
        end = time.monotonic() + self.timeout_seconds
        connection, target, more = route(self.url, self.timeout_seconds + BEYOND_SECONDS)
        sent = {
            "Content-Type": "application/json",
            "User-Agent": f"tastemaker/{__version__}",
            **headers,
            **more,
        }

        def exchange() -> ReceiverReply:
            try:
                connection.connect()
                if time.monotonic() > end:  # the caller gave up: it will send the message again
                    raise TimeoutError
                connection.request("POST", target, body=body, headers=sent, preload_content=False)
                answer = connection.getresponse()
                read = answer.read(BODY_BYTES)
                return ReceiverReply(
                    answer.status, {key.lower(): one for key, one in answer.headers.items()}, read
                )
            finally:
                connection.close()

        return call_within(self.timeout_seconds, exchange, lambda: close_socket(connection.sock))

    def _delivery(
        self,
        reply: ReceiverReply,
        refusal: Callable[[ReceiverReply], str | None],
        words: Callable[[ReceiverReply], str],
    ) -> Delivery:
        status, wait = reply.status, retry_after(reply.headers.get("retry-after"), datetime.now(UTC))
        if 200 <= status < 300:
            wrong = refusal(reply)
            if wrong is None:
                return Delivery("sent", str(status))
            return Delivery("retry", self._line(f"{status}, but {wrong}", reply.text), wait)
        if 300 <= status < 400:
            return Delivery("rejected", f"{status}: {self._host} redirects to another address; set that one")
        detail = self._line(str(status), words(reply))
        if 400 <= status < 500 and status not in LATER:
            return Delivery("rejected", detail)
        return Delivery("retry", detail, wait)

    def _line(self, start: str, said: str) -> str:
        return without_secrets(f"{start}: {said}" if said else start, self.secrets)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks to wait; None without one, or if it is malformed.

    (RFC 9110, section 10.2.3: a number of seconds or a date.)

    Args:
        header: The value of Retry-After; None if the answer has none.
        now: The current time, aware, from which a date is counted.

    >>> retry_after("7", datetime.now(UTC)), retry_after("soon", datetime.now(UTC))
    (7.0, None)
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), LONGEST_WAIT_SECONDS)


def header_value(text: str) -> str:
    """Return text that is safe as the value of a header: other characters than visible ASCII become _."""
    return "".join(letter if "!" <= letter <= "~" else "_" for letter in text)


def json_body(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON in UTF-8, without NaN."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def any_answer(reply: ReceiverReply) -> str | None:
    """Accept every answer of 2xx."""
    return None
