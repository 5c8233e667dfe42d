"""A client of Elasticsearch's and OpenSearch's HTTP interface: bulk writes, and requests about indices.

Documents are written by the operation `create` with an id of their own, so that a write can be repeated: an
id that exists is left as it is (409). Of a bulk write, the documents that the cluster has no room for now
(429, 5xx) are sent again, and only these.

https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
"""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import urllib3

from tastemaker.elasticsearch_settings import ElasticsearchSettings
from tastemaker.errors import TastemakerError

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 30.0
"""Between two attempts; doubled after each."""
ATTEMPTS = 6
"""Of one bulk write, before it counts as failed."""
LATER = (408, 429, 500, 502, 503, 504)
"""Statuses after which the same document may be accepted."""
TOO_LARGE = 413
EXISTS = 409


class ClusterUnavailable(TastemakerError):
    """The cluster does not accept documents now; it may later."""


class Document(NamedTuple):
    """A document, with the index and the id under which it is stored."""

    index_name: str
    id: str
    body: bytes
    """JSON on one line."""


class RejectedDocument(NamedTuple):
    """A document that the cluster will never accept as it is."""

    id: str
    reason: str
    """The type of the cluster's error: its text may quote the document."""


class Written(NamedTuple):
    """What became of documents."""

    created: int = 0
    existing: int = 0
    """Those that the cluster had before."""
    rejected: tuple[RejectedDocument, ...] = ()

    def plus(self, other: Written) -> Written:
        """Return the sum of both."""
        return Written(
            self.created + other.created, self.existing + other.existing, self.rejected + other.rejected
        )


class Cluster:
    """Connections to a cluster. Not thread-safe."""

    def __init__(
        self, settings: ElasticsearchSettings, *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """Prepare to connect.

        Args:
            settings: Name the cluster, and the environment variables with its secrets.
            sleep: Waits between two attempts.

        Raises:
            TastemakerError: There is no URL, or a secret is missing.
        """
        if settings.url is None:
            raise TastemakerError(
                "elasticsearch.url is not set",
                fix="set TASTEMAKER_ELASTICSEARCH__URL to the cluster, such as https://search:9200",
            )
        self.host = urlsplit(settings.url).netloc
        self._url, self._settings, self._sleep = settings.url, settings, sleep
        self._headers = {"Accept": "application/json", **_authorization(settings)}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=settings.timeout_seconds), retries=False
        )
        self._is_opensearch: bool | None = None

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    @property
    def is_opensearch(self) -> bool:
        """Whether the cluster is an OpenSearch. Asks it once."""
        if self._is_opensearch is None:
            version = self.call("GET", "/").get("version", {})
            self._is_opensearch = version.get("distribution") == "opensearch"
        return self._is_opensearch

    def call(self, method: str, path: str, body: object = None, *, missing_is_empty: bool = False) -> Any:
        """Send one request and return the answer's JSON.

        Args:
            method: Of HTTP.
            path: With the query, from the slash on.
            body: Is sent as JSON; None for no body.
            missing_is_empty: Whether 404 means an empty object.

        Raises:
            ClusterUnavailable: The cluster can't be reached, or has no room now.
            TastemakerError: The cluster refuses the request.
        """
        sent = None if body is None else msgspec.json.encode(body)
        reply = self._sent(method, path, sent, "application/json")
        if reply.status == 404 and missing_is_empty:
            return {}
        if reply.status >= 300:
            raise self._refused(reply, f"{method} {path.partition('?')[0]}")
        return self._decoded(reply)

    def write(self, documents: Iterable[Document]) -> Written:
        """Create documents, in requests of at most `batch_bytes`, and return what became of them.

        Raises:
            ClusterUnavailable: After ATTEMPTS, some documents are not accepted yet. All may be sent again.
            TastemakerError: The cluster refuses the request.
        """
        written, chunk, size = Written(), list[Document](), 0
        for one in documents:
            if chunk and size + len(one.body) > self._settings.batch_bytes:
                written = written.plus(self._write(chunk))
                chunk, size = [], 0
            chunk.append(one)
            size += len(one.body)
        return written.plus(self._write(chunk)) if chunk else written

    def _write(self, documents: Sequence[Document]) -> Written:
        """Create the documents of one request, with retries."""
        written, pending, wait, reason = Written(), list(documents), FIRST_WAIT_SECONDS, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(wait * random.uniform(0.5, 1))
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            try:
                reply = self._sent("POST", "/_bulk", _lines(pending), "application/x-ndjson")
            except ClusterUnavailable as error:
                reason = error.problem
                continue
            if reply.status == TOO_LARGE:
                return written.plus(self._halved(pending))
            if reply.status in LATER:
                reason, wait = f"{self.host} answers {reply.status}", max(wait, _retry_after(reply))
                continue
            if reply.status >= 300:
                raise self._refused(reply, "POST /_bulk")
            done, pending, reason = self._outcome(pending, self._decoded(reply))
            written = written.plus(done)
            if not pending:
                return written
        raise ClusterUnavailable(
            f"{len(pending):,} documents were not accepted after {ATTEMPTS} attempts: {reason}",
            fix="see what the cluster lacks; nothing is lost, and what it has is not stored twice",
        )

    def _halved(self, documents: Sequence[Document]) -> Written:
        """Create documents that are too large for one request in two; one that is alone is rejected."""
        if len(documents) == 1:
            return Written(rejected=(RejectedDocument(documents[0].id, "too large for the cluster (413)"),))
        half = len(documents) // 2
        return self._write(documents[:half]).plus(self._write(documents[half:]))

    def _outcome(self, documents: Sequence[Document], answer: Any) -> tuple[Written, list[Document], str]:
        """Return what was written, the documents to send again, and why these were not accepted."""
        items = answer.get("items", ())
        if len(items) != len(documents):
            raise TastemakerError(
                f"{self.host} answered {len(items)} of {len(documents)} documents of a bulk write",
                fix="set elasticsearch.url to an Elasticsearch or OpenSearch, not to another service",
            )
        written, again, reason = Written(), list[Document](), ""
        for document, item in zip(documents, items, strict=True):
            result = item["create"]
            status = result["status"]
            kind = (result.get("error") or {}).get("type", "unknown")
            if status < 300:
                written = written._replace(created=written.created + 1)
            elif status == EXISTS:
                written = written._replace(existing=written.existing + 1)
            elif status in LATER:
                again.append(document)
                reason = f"{self.host} answers {status} ({kind})"
            else:
                rejected = RejectedDocument(document.id, f"{kind} ({status})")
                written = written._replace(rejected=(*written.rejected, rejected))
        return written, again, reason

    def _sent(self, method: str, path: str, body: bytes | None, kind: str) -> urllib3.BaseHTTPResponse:
        headers = self._headers if body is None else {**self._headers, "Content-Type": kind}
        try:
            return self._pool.request(method, self._url + path, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise ClusterUnavailable(
                f"{self.host} can't be reached: {type(error).__name__}",
                fix="start it, or set TASTEMAKER_ELASTICSEARCH__URL to one that answers; nothing is lost",
            ) from error

    def _refused(self, reply: urllib3.BaseHTTPResponse, what: str) -> TastemakerError:
        """Return an error without the cluster's text, which may quote a document."""
        if reply.status in LATER:
            return ClusterUnavailable(f"{self.host} answers {reply.status} to {what}", fix="try again later")
        if reply.status in (401, 403):
            fix = "give the key or the user the right to manage and write these indices"
            return TastemakerError(f"{self.host} refuses {what} with {reply.status}", fix=fix)
        try:
            error = msgspec.json.decode(reply.data).get("error", {})
            kind = error.get("type", "") if isinstance(error, dict) else ""
        except (msgspec.DecodeError, AttributeError):
            kind = ""
        return TastemakerError(
            f"{self.host} refuses {what} with {reply.status} {kind}".rstrip(),
            fix="see the cluster's log; it must be Elasticsearch 7.17, OpenSearch 2.7 or later",
        )

    def _decoded(self, reply: urllib3.BaseHTTPResponse) -> Any:
        try:
            return msgspec.json.decode(reply.data)
        except msgspec.DecodeError as error:
            raise TastemakerError(
                f"{self.host} does not answer with JSON",
                fix="set elasticsearch.url to an Elasticsearch or OpenSearch",
            ) from error


def _authorization(settings: ElasticsearchSettings) -> dict[str, str]:
    if settings.api_key_variable is not None:
        return {"Authorization": f"ApiKey {_secret(settings.api_key_variable)}"}
    if settings.user is not None and settings.password_variable is not None:
        pair = f"{settings.user}:{_secret(settings.password_variable)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value or not value.isascii() or not value.isprintable():
        raise TastemakerError(
            f"the environment variable {variable} is not set, or has other characters than ASCII",
            fix=f"set {variable} to the cluster's secret, or remove its name from [elasticsearch]",
        )
    return value


def _lines(documents: Iterable[Document]) -> bytes:
    """Return the body of a bulk write: two lines per document."""
    lines = []
    for one in documents:
        lines += [msgspec.json.encode({"create": {"_index": one.index_name, "_id": one.id}}), one.body]
    return b"\n".join([*lines, b""])


def _retry_after(reply: urllib3.BaseHTTPResponse) -> float:
    """Return the seconds that the cluster asks to wait; 0 if it does not say."""
    text = reply.headers.get("Retry-After", "")
    return min(float(text), LONGEST_WAIT_SECONDS) if text.isascii() and text.isdigit() else 0.0
