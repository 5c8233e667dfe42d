"""What the pipeline depends on: its state is compared with the one before, stored, and exported."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import select

from tastemaker.data.sources import open_source
from tastemaker.monitoring import dependencies, facts
from tastemaker.monitoring.dependency_facts import CHANGED
from tastemaker.settings import Settings, SourceSettings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import dependency_changes

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def exported(settings: Settings) -> dict[tuple[str, str], float]:
    (found,) = [one for one in facts.collect(settings) if one.name == CHANGED.metric_name]
    return {(sample.labels["kind"], sample.labels["dependency"]): sample.value for sample in found.samples}


def test_only_a_change_is_stored_and_it_is_exported_with_its_time(settings: Settings) -> None:
    engine = open_engine(settings.metadata_url)
    assert dependencies.record(engine, "source", "table", {"events delimiter": ","}) == ()
    assert dependencies.record(engine, "source", "table", {"events delimiter": ","}) == ()
    assert exported(settings) == {("source", "table"): 0.0}
    changed = dependencies.record(engine, "source", "table", {"events delimiter": ";"})
    assert changed == ("events delimiter is ;, was ,",)
    assert dependencies.record(engine, "source", "table", {"events delimiter": ";"}) == ()
    assert dependencies.record(engine, "packages", "installed", {"numpy": "2.3"}) == ()
    with engine.connect() as connection:
        rows = connection.execute(select(dependency_changes).order_by(dependency_changes.c.id)).all()
    assert [(row.kind, row.changes) for row in rows] == [
        ("source", []),
        ("source", ["events delimiter is ;, was ,"]),
        ("packages", []),
    ]
    assert exported(settings) == {
        ("source", "table"): rows[1].observed_at.timestamp(),
        ("packages", "installed"): 0.0,
    }


def form_of(path: Path) -> dict[str, str]:
    """The form of a file of events, as it was read."""
    source = open_source(SourceSettings(name="table", path=path))
    source.days()
    return dependencies.source_state(source.readings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user_id,item_id,event_type,occurred_at\nu1,i1,view,2026-05-02 10:00:00\n", []),
        ("user_id;item_id;event_type;occurred_at\nu1;i1;view;2026-05-02 10:00:00\n", ["delimiter"]),
        ("user_id,item_id,event_type,occurred_at,price\nu1,i1,view,2026-05-02 10:00:00,2\n", ["price"]),
        ("user_id,item_id,event_type,occurred_at\nu1,i1,view,20260502\n", ["written as occurred_at"]),
    ],
    ids=["other rows", "delimiter", "new column", "form of times"],
)
def test_the_form_of_a_file_changes_with_its_columns_and_formats_and_not_with_its_rows(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    before = tmp_path / "before.csv"
    before.write_text("user_id,item_id,event_type,occurred_at\nu1,i2,view,2026-05-01 10:00:00\n")
    after = tmp_path / "after.csv"
    after.write_text(text)
    changes = dependencies.differences(form_of(before), form_of(after))
    assert bool(changes) == bool(expected)
    assert all(any(word in change for change in changes) for word in expected), changes


def test_all_installed_distributions_are_compared() -> None:
    found = dependencies.installed_packages()
    assert found["numpy"] == version("numpy")
    assert found["tastemaker"] == version("tastemaker")
