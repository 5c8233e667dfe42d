"""Facts are collected in a process that ends, with the settings of this one."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tastemaker.watch import facts_process
from tastemaker.watch.facts_process import FactsError, collect_facts

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.slow
def test_facts_of_an_empty_home_are_metrics() -> None:
    families = {family.name: family for family in text_string_to_metric_families(collect_facts())}
    assert {sample.value for sample in families["tastemaker_fact_failed"].samples} == {0.0}


def test_a_process_that_fails_says_why(folder: Path) -> None:
    (folder / "tastemaker.toml").write_text("seed = -1")
    with pytest.raises(FactsError, match=r"(?s)status 1: .*seed = -1"):
        collect_facts()


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_process, "DEADLINE_SECONDS", 0.01)
    with pytest.raises(FactsError, match=r"were not collected within 0\.01 s"):
        collect_facts()
