"""Starting the services of a plan."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tastemaker.controller.pinned_servers import start_service
from tastemaker.experiments.lifecycle.services import socket_path
from tastemaker.experiments.plan import PinnedService
from tastemaker.serving.runtime.server_command import SOCKET
from tastemaker.settings import Settings


@pytest.mark.parametrize("home", ["short", "long" * 30])
def test_the_folder_of_the_socket_is_made(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []

    def start(command: list[str], *, env: dict[str, str], **others: Any) -> None:
        started.append(env)

    monkeypatch.setattr(subprocess, "Popen", start)
    folder = tmp_path / home / "experiments"
    path = socket_path(folder, "popularity@v1")
    pinned = PinnedService("popularity@v1", "popularity", "v1", f"unix:{path}")
    for _ in range(2):
        start_service(Settings(home=tmp_path / home), pinned)
    assert [one[SOCKET] for one in started] == [str(path)] * 2
    assert path.parent.is_dir()
    assert (folder / "sockets").is_dir()
