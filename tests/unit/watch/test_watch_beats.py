"""The watch's beat file: written while it works, and not while it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.util.beat_file import FILE_NAME
from tastemaker.watch.signed_links import SignedLinks, watch_key
from tastemaker.watch.watcher import Watcher


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(Settings(home=tmp_path).metadata_url)
    yield engine
    engine.dispose()


def test_the_beat_is_written_only_while_there_is_no_trouble(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    links = SignedLinks(settings.watch.base_url, watch_key(tmp_path))
    watcher = Watcher(settings, engine, (), {}, services=list, facts=str, links=links)
    watcher.beat()
    assert not (tmp_path / FILE_NAME).exists(), "the database was not used yet"
    monkeypatch.setattr(watcher, "trouble", lambda: None)
    watcher.beat()
    assert (tmp_path / FILE_NAME).exists()
