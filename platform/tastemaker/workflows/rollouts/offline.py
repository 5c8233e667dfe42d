"""The offline test before and on each path: against the baseline, and against the live champion.

Before an experiment the version has to pass the comparison with the baseline only: whether it is better than
the champion is what the experiment finds out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.errors import RegistryError
from tastemaker.rollouts.store import Move
from tastemaker.workflows.rollouts.designs import owner_of

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.rollouts.states import RolloutPath
    from tastemaker.rollouts.store import Rollout
    from tastemaker.workflows.workspace import Workspace


def objection(workspace: Workspace, version: Version, path: RolloutPath) -> str | None:
    """Return why a version may not take a path, by backtests; None if it may.

    Args:
        workspace: The home folder, with the backtests.
        version: The version that is to enter production.
        path: How it would; for `experiment` the test against the baseline is enough.
    """
    gate = workspace.promotion_gate
    try:
        if path != "experiment":
            gate.require_passed(version)
        elif not (found := gate.test(version)).passes_baseline:
            return f"version {version.id} is not tried: {found.reasons[0]}"
    except RegistryError as error:
        return error.problem
    return None


def next_move(workspace: Workspace, rollout: Rollout) -> Move:
    """Promote the version if it passes the test, and return what came of it.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout of the path offline, which needs no approval any more.
    """
    try:
        promotion = workspace.promotion_gate.promote(rollout.version_id, actor=owner_of(rollout.id))
    except RegistryError as error:
        return Move("declined", error.problem)
    return Move("promoted", promotion.reason)
