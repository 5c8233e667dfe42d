"""A dashboard behind a real nginx with the configuration that we ship: TLS, logins there and at a proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from support import commands
from support.dashboard_process import dashboard_process
from support.dashboard_users import PASSWORD, token_of
from support.nginx import nginx, shipped_site
from support.repository import ROOT
from support.scripted_http import Answer, Received, ScriptedServer
from support.servers import free_port

pytestmark = pytest.mark.servers

SHIPPED = ROOT / "deploy" / "nginx" / "dashboard.conf"
SECRET = {"TASTEMAKER_DASHBOARD_PASSWORD": PASSWORD}
TRUSTED = {"TASTEMAKER_DASHBOARD__TRUSTED_PROXIES": "127.0.0.1"}
HEADER = "X-Forwarded-User"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one user, a viewer."""
    found = tmp_path / "home"
    found.mkdir()
    commands.done(found, "tastemaker", "users", "add", "ada", "--role", "viewer", more=SECRET)
    return found


@contextmanager
def behind_nginx(
    home: Path, settings: dict[str, str], *, oauth2: str | None = None
) -> Iterator[httpx.Client]:
    """The dashboard of a home with settings, behind nginx, and behind the oauth2-proxy at an address."""
    port, folder = free_port(), home.parent / "nginx"
    with dashboard_process(home, more=settings) as url:
        changes = {"127.0.0.1:9280": urlsplit(url).netloc}
        if oauth2 is not None:
            changes |= {"#oauth2#": "", "127.0.0.1:4180": urlsplit(oauth2).netloc}
        site = shipped_site(SHIPPED, folder, port, changes)
        with nginx(folder, site, f"https://127.0.0.1:{port}") as client:
            yield client


def test_a_login_through_tls(home: Path) -> None:
    with behind_nginx(home, TRUSTED) as client:
        answer = client.get("/models", headers={HEADER: "ada"})
        assert answer.headers["location"] == "/login?next=%2Fmodels", "the caller's own header is nothing"
        fields = {"name": "ada", "password": PASSWORD, "csrf_token": token_of(client.get("/login").text)}
        origin = str(client.base_url).rstrip("/")
        answer = client.post(
            "/login", data=fields, headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        )
        assert answer.status_code == 303
        assert all(re.match("__Host-.*Secure", one) for one in answer.headers.get_list("set-cookie"))
        page = client.get("/models")
        assert (page.status_code, "ada" in page.text) == (200, True)
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert client.get("/healthz").status_code == 404
        log = (home.parent / "nginx" / "tastemaker_dashboard.log").read_text()
        assert '"path":"/login"' in log
        assert "next=" not in log, "no query is logged"


class OAuth2Proxy(ScriptedServer):
    """oauth2-proxy as nginx sees it: who has its cookie is a user, all others are sent to its form."""

    def answer(self, request: Received) -> Answer:
        if request.path.startswith("/oauth2/sign_in"):
            return Answer(200, {"Content-Type": "text/html"}, b"sign in with your account")
        cookies = {name.lower(): value for name, value in request.headers.items()}.get("cookie", "")
        user = re.search("_oauth2_proxy=([a-z]+)", cookies)
        return Answer(401) if user is None else Answer(202, {"X-Auth-Request-User": user[1]})


def test_users_of_an_authenticating_proxy(home: Path) -> None:
    with (
        OAuth2Proxy() as proxy,
        behind_nginx(
            home, TRUSTED | {"TASTEMAKER_DASHBOARD__USER_HEADER": HEADER}, oauth2=proxy.url
        ) as client,
    ):
        for headers in ({}, {HEADER: "ada"}):
            assert "sign in with your account" in client.get("/models", headers=headers).text
        client.cookies.set("_oauth2_proxy", "ada")
        for headers in ({}, {HEADER: "eve"}):
            page = client.get("/models", headers=headers)
            assert (page.status_code, ">ada<" in page.text) == (200, True)
        client.cookies.set("_oauth2_proxy", "eve")
        refused = client.get("/models", headers={HEADER: "ada"})
        assert refused.status_code == 403
        assert "tastemaker users add" in refused.text


def test_a_proxy_without_any_header_is_not_this_machine(tmp_path: Path) -> None:
    """nginx as it forwards by default, on the dashboard's own machine, while there are no users."""
    home, port, folder = tmp_path / "home", free_port(), tmp_path / "nginx"
    home.mkdir()
    with dashboard_process(home) as url:
        assert httpx.get(f"{url}/models").status_code == 200
        site = f"server {{ listen 127.0.0.1:{port}; access_log off; location / {{ proxy_pass {url}; }} }}"
        with nginx(folder, site, f"http://127.0.0.1:{port}") as client:
            answer = client.get("/models")
            assert (answer.status_code, "tastemaker users add" in answer.text) == (403, True)
