"""nginx with a configuration that we ship, before a port of a test."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.certificates import certify
from support.child_processes import ended
from support.servers import not_installed


def configure(folder: Path, site: str) -> Path:
    """Write a configuration with some lines of an http block."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    head = f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
    path = folder / "nginx.conf"
    path.write_text(f"{head}http {{\n{paths}{site}}}\n")
    return path


@contextmanager
def nginx(folder: Path, site: str, url: str) -> Iterator[httpx.Client]:
    """nginx with some lines of an http block, as a client that trusts its certificate."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        not_installed("nginx")
    folder.mkdir(mode=0o755, exist_ok=True)
    certify(folder)
    command = [binary, "-p", str(folder), "-c", str(configure(folder, site))]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    trusted = ssl.create_default_context(cafile=str(folder / "tastemaker.pem"))
    with ended(server), httpx.Client(base_url=url, verify=trusted, timeout=10) as client:
        _wait(client, server)
        yield client
        server.terminate()
        server.communicate(timeout=20)


def _wait(client: httpx.Client, server: subprocess.Popen[str]) -> None:
    """Until nginx answers."""
    for _ in range(100):
        if server.poll() is not None:
            pytest.fail(f"nginx ended: {server.communicate()[1]}")
        try:
            client.get("/metrics")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("nginx does not answer")


def shipped_site(path: Path, folder: Path, port: int, changes: Mapping[str, str]) -> str:
    """A shipped file with this test's ports and paths.

    Args:
        path: The file.
        folder: Where certificates and logs are.
        port: The port that nginx listens on.
        changes: What else differs, such as the upstream's address.
    """
    site = path.read_text()
    for shipped, ours in {
        "listen 443": f"listen 127.0.0.1:{port}",
        "    listen [::]:443 ssl http2;\n": "",
        "/etc/nginx/tls/": f"{folder}/",
        "/var/log/nginx/": f"{folder}/",
        **changes,
    }.items():
        assert shipped in site, shipped
        site = site.replace(shipped, ours)
    return site
