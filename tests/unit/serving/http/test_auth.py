"""Who gets in: keys, scopes, limits, and changes while the service runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from support.asgi_apps import not_found
from tastemaker.api.schemas import Answer, HTTPError, Request
from tastemaker.serving.http import auth as auth_module
from tastemaker.serving.http.api_keys import SLOTS, Key, KeyScope, add, changed, read_keys, revoke, rotate
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.http.gateway import Gateway
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.worker import Worker
from tastemaker.util.rate_limit import RateLimiter

HERE = ("127.0.0.1", 5)


class Answering:
    """A worker that only recommends."""

    metrics = None

    async def recommend(self, request: Request, request_id: str, control: object = None) -> Answer:
        return Answer(request_id, "m", "v", [], None)

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the keys are kept."""
    return tmp_path / "keys.json"


@pytest.fixture
def auth(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authenticator:
    """An authenticator that polls the file every time."""
    monkeypatch.setattr(auth_module, "KEY_FILE_POLL_SECONDS", 0.0)
    auth = Authenticator()
    auth.open(path, RateLimiter(tmp_path / "meters", SLOTS))
    return auth


def make(path: Path, *scopes: KeyScope, **more: Any) -> str:
    """A new key of the web shop."""
    with changed(path) as keys:
        return add(keys, "web shop", list(scopes), **more).secret


def status(
    auth: Authenticator,
    secret: str | None,
    scope: KeyScope = "recommend",
    client: Any = HERE,
    *,
    server: Any = None,
    **headers: Any,
) -> int:
    """The HTTP status that the auth give; 200 if they let the request in."""
    given = {"host": "localhost"} | headers
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in given.items()}
    if secret is not None:
        sent[b"authorization"] = b"Bearer " + secret.encode()
    try:
        auth.check_host(sent, {"http_version": "1.1", "headers": [*sent.items()], "server": server})
        auth.authenticate(scope, sent, client)
    except HTTPError as refusal:
        return refusal.problem.status
    return 200


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        (HERE, {}, 200),
        (("127.8.0.9", 1), {}, 200),
        (("::1", 1), {}, 200),
        (("::ffff:127.0.0.1", 1), {}, 200),
        (None, {}, 200),
        (("10.0.0.7", 1), {}, 401),
        (("127evil.example", 1), {}, 401),
        (HERE, {"x_forwarded_for": "10.0.0.7"}, 401),
        (HERE, {"forwarded": "for=10.0.0.7"}, 401),
        (HERE, {"origin": "http://localhost:3000", "host": "localhost:3000"}, 200),
        (HERE, {"origin": "https://evil.example", "host": "localhost:3000"}, 401),
        (HERE, {"origin": "null", "host": "localhost:3000"}, 401),
    ],
)
def test_without_keys_this_machine_alone_is_answered(
    auth: Authenticator, client: Any, headers: dict[str, str], expected: int
) -> None:
    assert status(auth, None, "recommend", client, **headers) == expected


@pytest.mark.parametrize(
    ("host", "server", "expected"),
    [
        ("localhost:3000", ("127.0.0.1", 3000), 200),
        ("[::1]", ("::1", 3000), 200),
        ("10.1.2.3:3000", ("10.1.2.3", 3000), 200),
        ("10.1.2.3", ("::ffff:10.1.2.3", 3000), 200),
        ("[fe80::1]:3000", ("fe80::1%eth0", 3000), 200),
        ("10.1.2.4", ("10.1.2.3", 3000), 421),
        ("evil.example", ("10.1.2.3", 3000), 421),
        ("localhost", None, 200),
        ("10.1.2.3", None, 421),
    ],
)
def test_without_keys_the_service_is_asked_by_the_address_that_was_reached(
    auth: Authenticator, host: str, server: Any, expected: int
) -> None:
    assert status(auth, None, server=server, host=host) == expected


def test_with_a_key_any_name_will_do(auth: Authenticator, path: Path) -> None:
    assert status(auth, make(path, "recommend"), host="shop.example") == 200


def test_a_key_opens_what_its_scopes_name_from_anywhere(auth: Authenticator, path: Path) -> None:
    secret = make(path, "recommend", "feedback")
    far = ("203.0.113.9", 1)
    assert status(auth, secret, client=far) == status(auth, secret, "feedback", client=far) == 200
    assert status(auth, secret, "manage") == 403
    for wrong in (None, "", "tm_", secret[:-1], secret + "x", secret.replace("tm_", ""), "tm_ab_é"):
        assert status(auth, wrong) == 401
    assert status(auth, None, authorization=f"bearer {secret}") == 200
    assert status(auth, None, authorization=f"Basic {secret}") == 401


def test_the_file_holds_no_key_and_is_the_owners_alone(path: Path) -> None:
    secret = make(path, "recommend")
    assert secret.split("_", 2)[2] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_rotation_leaves_two_keys_alive_until_the_old_one_expires(
    auth: Authenticator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make(path, "recommend", per_second=1_000.0)
    with changed(path) as keys:
        made = rotate(keys, "web shop", grace_seconds=3_600)
    assert (made.key.scopes, made.key.per_second) == (["recommend"], 1_000.0)
    assert status(auth, old) == status(auth, made.secret) == 200
    monkeypatch.setattr("time.time", lambda: made.key.created_at + 3_600)
    assert (status(auth, old), status(auth, made.secret)) == (401, 200)


def test_a_revoked_key_stops_working_and_the_auth_stay_shut(auth: Authenticator, path: Path) -> None:
    secret = make(path, "recommend")
    assert status(auth, secret) == 200
    with changed(path) as keys:
        revoke(keys, keys[0].id)
    assert status(auth, secret) == 401
    assert status(auth, None) == 401, "no key works, but some were made"


@pytest.mark.parametrize("spoil", [os.unlink, lambda path: path.write_text("[{")])
def test_a_key_file_that_is_lost_or_spoilt_changes_nothing(
    auth: Authenticator, path: Path, spoil: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    secret = make(path, "recommend")
    assert status(auth, secret) == 200
    spoil(path)
    assert (status(auth, secret), status(auth, None)) == (200, 401)
    assert len(caplog.records) == 1, "it is said once"


def test_a_key_file_that_is_lost_is_said_once_and_once_when_it_is_back(
    auth: Authenticator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tastemaker.serving")
    make(path, "recommend")

    def look() -> str | None:
        auth._next_poll = 0.0
        auth.check_host({b"host": b"127.0.0.1"}, {"server": ("127.0.0.1", 3000)})
        return auth.trouble

    assert look() is None
    kept = path.read_bytes()
    path.unlink()
    assert look() == look() == "the API key file is missing; the keys read last stay valid"
    path.write_text("{")
    assert look() == "the API key file can't be read; the keys read last stay valid"
    path.write_bytes(kept)
    assert look() is None
    assert caplog.messages == [
        "the API key file is missing; the keys read last stay valid",
        "the API key file can be read again",
    ]


def test_a_limit_lets_its_number_through_and_says_when_to_come_back(
    auth: Authenticator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, other = make(path, "recommend", per_second=5), make(path, "recommend")
    now = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert [status(auth, secret) for _ in range(7)] == [200] * 5 + [429] * 2
    assert status(auth, other) == 200, "another key's limit is its own"
    with pytest.raises(HTTPError) as caught:
        auth.authenticate("recommend", {b"authorization": b"Bearer " + secret.encode()}, HERE)
    assert (caught.value.retry_after, caught.value.problem.limit) == (1, 5)
    now += 0.2
    assert [status(auth, secret) for _ in range(2)] == [200, 429]
    now += 3_600
    assert [status(auth, secret) for _ in range(6)] == [200] * 5 + [429]


def test_a_slow_limit_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meters, now = RateLimiter(tmp_path / "meters", SLOTS), 50.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert meters.wait(3, 0.1) == 0
    assert meters.wait(3, 0.1) == pytest.approx(10.0)
    now = 60.0
    assert meters.wait(3, 0.1) == 0


def test_processes_share_the_meters_and_a_restart_of_the_machine_clears_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 9_000.0)
    first, second = RateLimiter(tmp_path / "meters", SLOTS), RateLimiter(tmp_path / "meters", SLOTS)
    waits = [meters.wait(7, 4) for meters in (first, second) * 3]
    assert waits == [0, 0, 0, 0, pytest.approx(0.25), pytest.approx(0.25)]
    monkeypatch.setattr("time.monotonic", lambda: 3.0)
    assert second.wait(7, 4) == 0


def test_over_http_the_refusals_carry_their_headers(path: Path, auth: Authenticator) -> None:
    secret = make(path, "recommend", per_second=1)

    async def ask(url: str, **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(
            Gateway(not_found, SERVICE_ROUTES, ServingProcess(cast(Worker, Answering())), auth)
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            method = "GET" if url == "/livez" else "POST"
            return await client.request(method, url, content=b'{"user_id": "u"}', headers=headers)

    anonymous = asyncio.run(ask("/recommend"))
    assert (anonymous.status_code, anonymous.headers["www-authenticate"]) == (
        401,
        'Bearer realm="tastemaker"',
    )
    assert asyncio.run(ask("/livez")).status_code == 200, "probes need no key"
    allowed = asyncio.run(ask("/recommend", Authorization=f"Bearer {secret}"))
    assert allowed.status_code == 200
    limited = asyncio.run(ask("/recommend", Authorization=f"Bearer {secret}"))
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "1")
    wrong = asyncio.run(ask("/feedback", Authorization=f"Bearer {secret}"))
    assert wrong.status_code == 403
    assert secret not in wrong.text + anonymous.text


def test_slots_are_taken_by_working_keys_only(path: Path) -> None:
    make(path, "recommend")
    with changed(path) as keys:
        revoke(keys, "web shop")
        second = add(keys, "job", ["manage"]).key
        third: Key = add(keys, "job", ["manage"]).key
    assert [second.slot, third.slot] == [0, 1]
    assert [key.name for key in read_keys(path)] == ["web shop", "job", "job"]
