"""Pages and facts are the same in SQLite and in Postgres: their reads by steps of an index, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from support.aged_homes import age, version_of
from support.operated_homes import now
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.pages import PAGES, foreign_models, model_version
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE
from tastemaker.monitoring.fact_families import FactSources
from tastemaker.monitoring.facts import SUBJECTS
from tastemaker.monitoring.lake_reading import AnsweringVersion, LakeReading
from tastemaker.settings import Settings, load_settings
from tastemaker.storage.engine import open_engine

AT = now()


@pytest.fixture
def homes(tmp_path: Path, postgres_url: str) -> Iterator[tuple[Settings, list[Engine]]]:
    """The settings, and the same rows in both databases."""
    settings = load_settings(home=tmp_path)
    engines = [open_engine(url) for url in (settings.metadata_url, postgres_url)]
    for engine in engines:
        age(engine, range(130), AT)
    yield settings, engines
    for engine in engines:
        engine.dispose()


@pytest.mark.servers
def test_pages_and_facts_are_those_of_sqlite(homes: tuple[Settings, list[Engine]]) -> None:
    settings, engines = homes
    pages = [(page, PageFilters()) for page in PAGES if "{" not in page.path]
    pages += [
        (model_version.PAGE, PageFilters(path={"version": version_of(0)})),
        (foreign_models.PAGE, PageFilters(query={"metric": "x_smiles"})),
    ]
    for page, filters in pages:
        readers = (DashboardReader(engine, settings, lambda: AT) for engine in engines)
        ours, theirs = (page.load(reader, filters, ON_THIS_MACHINE) for reader in readers)
        assert ours == theirs, page.path
    answering = LakeReading(answering=[AnsweringVersion("als", version_of(0), AT.timestamp())])
    for subject in SUBJECTS:
        sources = (FactSources(settings, engine, answering, AT) for engine in engines)
        ours_facts, theirs_facts = (
            [(family.name, family.samples) for family in subject(home)] for home in sources
        )
        assert ours_facts == theirs_facts, subject.__name__
