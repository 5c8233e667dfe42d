"""The lake is read in a process that ends, which imports little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tastemaker.settings import Settings
from tastemaker.watch import facts_process
from tastemaker.watch.facts_process import FactsError, collect_facts, read_lake

pytestmark = pytest.mark.processes

HEAVY = {"numpy", "pandas", "pyarrow", "pydantic", "scipy", "sqlalchemy"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", problem=tmp_path / "problem.yaml")


def failed(settings: Settings) -> set[str]:
    """The subjects that could not be read."""
    families = {one.name: one for one in text_string_to_metric_families(collect_facts(settings))}
    samples = families["tastemaker_fact_failed"].samples
    return {sample.labels["subject"] for sample in samples if sample.value}


def imported(module: str) -> set[str]:
    """What of HEAVY and DuckDB a new process has imported after a module."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) & (HEAVY | {"duckdb"})


def test_facts_of_an_empty_home_are_metrics(settings: Settings) -> None:
    assert failed(settings) == set()


def test_without_the_lake_the_facts_of_the_database_remain(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_process, "DEADLINE_SECONDS", 0.01)
    assert failed(settings) == {"newest_events", "served_versions", "drift", "missing_features"}


def test_a_damaged_file_fails_what_it_is_about(settings: Settings) -> None:
    path = settings.lake / "events" / "day=2026-01-01" / "table.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 is how a file begins")
    assert failed(settings) == {"newest_events"}


def test_a_process_that_fails_says_why(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(FactsError, match="the lake can't be read: status 1"):
        read_lake(settings)


def test_the_process_imports_duckdb_alone_and_the_watch_does_not() -> None:
    assert imported("tastemaker.monitoring.lake_queries") == {"duckdb"}
    watch = "tastemaker.watch.watcher, tastemaker.watch.pages, tastemaker.watch.facts_process"
    assert imported(f"{watch}, tastemaker.log_search.newest_ids") == {"pydantic", "sqlalchemy"}
