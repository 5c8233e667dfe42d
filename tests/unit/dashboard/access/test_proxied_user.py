"""Users that a proxy names: only listed proxies are believed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from support.dashboard_users import AWAY, NAME, PUBLIC, DashboardWithUsers, dashboard_with_users
from support.dashboard_users import quick_hashes as quick_hashes
from tastemaker.dashboard.access.proxied_user import TrustedProxies, network_of

pytestmark = pytest.mark.usefixtures("quick_hashes")
HEADER, PROXY, PAGE = "X-Forwarded-User", "10.1.2.3", "/models"
ENCODED = NAME.encode()
"""The name as a proxy sends it, in UTF-8."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DashboardWithUsers]:
    """A dashboard behind an authenticating proxy."""
    with dashboard_with_users(tmp_path, user_header=HEADER, trusted_proxies=["10.1.2.0/24"]) as found:
        yield found


def test_a_user_that_the_proxy_names_has_their_own_role_and_no_session(site: DashboardWithUsers) -> None:
    site.add(password=None, may_see_users=True)
    page = site.browser(PROXY).get(PAGE, headers=[(HEADER.encode(), ENCODED)])
    assert page.status_code == 200
    assert NAME in page.text
    assert "Log out" not in page.text
    assert "set-cookie" not in page.headers


def test_a_header_from_elsewhere_is_ignored_and_noted_once(
    site: DashboardWithUsers, caplog: pytest.LogCaptureFixture
) -> None:
    site.add()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            answer = site.browser(AWAY).get(PAGE, headers=[(HEADER.encode(), ENCODED)])
            assert answer.headers["location"].startswith("/login"), "as without the header"
    (line,) = [one.getMessage() for one in caplog.records if HEADER.lower() in one.getMessage()]
    assert AWAY in line
    assert "dashboard.trusted_proxies" in line


@pytest.mark.parametrize("address", ["127.0.0.1", AWAY])
def test_behind_a_proxy_this_machine_is_not_answered_without_a_login(
    site: DashboardWithUsers, address: str
) -> None:
    """The proxy may be on this machine."""
    answer = site.browser(address, "http://127.0.0.1").get(PAGE)
    assert answer.status_code == 403
    assert "address of its proxy" in answer.text


def test_an_unknown_user_is_refused_by_name_or_has_the_default_role(
    site: DashboardWithUsers, tmp_path: Path
) -> None:
    answer = site.browser(PROXY).get(PAGE, headers={HEADER: "<b>eve</b>"})
    assert answer.status_code == 403
    assert "&lt;b&gt;eve&lt;/b&gt;" in answer.text
    with dashboard_with_users(
        tmp_path, user_header=HEADER, trusted_proxies=[PROXY], default_role="viewer"
    ) as open_to_all:
        page = open_to_all.browser(PROXY).get(PAGE, headers={HEADER: "eve"})
        assert page.status_code == 200
        assert "eve" in page.text


@pytest.mark.parametrize("value", ["a\u202eb".encode(), b"x" * 101, b" ", b"a\tb"])
def test_a_name_that_is_none_is_refused(site: DashboardWithUsers, value: bytes) -> None:
    answer = site.browser(PROXY).get(PAGE, headers=[(HEADER.encode(), value)])
    assert answer.status_code == 403


def test_two_names_are_none(site: DashboardWithUsers) -> None:
    """A proxy that appends leaves the caller's own header in the first place."""
    site.add()
    headers = [(HEADER.encode(), one) for one in (ENCODED, b"eve")]
    assert site.browser(PROXY).get(PAGE, headers=headers).status_code == 303


def asked(client: str | None, *forwarded: str) -> HTTPConnection:
    headers = [(b"x-forwarded-for", one.encode()) for one in forwarded]
    address = None if client is None else (client, 5)
    return HTTPConnection({"type": "http", "headers": headers, "client": address, "path": "/"})


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("198.51.100.7",), "203.0.113.9"),
        ("10.1.2.3", ("198.51.100.7",), "198.51.100.7"),
        ("10.1.2.3", ("6.6.6.6, 198.51.100.7",), "198.51.100.7"),
        ("10.1.2.3", ("6.6.6.6", "198.51.100.7, 10.1.2.4"), "198.51.100.7"),
        ("::ffff:10.1.2.3", ("198.51.100.7",), "198.51.100.7"),
        ("10.1.2.3", (), "10.1.2.3"),
        (None, ("198.51.100.7",), ""),
    ],
)
def test_the_callers_address_is_the_last_one_that_a_trusted_proxy_saw(
    client: str | None, forwarded: tuple[str, ...], address: str
) -> None:
    """What stands before it, the caller may have written."""
    assert TrustedProxies(["10.1.2.0/24"]).address(asked(client, *forwarded)) == address


def test_a_caller_has_an_address_or_a_network_of_version_6() -> None:
    assert network_of("203.0.113.9") == "203.0.113.9"
    assert network_of("2001:db8:1:2:3::9") == network_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")
    assert network_of("not an address") == "not an address"


def test_names_from_a_proxy_are_not_read_without_the_setting(tmp_path: Path) -> None:
    with dashboard_with_users(tmp_path, trusted_proxies=[PROXY]) as site:
        site.add()
        answer = site.browser(PROXY, PUBLIC).get(PAGE, headers=[(HEADER.encode(), ENCODED)])
        assert answer.headers["location"].startswith("/login")
