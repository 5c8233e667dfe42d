"""A rollout that is overdue until the end of a simulation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support import rollout_homes
from support.rollout_homes import RolloutHome
from tastemaker.alerting.rollout_rules import OVERDUE_HOURS
from tastemaker.errors import TastemakerError
from tastemaker.rollouts import store
from tastemaker.rollouts.waiting import due_at
from tastemaker.workflows.faults.overdue_rollout import overdue
from tastemaker.workflows.rollouts import steps


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    return rollout_homes.make(tmp_path, monkeypatch, path="rollout", shadow_hours=24)


def opened(home: RolloutHome) -> list[store.Rollout]:
    return store.open_rollouts(home.workspace.engine)


def test_a_rollout_is_overdue_until_the_end_and_one_of_a_killed_simulation_is_ended(
    home: RolloutHome,
) -> None:
    settings, engine = home.workspace.settings, home.workspace.engine
    killed = overdue(settings)
    killed.__enter__()
    (left,) = opened(home)
    with overdue(settings):
        (found,) = opened(home)
        assert found.id != left.id
        due = due_at(found, store.read_changes(engine, found.id), settings.promotion)
        assert due is not None
        assert datetime.now(UTC) - due > timedelta(hours=OVERDUE_HOURS)
    assert opened(home) == []
    assert [one.state for one in store.list_rollouts(engine)] == ["failed", "failed"]
    assert store.refusal(engine, found.version_id) is None


def test_the_rollout_of_a_person_stays(home: RolloutHome) -> None:
    begun = steps.begin(home.workspace, home.second.id, "ada", "the newest", datetime.now(UTC))
    with pytest.raises(TastemakerError, match="one rollout at a time"), overdue(home.workspace.settings):
        pass
    assert [one.id for one in opened(home)] == [begun.id]
