"""Which versions a worker may serve, in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import served_homes
from tastemaker.registry import deployment
from tastemaker.registry.deployment import Target
from tastemaker.serving.runtime.version_selection import CHOSEN, PINNED, folders, remember
from tastemaker.settings import Settings


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a problem file."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_a_worker_prefers_what_is_deployed_and_a_pin_excludes_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, shared = tmp_path / "home", tmp_path / "shared"
    shared.mkdir()
    settings = Settings(home=home)
    oldest, middle, newest = (served_homes.make_home(home, ("popularity",))["popularity"] for _ in range(3))
    monkeypatch.setenv(CHOSEN, oldest.id)

    def found() -> list[str]:
        return [folder.name for folder in folders(settings, "popularity", shared)]

    assert found() == [oldest.id, newest.id, middle.id]
    remember(shared, Target("popularity", newest.id))
    assert found() == [newest.id, middle.id, oldest.id]
    deployment.deploy(settings.artifacts, "popularity", middle.id, "small shop")
    assert found() == [middle.id, newest.id, oldest.id]
    monkeypatch.setenv(PINNED, oldest.id)
    assert found() == [oldest.id]
    monkeypatch.setenv(PINNED, "missing")
    assert found() == ["missing"]
