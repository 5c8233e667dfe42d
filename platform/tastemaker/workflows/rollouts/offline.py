"""The path offline: the challenger test alone, against the baseline and the live champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.errors import RegistryError
from tastemaker.workflows.rollouts.store import Move

if TYPE_CHECKING:
    from tastemaker.workflows.rollouts.store import Rollout
    from tastemaker.workflows.workspace import Workspace


def next_move(workspace: Workspace, rollout: Rollout) -> Move:
    """Promote the version if it passes the test, and return what came of it.

    Args:
        workspace: The workspace.
        rollout: The rollout, which needs no approval any more.
    """
    try:
        promotion = workspace.promotion_gate.promote(rollout.version_id)
    except RegistryError as error:
        return Move("declined", error.problem)
    return Move("promoted", promotion.reason)
