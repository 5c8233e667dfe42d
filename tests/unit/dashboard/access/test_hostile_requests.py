"""Whatever bytes a request has, it is refused in words, and no page is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from support.dashboard_users import NAME, DashboardWithUsers, dashboard_with_users
from support.dashboard_users import quick_hashes as quick_hashes
from tastemaker.dashboard.access.cookies import BROWSER, FORM, SESSION

PROXY, HEADER = "10.1.2.3", b"x-forwarded-user"
NAMES = [b"host", b"cookie", b"origin", b"sec-fetch-site", b"x-forwarded-for", b"x-forwarded-proto", HEADER,
         b"x-csrf-token", b"content-type", b"content-length", b"forwarded"]  # fmt: skip
COOKIES = some.tuples(
    some.sampled_from([SESSION, BROWSER, FORM, "__Host-" + SESSION]), some.binary(max_size=40)
).map(lambda pair: (b"cookie", pair[0].encode() + b"=" + pair[1]))
HEADERS = some.lists(some.tuples(some.sampled_from(NAMES), some.binary(max_size=60)) | COOKIES, max_size=6)
PATHS = some.sampled_from(["/models", "/login", "/logout", "/", "/users", "//models", "/models/..", "/LOGIN"])


@pytest.fixture
def site(tmp_path: Path, quick_hashes: None) -> Iterator[DashboardWithUsers]:
    """A dashboard with one user, behind a proxy that names users."""
    with dashboard_with_users(
        tmp_path, user_header=HEADER.decode(), trusted_proxies=[f"{PROXY}/32"]
    ) as found:
        found.add()
        yield found


async def asked(site: DashboardWithUsers, scope: dict[str, Any], body: bytes) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await site.app(scope, receive, send)
    return sent


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    some.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "\u0130"]),
    PATHS | some.text(max_size=20).map(lambda text: "/" + text),
    some.binary(max_size=40),
    HEADERS,
    some.sampled_from([PROXY, "203.0.113.9", "127.0.0.1", "not an address", "::ffff:10.1.2.3"]),
    some.binary(max_size=200),
)
@example("GET", "/models", b"", [(b"host", b"localhost"), (HEADER, b"\xff\xfe")], PROXY, b"")
@example(
    "POST",
    "/login",
    b"",
    [(b"host", b"localhost"), (b"cookie", b"tastemaker_form=\xff")],
    PROXY,
    b"csrf_token=%",
)
@example("GET", "/login", b"next=%00%ff//", [(b"host", b"localhost")], "127.0.0.1", b"")
@example("GET", "/m\ufffdodels", b"", [(b"host", b"localhost")], "127.0.0.1", b"")
def test_no_bytes_open_a_page_or_break_the_answer(
    site: DashboardWithUsers,
    method: str,
    path: str,
    query: bytes,
    headers: list[Any],
    client: str,
    body: bytes,
) -> None:
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query, "root_path": "", "scheme": "http", "headers": headers, "client": (client, 5),
        "server": ("127.0.0.1", 9_280),
    }  # fmt: skip
    if path.startswith(("/static/", "/healthz", "/api/v1/")) or any(
        name == HEADER and value == NAME.encode() for name, value in headers
    ):
        return
    start, *rest = asyncio.run(asked(site, scope, body))
    assert start["status"] in (303, 401, 403, 404, 413, 421) or (start["status"], path) == (200, "/login")
    text = b"".join(part.get("body", b"") for part in rest)
    assert b"Traceback" not in text
    assert NAME.encode() not in text
