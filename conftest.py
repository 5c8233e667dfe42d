"""Fixtures that every test may use: the real data sets, where this machine has them, and real servers."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import Engine

from support.repository import ROOT
from support.small_disks import mounted
from tastemaker.storage.engine import open_engine
from tastemaker.util.interrupts import restore_interrupts

pytest_plugins = ["support.migrated_schema", "support.process_tier", "support.servers", "support.small_shop"]

restore_interrupts()  # tests run Dagster in their own process

# Speed is measured in benchmarks/: a busy machine must not fail a test.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.register_profile("fast", deadline=None, max_examples=25)  # of make test-fast
if "CI" not in os.environ:  # there, Hypothesis' own profile is as patient, and draws the same examples again
    hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, and none of what they have imported later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        atexit.register(gc.unfreeze)  # some libraries report what the interpreter has not freed at its end
        gc.enable()


def dataset(name: str) -> Path:
    """Where a data set lies. A newcomer's machine may lack it: the test skips; in CI that is a failure."""
    root = Path(os.environ.get("TASTEMAKER_DATASETS", ROOT.parent / "shared" / "datasets"))
    path = root / name
    if not path.exists():
        reason = f"the data set {name} is not in {root}: point TASTEMAKER_DATASETS at a folder that has it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def online_retail() -> Path:
    """UCI Online Retail: 541,909 lines of a British gift wholesaler, CC BY 4.0, doi.org/10.24432/C5BW33."""
    return dataset("online_retail.parquet")


@pytest.fixture(scope="session")
def open_bandit() -> Path:
    """The folder of the Open Bandit sample, campaign "men" (arXiv:2008.07146)."""
    return dataset("open_bandit")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database for metadata, once in a file and once on a server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'er' / 'meta.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """That database, its tables made."""
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB. Only root may make one; elsewhere the unit test that pretends must do."""
    with mounted(tmp_path / "disk", "300k") as folder:
        yield folder
