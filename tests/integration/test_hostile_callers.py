"""Callers that never end, never begin, or come in masses: refused or closed, without delay for others."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from itertools import cycle
from typing import NamedTuple

import httpx
import psutil
import pytest

from support.bento_servers import Started, started
from support.served_homes import make_home
from tastemaker.api.schemas import MAX_BODY_BYTES
from tastemaker.serving.http.asgi import MAX_HELD_BYTES
from tastemaker.serving.http.connections import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_PIPELINED

pytestmark = pytest.mark.servers

CONNECTIONS = 40
FLOOD_BYTES = 60 << 20
MAX_GROWTH = 30 << 20
"""Of a worker's resident memory, bytes."""
TIMEOUT_SECONDS = 60.0
"""Seconds after which a test gives up waiting for what has no time limit of its own."""
HOST = b"Host: localhost\r\n"
POST = b"POST /recommend HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ASK = {"user_id": "user-01", "k": 3}
COMMANDS = {
    "tastemaker serve, two workers": ["tastemaker", "serve", "popularity", "--workers", "2"],
    "bentoml serve": ["bentoml", "serve", "tastemaker_baselines.service:Popularity"],
}


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A service without keys, started in each of the ways."""
    folder = tmp_path_factory.mktemp("hostile")
    make_home(folder / "home")
    environment = {
        "TASTEMAKER_HOME": str(folder / "home"),
        "BENTOML_HOME": str(folder / "bentoml"),
        "TASTEMAKER_SERVING__MAX_CONNECTIONS": str(CONNECTIONS),
        "TASTEMAKER_SERVING__ALLOWED_HOSTS": "shop.example, recommender",
    }
    with started(COMMANDS[request.param], folder, environment) as server:
        yield server


def memory(server: Started) -> int:
    """Resident bytes of the worker that has most."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    return max(int(child.memory_info().rss) for child in children)


def connect(server: Started) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS)


def rest(caller: socket.socket) -> bytes:
    """All that the service says until it closes. TimeoutError if it never does."""
    said = bytearray()
    with suppress(ConnectionError):
        while part := caller.recv(1 << 16):
            said += part
    return bytes(said)


def status(said: bytes) -> int | None:
    """Of the first response; None if there is none."""
    return int(said.split(b" ", 2)[1]) if said.startswith(b"HTTP/1.1 ") else None


def answered(server: Started) -> None:
    """Others get their lists."""
    for _ in range(3):
        answer = httpx.post(f"{server.url}/recommend", json=ASK, timeout=TIMEOUT_SECONDS)
        assert (answer.status_code, len(answer.json()["items"])) == (200, 3)


class Flood(NamedTuple):
    """What a caller begins with, and what comes without end."""

    begin: bytes
    more: bytes
    expected: int


FLOODS = {
    "a header without end": Flood(b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Long: ", b"a", 431),
    "a name of a header without end": Flood(b"GET /livez HTTP/1.1\r\n" + HOST, b"a", 431),
    "many small headers": Flood(b"GET /livez HTTP/1.1\r\n" + HOST, b"a: b\r\n", 431),
    "many folded lines": Flood(b"GET /livez HTTP/1.1\r\n" + HOST + b"a: b\r\n", b" c\r\n", 400),
    "a request line without end": Flood(b"GET /", b"a", 431),
    "a query without end": Flood(b"GET /similar/item-01?", b"k=1&", 431),
    "blank lines": Flood(b"", b"\r\n", 431),
    "a body that is too long": Flood(POST + b"Content-Length: 99999999999\r\n\r\n", b"a", 413),
    "a chunked body without end": Flood(CHUNKED, b"400\r\n" + b"a" * 1_024 + b"\r\n", 413),
    "an extension of a chunk without end": Flood(CHUNKED + b"1;", b"a", 431),
    "the size of a chunk without end": Flood(CHUNKED, b"0", 431),
    "a trailer without end": Flood(CHUNKED + b"1\r\n1\r\n0\r\nX-Long: ", b"a", 431),
    "many small trailers": Flood(CHUNKED + b"1\r\n1\r\n0\r\n", b"a: b\r\n", 431),
    "no HTTP": Flood(b"\x16\x03\x01", b"\x00", 400),
    "a body where none is asked for": Flood(
        b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999\r\n\r\n", b"a", 200
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_never_ends_is_refused_and_takes_no_memory(server: Started, name: str) -> None:
    begin, more, expected = FLOODS[name]
    piece = more * ((1 << 20) // len(more))
    answered(server)
    before = memory(server)
    with closing(connect(server)) as caller, ThreadPoolExecutor(1) as pool:
        said = pool.submit(rest, caller)
        with suppress(ConnectionError):
            caller.sendall(begin)
            for _ in range(FLOOD_BYTES // len(piece)):
                caller.sendall(piece)
        answered(server)
        assert memory(server) - before < MAX_GROWTH
        assert status(said.result()) == expected
    answered(server)


def test_a_head_of_any_size_up_to_the_limit_is_accepted(server: Started) -> None:
    """However it comes in pieces."""
    line = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\nX-Long: "
    for more, expected in ((-1_000, 200), (0, 200), (1, 431), (1_000, 431), (10 * MAX_HEAD_BYTES, 431)):
        head = line.ljust(MAX_HEAD_BYTES + more - 4, b"a") + b"\r\n\r\n"
        for size in (len(head), 1_000, 16 << 10):
            with closing(connect(server)) as caller, suppress(ConnectionError):
                for start in range(0, len(head), size):
                    caller.sendall(head[start : start + size])
                    time.sleep(0.002)
                assert (more, size, status(rest(caller))) == (more, size, expected)


def _slowly(begin: bytes, *then: bytes) -> Callable[[Started], bytes]:
    """A caller who begins and then sends the rest piece by piece, again and again."""

    def call(server: Started) -> bytes:
        with closing(connect(server)) as caller, ThreadPoolExecutor(1) as pool:
            caller.sendall(begin)
            said = pool.submit(rest, caller)
            pieces = cycle(then or (b"",))
            while not said.done():
                with suppress(OSError):
                    caller.send(next(pieces))
                time.sleep(0.2)
            return said.result()

    return call


SLOW = {
    "nothing": (_slowly(b""), None),
    "half a request line": (_slowly(b"GET /li"), 408),
    "half a header": (_slowly(b"GET /livez HTTP/1.1\r\nHo"), 408),
    "a request line, byte by byte": (_slowly(b"GET /", b"a"), 408),
    "headers, byte by byte": (
        _slowly(b"GET /livez HTTP/1.1\r\n", b"a", b":", b"b", b"\r", b"\n"),
        408,
    ),
    "blank lines": (_slowly(b"", b"\r\n"), 408),
    "blank lines after an answer": (
        _slowly(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n", b"\r\n"),
        200,
    ),
    "a length and no body": (_slowly(POST + b"Content-Length: 9\r\n\r\n"), 408),
    "a body, byte by byte": (_slowly(POST + b"Content-Length: 9999\r\n\r\n", b"a"), 408),
    "chunks, byte by byte": (_slowly(CHUNKED, b"1", b"\r", b"\n", b"a", b"\r", b"\n"), 408),
    "trailers, byte by byte": (_slowly(CHUNKED + b"1\r\n1\r\n0\r\n", b"a", b":", b"\r", b"\n"), 408),
    "a body that is not expected": (
        _slowly(b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 999\r\n\r\n", b"a"),
        200,
    ),
    "a body that is not awaited": (
        _slowly(b"POST /nothing HTTP/1.1\r\n" + HOST + b"Content-Length: 999\r\n\r\n", b"a"),
        404,
    ),
    "an upgrade": (
        _slowly(
            b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"a",
        ),
        200,
    ),
}


def test_slow_connections_are_closed_while_others_are_answered(server: Started) -> None:
    with ThreadPoolExecutor(len(SLOW)) as pool:
        calls = {name: pool.submit(call, server) for name, (call, _) in SLOW.items()}
        while not all(call.done() for call in calls.values()):
            answered(server)
    found = {name: status(call.result()) for name, call in calls.items()}
    assert found == {name: expected for name, (_, expected) in SLOW.items()}


def test_idle_connections_make_room_for_who_asks(server: Started) -> None:
    workers = 2 if "tastemaker" in str(server.process.args) else 1
    with ExitStack() as kept:
        for _ in range(3 * workers * CONNECTIONS):
            caller = kept.enter_context(closing(connect(server)))
            with suppress(ConnectionError):
                caller.sendall(b"GET /livez HTTP/1.1\r\nX-")
        answered(server)
        open_ = [one for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == server.port]
        established = [one for one in open_ if one.status == psutil.CONN_ESTABLISHED]
        assert len(established) <= workers * CONNECTIONS
    answered(server)


def test_many_bodies_that_are_not_finished_take_bounded_memory(server: Started) -> None:
    begin = POST + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES
    before = memory(server)
    with ExitStack() as kept, ThreadPoolExecutor(CONNECTIONS - 5) as pool:
        callers = [kept.enter_context(closing(connect(server))) for _ in range(CONNECTIONS - 5)]

        def call(caller: socket.socket) -> int | None:
            with suppress(ConnectionError):
                caller.sendall(begin + b" " * (MAX_BODY_BYTES - 1_000))
            return status(rest(caller))

        calls = [pool.submit(call, caller) for caller in callers]
        while not all(one.done() for one in calls):
            answered(server)
            # Without the limit it would be 35 bodies of 4 MiB; some are copied while they are refused.
            assert memory(server) - before < MAX_HELD_BYTES + 2 * MAX_GROWTH
        assert {one.result() for one in calls} <= {408, 503}


def test_many_requests_ahead_of_their_answers_are_answered_or_refused(server: Started) -> None:
    request = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    last = request.replace(HOST, HOST + b"Connection: close\r\n")
    with closing(connect(server)) as caller:
        caller.sendall(request * (MAX_PIPELINED // 2) + last)
        assert rest(caller).count(b"HTTP/1.1 200 OK") == MAX_PIPELINED // 2 + 1
    before = memory(server)
    with ExitStack() as kept:
        callers = [kept.enter_context(closing(connect(server))) for _ in range(10)]
        for caller in callers:
            with suppress(ConnectionError):
                caller.sendall(request * 10_000)
        answered(server)
        assert memory(server) - before < MAX_GROWTH
        for caller in callers:
            assert status(rest(caller)) == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:{port}", 200),
        ("LocalHost.", 200),
        ("127.0.0.1:{port}", 200),
        ("127.9.9.9", 200),
        ("[::1]:{port}", 200),
        ("0.0.0.0:{port}", 200),
        ("shop.example", 200),
        ("Recommender:80", 200),
        ("evil.example:{port}", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.1.2.3", 421),
        ("", 400),
        ("a b", 400),
        ("evil.example/localhost", 400),
        ("localhost@evil.example", 400),
        ("localhost:3000:3000", 400),
    ],
)
def test_without_a_key_the_service_is_asked_by_its_own_name(
    server: Started, host: str, expected: int
) -> None:
    headers = {"Host": host.format(port=server.port)}
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/"):
        answer = httpx.get(f"{server.url}{path}", headers=headers)
        assert (path, answer.status_code) == (path, expected)
    answer = httpx.post(f"{server.url}/recommend", json=ASK, headers=headers)
    assert answer.status_code == expected
    if expected != 200:
        assert answer.json()["field"] == "Host"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"GET /livez HTTP/1.1\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n", 400),
        (b"GET /livez HTTP/1.0\r\n", 200),
        (b"GET http://localhost/livez HTTP/1.1\r\nHost: evil.example\r\n", 200),
        (b"GET http://[::1]:3000/livez HTTP/1.1\r\nHost: evil.example\r\n", 200),
        (b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n", 421),
        (b"GET http://localhost@evil.example:3000/livez HTTP/1.1\r\nHost: localhost\r\n", 421),
    ],
)
def test_a_request_of_http_1_1_has_one_host(server: Started, lines: bytes, expected: int) -> None:
    with closing(connect(server)) as caller:
        caller.sendall(lines + b"Connection: close\r\n\r\n")
        assert status(rest(caller)) == expected


def test_the_time_for_a_head_is_long_enough_for_people(server: Started) -> None:
    """A caller with a pause is not an attacker."""
    with closing(connect(server)) as caller:
        caller.sendall(b"GET /livez HTTP/1.1\r\n")
        time.sleep(min(2.0, HEAD_SECONDS / 5))
        caller.sendall(HOST + b"Connection: close\r\n\r\n")
        assert status(rest(caller)) == 200
