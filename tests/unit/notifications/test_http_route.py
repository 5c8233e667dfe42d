"""Proxies of the environment: used for other machines, with their login, and never for this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.certificates import CERTIFICATE, NAME, certify
from support.http_proxy import http_proxy
from support.notifications import notification
from support.pagerduty_server import PATH, ROUTING_KEY, PagerDutyServer
from support.scripted_http import ScriptedServer
from tastemaker.channel_settings import PagerDutyChannelSettings, WebhookChannelSettings
from tastemaker.notifications.channels import open_channel
from tastemaker.notifications.notification import Channel, Delivery

LOGIN = "bWU6cEBzcw=="
"""me:p@ss in Base64."""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, a trusted certificate, and a key."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    certify(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / CERTIFICATE))
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", ROUTING_KEY)


def pager(url: str = f"https://{NAME}{PATH}") -> Channel:
    return open_channel("pager", PagerDutyChannelSettings(type="pagerduty", url=url, timeout_seconds=5))


def test_a_tunnel_hides_the_event_from_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PagerDutyServer(tmp_path) as server, http_proxy(server.port, LOGIN) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@{proxy.address}")
        assert pager().send(notification()) == Delivery("sent", "202")
    assert [alert.key for alert in server.alerts] == [notification().key]
    [asked] = proxy.asked
    assert asked.startswith(f"CONNECT {NAME}:443 HTTP/1.")
    assert ROUTING_KEY not in asked
    assert "authorization" not in server.received[0].headers
    assert "proxy-authorization" not in server.received[0].headers


def test_a_proxy_that_refuses_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PagerDutyServer(tmp_path) as server, http_proxy(server.port, LOGIN) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"me:wrong-password@{proxy.address}")
        delivery = pager().send(notification())
    assert delivery.outcome == "retry"
    assert "407 Proxy Authentication Required" in delivery.detail
    assert "wrong-password" not in delivery.detail


def test_a_plain_request_goes_to_the_proxy_as_a_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer() as server, http_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        settings = WebhookChannelSettings(type="webhook", url=f"http://{NAME}/hook?a=b", timeout_seconds=5)
        assert open_channel("robot", settings).send(notification()).outcome == "sent"
    assert proxy.asked[0].startswith(f"POST http://{NAME}/hook?a=b HTTP/1.1\r\n")
    assert server.received[0].headers["host"] == NAME


def test_this_machine_and_named_hosts_are_reached_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PagerDutyServer(tmp_path) as server, http_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        assert pager(server.events_url).send(notification()).outcome == "sent"
        monkeypatch.setenv("NO_PROXY", ".example")
        assert pager().send(notification()).outcome == "retry", "the name does not resolve"
    assert proxy.asked == []


def test_a_proxy_of_another_kind_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:hunter2@proxy:1080")
    delivery = pager().send(notification())
    assert delivery.outcome == "retry"
    assert "HTTPS_PROXY is not an address such as http://proxy:3128" in delivery.detail
    assert "hunter2" not in delivery.detail
