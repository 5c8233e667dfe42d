"""A rollout whose next step is overdue, within a block.

The rollout of a simulation that was killed is ended by the next one with this fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from tastemaker.alerting.rollout_rules import OVERDUE_HOURS
from tastemaker.errors import TastemakerError
from tastemaker.rollouts import store
from tastemaker.settings import Settings
from tastemaker.workflows.workspace import Workspace

ACTOR: Final = "simulate"
REASON: Final = "a simulated fault"


@contextmanager
def overdue(settings: Settings) -> Iterator[None]:
    """Keep a version in the shadow long after its time, within a block.

    It is the champion, so that nothing changes if a process takes its steps; without one, the newest version.

    Args:
        settings: Of the home folder.

    Raises:
        TastemakerError: There is no version, or another rollout is open.
    """
    workspace = Workspace(settings)
    try:
        _end(workspace.engine)
        _begin(workspace)
        yield
    finally:
        _end(workspace.engine)
        workspace.engine.dispose()


def _begin(workspace: Workspace) -> None:
    """Begin the rollout, unless the problem has another one: the two would be taken for one another."""
    problem, registry = workspace.problem.name, workspace.registry
    if found := store.open_rollouts(workspace.engine, problem):
        raise TastemakerError(
            f"{store.named(found[0])}, and a problem has one rollout at a time",
            fix=f"end it first: tastemaker rollout decline {found[0].id} --reason REASON",
        )
    champion = registry.champion(problem)
    version = champion or next(iter(registry.list(problem=problem)), None)
    if version is None:
        raise TastemakerError(f"no model of {problem} has a version", fix="train one: tastemaker run")
    late = timedelta(hours=workspace.settings.promotion.shadow_hours + OVERDUE_HOURS + 1)
    replaced = None if champion is None else champion.id
    proposal = store.Proposal(problem, version.id, replaced, "rollout", REASON, {})
    store.add(workspace.engine, proposal, store.Move("shadow", REASON, ACTOR), datetime.now(UTC) - late)


def _end(engine: Engine) -> None:
    """End what simulations have begun, in a state that refuses no version."""
    for one in store.open_rollouts(engine):
        if store.read_changes(engine, one.id)[0].actor == ACTOR:
            store.record(engine, one, store.Move("failed", REASON, ACTOR), datetime.now(UTC))
