"""The nginx configuration that we ship, before a real service: TLS, sizes, ids, keys, and who sees what."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.bento_servers import running, started
from support.nginx import nginx, shipped_site
from support.repository import ROOT
from support.served_homes import make_home
from support.servers import free_port
from support.visited_service import until
from tastemaker.serving.http.api_keys import add, changed

pytestmark = pytest.mark.servers

SHIPPED = ROOT / "deploy" / "nginx" / "tastemaker.conf"
ID = "0af7651916cd43dd8448eb211c80319c"
ASK = {"user_id": "user-01", "k": 3}


@contextmanager
def proxied(folder: Path, upstream: int) -> Iterator[httpx.Client]:
    """nginx in front of a port, as a client that trusts its certificate."""
    port = free_port()
    site = shipped_site(SHIPPED, folder, port, {"127.0.0.1:3000": f"127.0.0.1:{upstream}"})
    with nginx(folder, site, f"https://127.0.0.1:{port}") as client:
        yield client


def test_tls_sizes_ids_and_keys(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home, ["popularity"])
    environment = {"TASTEMAKER_HOME": str(home), "BENTOML_HOME": str(tmp_path / "bentoml")}
    command = ["bentoml", "serve", "tastemaker_baselines.service:Popularity"]
    folder = tmp_path / "nginx"
    folder.mkdir()
    folder.chmod(0o755)
    with (
        running(command, tmp_path, environment) as direct,
        proxied(folder, direct.base_url.port or 0) as outside,
    ):
        assert direct.post("/recommend", json=ASK).status_code == 200, "no key yet: this machine alone"
        refused = outside.post("/recommend", json=ASK)
        assert (refused.status_code, "tastemaker keys new" in refused.text) == (401, True)

        with changed(home / "keys.json") as keys:
            secret = add(keys, "web shop", ["recommend"]).secret
            seldom = add(keys, "guest", ["recommend"], per_second=0.1).secret
        time.sleep(1.1)  # workers look once a second
        outside.headers["Authorization"] = f"Bearer {secret}"
        answer = outside.post("/recommend", json=ASK, headers={"X-Request-Id": ID})
        assert (answer.status_code, answer.json()["request_id"], len(answer.json()["items"])) == (200, ID, 3)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        made = outside.post("/recommend", json=ASK, headers={"X-Request-Id": "mine"}).json()["request_id"]
        assert re.fullmatch("[0-9a-f]{32}", made)
        assert outside.get("/similar/a%2Fb%20%C3%A9").json()["value"] == "a/b é"

        for hidden in ("/", "/metrics", "/readyz", "/livez"):
            assert problem(outside.get(hidden), 404)
        assert problem(outside.post("/recommend", content=b" " * ((4 << 20) + 1)), 413)["limit"] == 4 << 20
        guest = {"Authorization": f"Bearer {seldom}"}
        assert outside.post("/recommend", json=ASK, headers=guest).status_code == 200
        limited = outside.post("/recommend", json=ASK, headers=guest)
        assert problem(limited, 429)
        assert 0 < int(limited.headers["retry-after"]) <= 10
        logged = (folder / "tastemaker.log").read_text()
        assert ID in logged
        assert not re.search(r"recommend|similar|127\.0\.0\.1|tm_", logged), "nothing of a person or a key"
    away = tmp_path / "away"
    away.mkdir()
    with proxied(away, free_port()) as outside:
        gone = outside.post("/recommend", json=ASK)
        assert problem(gone, 503)
        assert gone.headers["retry-after"] == "1"
        assert "strict-transport-security" in gone.headers


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """The problem document of an answer with this status."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    document: dict[str, object] = answer.json()
    assert document["status"] == status
    return document


def test_no_caller_behind_nginx_notices_that_a_worker_is_killed(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "nginx"
    make_home(home, ["popularity"])
    folder.mkdir()
    folder.chmod(0o755)
    with changed(home / "keys.json") as keys:
        secret = add(keys, "web shop", ["recommend"]).secret
    environment = {"TASTEMAKER_HOME": str(home), "BENTOML_HOME": str(tmp_path / "bentoml")}
    command = ["tastemaker", "serve", "popularity", "--workers", "2"]
    statuses, ending = list[int](), threading.Event()
    with started(command, tmp_path, environment) as server, proxied(folder, server.port) as outside:
        outside.headers["Authorization"] = f"Bearer {secret}"

        def ask() -> None:
            while not ending.is_set():
                statuses.append(outside.post("/recommend", json=ASK, timeout=60).status_code)

        callers = [threading.Thread(target=ask) for _ in range(6)]
        workers = server.workers(2)
        for caller in callers:
            caller.start()
        for worker in workers:
            grows(lambda: len(statuses), by=100)
            worker.kill()
            grows(lambda: server.log.read_text().count("in the place of"))
        ending.set()
        for caller in callers:
            caller.join()
    assert set(statuses) == {200}, (folder / "error.log").read_text()


def grows(count: Callable[[], int], by: int = 1) -> None:
    """Wait for it."""
    before = count()
    until(lambda: count() >= before + by, "it does not grow")
