"""What ingestion notes of the source in the lake."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tastemaker.data.lake import Lake
from tastemaker.settings import Settings, SourceSettings
from tastemaker.simulator.source import DEMO
from tastemaker_pipelines.ingestion.assets import landed_events
from tastemaker_pipelines.resources import LazyWorkspace

SHOP = {"n_users": 20, "n_items": 10, "n_days": 3, "events_per_day": 5}


def ingest(home: Path, *, ended: bool) -> bool:
    """Ingest a small shop, and return whether the lake says that it has ended."""
    source = SourceSettings(name="simulated", options=SHOP, ended=ended)
    workspace = LazyWorkspace(Settings(home=home, source=source))
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([landed_events], instance=instance, resources={"workspace": workspace}).success
    with Lake(home / "lake").connect() as connection:
        return connection.execute("SELECT getvariable('source_has_ended')").fetchall() == [(True,)]


@pytest.mark.slow
def test_whether_the_source_has_ended_is_as_the_settings_say_at_the_last_ingestion(tmp_path: Path) -> None:
    assert [ingest(tmp_path, ended=ended) for ended in (False, True, False)] == [False, True, False]


@pytest.mark.slow
def test_the_shop_of_a_demo_has_ended(tmp_path: Path) -> None:
    (tmp_path / DEMO).write_text('{"dated": "2026-01-07"}')
    assert ingest(tmp_path, ended=False)
