"""A server that speaks the part of Elasticsearch's HTTP interface that the platform uses, in memory.

It holds documents to the mappings of the templates (`dynamic: strict`, objects in flattened fields), keeps
ids apart by index, shows a document to searches only after a refresh, and can be made to fail. It is not
Elasticsearch: what is tested against it is that requests have the documented form, and what is done about
each documented answer.
"""

from __future__ import annotations

import fnmatch
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Failure = tuple[int, dict[str, str]]
"""Status and headers."""


class StubCall(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ElasticsearchStub:
    """The state of the server: indices, templates and policies, and what fails next."""

    def __init__(self, distribution: str | None = None) -> None:
        self.distribution = distribution
        self.indices: dict[str, dict[str, dict[str, Any]]] = {}
        self.searchable: dict[str, dict[str, dict[str, Any]]] = {}
        """As of the last refresh."""
        self.templates: dict[str, Any] = {}
        self.policies: dict[str, Any] = {}
        self.calls: list[StubCall] = []
        self.failures: deque[Failure | float] = deque()
        """What becomes of the next bulk writes: a status with headers, or seconds without an answer."""
        self.item_status: Callable[[str], int | None] = lambda document_id: None
        """Returns the status of one document of a bulk write, in place of what it deserves."""
        self.max_bytes = 1 << 30
        self.url = ""
        self._lock = threading.Lock()

    @property
    def bulk_ids(self) -> list[list[str]]:
        """Ids of the documents of each bulk write that came."""
        lines = [one.body.splitlines()[::2] for one in self.calls if one.path == "/_bulk"]
        return [[json.loads(line)["create"]["_id"] for line in each] for each in lines]

    def ids(self, pattern: str = "*") -> list[str]:
        """Ids in the indices whose names match."""
        return sorted(
            one for name, each in self.indices.items() if fnmatch.fnmatch(name, pattern) for one in each
        )

    def answer(self, call: StubCall) -> tuple[int, dict[str, str], Any]:
        """Return the status, the headers and the JSON for a request."""
        with self._lock:
            self.calls.append(call)
            failure = self.failures.popleft() if call.path == "/_bulk" and self.failures else None
        if isinstance(failure, float):
            time.sleep(failure)
        elif failure is not None:
            return (
                failure[0],
                failure[1],
                {"error": {"type": "es_rejected_execution_exception", "reason": "secret"}},
            )
        with self._lock:
            status, body = self._dispatch(call)
        return status, {}, body

    def _dispatch(self, call: StubCall) -> tuple[int, Any]:
        path, body = urlsplit(call.path).path, call.body
        if (call.method, path) == ("GET", "/"):
            version = (
                {"number": "2.11.0", "distribution": self.distribution}
                if self.distribution
                else {"number": "8.11.0"}
            )
            return 200, {"version": version}
        if found := re.fullmatch(r"/_index_template/([^/]+)", path):
            self.templates[found[1]] = json.loads(body)
            return 200, {"acknowledged": True}
        if (found := re.fullmatch(r"/_ilm/policy/([^/]+)", path)) and self.distribution is None:
            self.policies[found[1]] = json.loads(body)
            return 200, {"acknowledged": True}
        if (found := re.fullmatch(r"/_plugins/_ism/policies/([^/]+)", path)) and self.distribution:
            return self._ism(call, found[1])
        if (call.method, path) == ("POST", "/_bulk"):
            return self._bulk(body)
        if found := re.fullmatch(r"/([^/_][^/]*)/(_refresh|_count|_delete_by_query)", path):
            return 200, self._query(found[1], found[2], json.loads(body) if body else {}, call.path)
        return 400, {"error": {"type": "illegal_argument_exception", "reason": path}}

    def _ism(self, call: StubCall, name: str) -> tuple[int, Any]:
        known = self.policies.get(name)
        if call.method == "GET":
            return (200, {"_id": name, "_seq_no": 7, "_primary_term": 2, **known}) if known else (404, {})
        if known and "if_seq_no=7&if_primary_term=2" not in call.path:
            return 409, {"error": {"type": "version_conflict_engine_exception"}}
        self.policies[name] = json.loads(call.body)
        return 200, {}

    def _bulk(self, body: bytes) -> tuple[int, Any]:
        if len(body) > self.max_bytes:
            return 413, {}
        if not body.endswith(b"\n"):
            return 400, {"error": {"type": "illegal_argument_exception"}}
        lines, items = body.splitlines(), []
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            ((operation, place),) = json.loads(action).items()
            assert operation == "create"
            document, name = json.loads(source), place["_index"]
            status, kind = self._create(name, place["_id"], document)
            error = {} if kind is None else {"error": {"type": kind, "reason": f"quotes {source.decode()}"}}
            items.append({"create": {"_index": name, "_id": place["_id"], "status": status, **error}})
        return 200, {"errors": any(one["create"]["status"] > 299 for one in items), "items": items}

    def _create(self, name: str, key: str, document: dict[str, Any]) -> tuple[int, str | None]:
        if status := self.item_status(key):
            return (
                status,
                "es_rejected_execution_exception" if status == 429 else "unavailable_shards_exception",
            )
        template = next(
            one
            for one in self.templates.values()
            if any(fnmatch.fnmatch(name, each) for each in one["index_patterns"])
        )["template"]
        fields = template["mappings"]["properties"]
        assert template["mappings"]["dynamic"] == "strict"
        if document.keys() - fields.keys():
            return 400, "strict_dynamic_mapping_exception"
        for field, value in document.items():
            if (fields[field]["type"] in ("flattened", "flat_object")) != isinstance(value, dict):
                return 400, "document_parsing_exception"
        index = self.indices.setdefault(name, {})
        if key in index:
            return 409, "version_conflict_engine_exception"
        index[key] = document
        return 201, None

    def _query(self, pattern: str, operation: str, body: dict[str, Any], path: str) -> Any:
        names = [name for name in self.indices if fnmatch.fnmatch(name, pattern)]
        if operation == "_refresh":
            self.searchable.update({name: dict(self.indices[name]) for name in names})
            return {}
        found = [
            (name, key)
            for name in names
            for key, document in self.searchable.get(name, {}).items()
            if _matches(body.get("query"), document)
        ]
        if operation == "_count":
            return {"count": len(found)}
        assert "conflicts=proceed" in path
        for name, key in found:
            self.indices[name].pop(key, None)
            if "refresh=true" in path:
                self.searchable[name].pop(key)
        return {"deleted": len(found), "failures": []}


def _matches(query: Any, document: dict[str, Any]) -> bool:
    if query is None:
        return True
    if "bool" in query:
        return any(_matches(one, document) for one in query["bool"]["should"])
    ((field, values),) = query["terms"].items()
    return document.get(field) in values


@contextmanager
def elasticsearch(distribution: str | None = None) -> Iterator[ElasticsearchStub]:
    """A running stub; with a distribution it is an OpenSearch."""
    stub = ElasticsearchStub(distribution)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, answer = stub.answer(StubCall(self.command, self.path, headers, body))
            sent = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(sent)),
                **more,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_PUT = do_POST = _handle

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Print nothing when a client gave up."""

    server = Listener(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
