"""An HTTP server on the loopback that answers by a script and keeps what it got: real sockets, real HTTP.

    with ScriptedServer() as server:
        server.script(Answer(500), Answer(429, {"Retry-After": "7"}), Answer(hangs=True))

After the script, and without one, it answers as `answer` says, which stubs of receivers override.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Self

from support.certificates import CERTIFICATE, KEY


@dataclass(frozen=True)
class Answer:
    """What the server does with one request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs: bool = False
    """Whether it never answers, until the server closes."""
    drops: bool = False
    """Whether it closes the connection instead of answering."""
    byte_seconds: float = 0.0
    """Pause before each byte of the body."""
    applied: bool = False
    """Whether the receiver acts on the request before it answers so: a response that gets lost."""


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names are in lower case."""
    body: bytes
    at: float
    """Seconds since 1970 UTC."""

    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedServer:
    """A server that runs while it is entered; with a folder of `certify`, it speaks TLS."""

    def __init__(self, certificates: Path | None = None, port: int = 0) -> None:
        self.received: list[Received] = []
        self._script: deque[Answer] = deque()
        self._always: Answer | None = None
        self._failures: list[BaseException] = []
        self._lock, self._closing = Lock(), Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server._serve(self)

            do_GET = do_HEAD = do_PUT = do_POST

            def log_message(self, *_: object) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A client that gave up is not a failure of the test."""

        self._http = Listener(("127.0.0.1", port), Handler)
        self._scheme = "http"
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / CERTIFICATE, certificates / KEY)
            self._http.socket = context.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
            self._scheme = "https"

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        if self._failures:
            raise self._failures[0]

    def script(self, *answers: Answer) -> None:
        """Answer the next requests so, one after the other."""
        with self._lock:
            self._script.extend(answers)

    @contextmanager
    def always(self, answer: Answer) -> Iterator[None]:
        """Answer every request so: the receiver is away."""
        self._always = answer
        try:
            yield
        finally:
            self._always = None

    def answer(self, request: Received) -> Answer:
        """Act on a request, and return the answer to it."""
        return Answer()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Received(handler.command, handler.path, headers, body, time.time())
        with self._lock:
            self.received.append(request)
            scripted = self._always or (self._script.popleft() if self._script else None)
            if scripted is None or scripted.applied:
                try:
                    own = self.answer(request)
                except BaseException as error:  # raised again when the server closes
                    self._failures.append(error)
                    own = Answer(500)
        self._write(handler, own if scripted is None else scripted)

    def _write(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.hangs:
            self._closing.wait()
        if answer.hangs or answer.drops:
            handler.close_connection = True
            with suppress(OSError):
                handler.connection.shutdown(socket.SHUT_RDWR)
            return
        with suppress(OSError):
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            pieces = [answer.body] if not answer.byte_seconds else [bytes([one]) for one in answer.body]
            for piece in pieces:
                if answer.byte_seconds and self._closing.wait(answer.byte_seconds):
                    return
                handler.wfile.write(piece)
