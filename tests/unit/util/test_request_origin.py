"""Which requests count as this machine's, this server's, and a page's of its own."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from tastemaker.util.request_origin import PROXY_HEADERS, host_name, is_for, is_from_own_page, is_local

NAMES = {"localhost", "127.0.0.1", "::1", "dashboard.shop.example"}


def asked(
    host: str = "127.0.0.1:3090", client: str = "127.0.0.1", version: str = "1.1", **headers: str
) -> HTTPConnection:
    """A request, with headers whose names have `_` for `-`."""
    given = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()]
    return HTTPConnection(
        {"type": "http", "http_version": version, "headers": encoded, "client": (client, 5), "path": "/"}
    )


@pytest.mark.parametrize("host", ["127.0.0.1:3090", "localhost", "LOCALHOST:80", "[::1]:3090"])
def test_a_request_of_this_machine_for_this_machine_is_local(host: str) -> None:
    assert is_local(asked(host))
    assert is_local(asked(host, client="::1"))


@pytest.mark.parametrize("name", PROXY_HEADERS)
def test_a_proxy_is_not_this_machine(name: str) -> None:
    assert not is_local(asked(**{name: "127.0.0.1"}))


def test_a_proxy_that_does_not_name_itself_is_known_by_its_protocol() -> None:
    """As nginx forwards by default: the upstream's name, HTTP/1.0 and no header of its own."""
    assert not is_local(asked(version="1.0", connection="close"))


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "[127.0.0.1]:80",
     "a@127.0.0.1@evil", "127.0.0.1:x@evil.example"],
)  # fmt: skip
def test_another_name_is_not_this_machine(host: str) -> None:
    assert not is_local(asked(host))


def test_another_machine_is_not_local() -> None:
    assert not is_local(asked(client="203.0.113.9"))
    assert not is_local(
        HTTPConnection({"type": "http", "headers": [(b"host", b"localhost")], "client": None})
    )


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("dashboard.shop.example", True), ("Dashboard.Shop.Example:443", True), ("10.1.2.3:3090", True),
     ("[2001:db8::1]", True), ("shop.example", False), ("dashboard.shop.example.evil.example", False),
     ("", False), ("[::1", False)],
)  # fmt: skip
def test_names_and_addresses_are_this_servers(host: str, is_ours: bool) -> None:
    assert is_for(asked(host), NAMES) is is_ours


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [({}, True), ({"origin": "https://dashboard.shop.example"}, True),
     ({"origin": "http://localhost:3090"}, True), ({"origin": "null"}, False),
     ({"origin": "https://evil.example"}, False), ({"origin": "http://["}, False),
     ({"sec_fetch_site": "same-origin"}, True), ({"sec_fetch_site": "none"}, True),
     ({"sec_fetch_site": "same-site"}, False), ({"sec_fetch_site": "cross-site"}, False),
     ({"origin": "http://localhost", "sec_fetch_site": "cross-site"}, False)],
)  # fmt: skip
def test_a_form_of_another_sites_page_is_recognized(headers: dict[str, str], is_own: bool) -> None:
    assert is_from_own_page(asked(**headers), NAMES) is is_own


def test_the_host_is_read_without_its_port() -> None:
    assert [host_name(asked(one)) for one in ("A.example:80", "[::1]:80", "x y")] == [
        "a.example",
        "::1",
        "x y",
    ]
