"""Which path a version takes into production, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.workflows.rollouts.store import RolloutPath
    from tastemaker.workflows.workspace import Workspace


class PathDecision(NamedTuple):
    """The path of a version, and why."""

    path: RolloutPath
    why: str
    """In words."""
    advice: Mapping[str, Any] = {}
    """The planner's figures; empty where it was not asked."""


def decide_path(workspace: Workspace, version: Version) -> PathDecision:
    """Return how a version enters production, by `promotion.path` and the traffic.

    Args:
        workspace: The workspace.
        version: The version.
    """
    if workspace.registry.champion(version.problem) is None:
        return PathDecision("offline", "there is no champion yet, so no traffic to compare it on")
    return PathDecision("offline", "it is compared offline with the baseline and the champion")
