"""Real Prometheus and Alertmanager on the loopback, with the files of deploy/ or others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from support.servers import Server, free_port, not_installed


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file."""
    return YAML(typ="safe").load(path.read_text("utf-8"))


def write_yaml(path: Path, content: Any) -> Path:
    """Write a YAML file and return its path."""
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(content, file)
    return path


@contextmanager
def prometheus(
    folder: Path, rules: Path, *, jobs: Mapping[str, Sequence[str]], alertmanager: str, seconds: int = 5
) -> Iterator[str]:
    """A running Prometheus, and its URL.

    Args:
        folder: Empty, for its data.
        rules: The rule files, a path or a pattern.
        jobs: Job -> host:port of what it scrapes.
        alertmanager: host:port of its Alertmanager.
        seconds: Between two scrapes.
    """
    config = {
        "global": {"scrape_interval": f"{seconds}s", "scrape_timeout": f"{min(seconds, 4)}s"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in jobs.items()
        ],
    }
    written = write_yaml(folder / "prometheus.yml", config)
    port = free_port()
    command = [f"--config.file={written}", f"--storage.tsdb.path={folder / 'data'}"]
    # An alert that fires before Alertmanager is known is sent again after this time, by default a minute.
    command.append("--rules.alert.resend-delay=5s")
    with _running("prometheus", "prometheus", folder, port, command) as url:
        yield url


@contextmanager
def alertmanager(folder: Path, config: Path) -> Iterator[str]:
    """A running Alertmanager without a cluster, and its URL.

    Args:
        folder: Empty, for its data.
        config: Its configuration.
    """
    port = free_port()
    command = [f"--config.file={config}", f"--storage.path={folder / 'data'}", "--cluster.listen-address="]
    name, package = "prometheus-alertmanager", "prometheus-alertmanager"
    with _running(name, package, folder, port, command) as url:
        yield url


@contextmanager
def _running(name: str, package: str, folder: Path, port: int, command: list[str]) -> Iterator[str]:
    binary = shutil.which(name)
    if binary is None:
        not_installed(f"{name} (Debian: {package})")
    url = f"http://127.0.0.1:{port}"
    whole = [binary, *command, f"--web.listen-address=127.0.0.1:{port}"]
    with Server(whole, folder, None, lambda: _is_ready(url)):
        yield url


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
