"""A champion that the baseline beats until the end of a simulation."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import rollout_homes
from tastemaker.errors import TastemakerError
from tastemaker.registry.baseline_comparisons import newest_of
from tastemaker.workflows.faults.beaten_champion import beaten
from tastemaker.workflows.promote import promote_best


def test_the_champion_is_worse_until_the_end_also_after_a_killed_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline")
    settings, engine = home.workspace.settings, home.workspace.engine
    rollout_homes.add(home.workspace, 1.0, rollout_homes.BETTER, seed=-1)
    champion = promote_best(home.workspace).version
    assert champion is not None
    before = newest_of(engine, champion.id)
    killed = beaten(settings)
    killed.__enter__()
    with beaten(settings):
        found = newest_of(engine, champion.id)
        assert found is not None
        assert found.is_worse
    assert newest_of(engine, champion.id) == before
    assert before is not None
    assert not before.is_worse
    assert {row.model: row.verdict for row in home.workspace.leaderboard().rows} == {
        "toy": "better", "popularity": "baseline",
    }  # fmt: skip


def test_without_a_champion_the_fault_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, champion=False)
    with (
        pytest.raises(TastemakerError, match="no champion of shop"),
        beaten(home.workspace.settings),
    ):
        pass
