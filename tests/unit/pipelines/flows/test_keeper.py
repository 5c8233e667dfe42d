"""Which suspended runs the keeper wakes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from tastemaker_pipelines.flows.flow import PendingWork, wait_key

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def woken(monkeypatch: pytest.MonkeyPatch, stamps: Sequence[str], key: str) -> bool:
    """Return whether a suspended run is woken.

    Args:
        monkeypatch: Replaces the work that is read.
        stamps: The work's stamp each time that it is read.
        key: The stamp in the key of the run's wait.
    """
    # Prefect takes a second to import: only the worker that runs these tests pays for it.
    from prefect.client.schemas.objects import State, StateDetails, StateType

    from tastemaker_pipelines.flows import keeper

    reads = iter([[PendingWork("rollout", 2, "a rollout", stamp, "ada", None)] for stamp in stamps])
    monkeypatch.setattr(keeper, "pending_work", lambda _: next(reads))
    details = StateDetails(pause_key=wait_key(key, "0"))
    state: State[Any] = State(type=StateType.PAUSED, name="Suspended", state_details=details)
    client = Mock()
    client.create_flow_run_from_deployment.return_value = Mock(state=state)
    kept = keeper.RunKeeper(Mock(), {"rollout": uuid4()}, "home", timedelta(minutes=1))
    kept.keep(client, NOW)
    return bool(client.set_flow_run_state.called)


def test_a_run_whose_work_has_changed_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert woken(monkeypatch, ["later", "later"], "earlier")
    assert not woken(monkeypatch, ["earlier"], "earlier")


def test_a_run_that_has_changed_its_work_itself_meanwhile_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper read the work before the run changed it and suspended."""
    assert not woken(monkeypatch, ["earlier", "later"], "later")
