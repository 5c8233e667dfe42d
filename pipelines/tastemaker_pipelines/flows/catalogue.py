"""Every flow, and all its work that is not at its end."""

from __future__ import annotations

from collections.abc import Iterator

from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.flows import erasure, rollout
from tastemaker_pipelines.flows.flow import FlowDefinition, PendingWork

FLOWS: dict[str, FlowDefinition] = {one.name: one for one in (rollout.FLOW, erasure.FLOW)}
"""The flows by name."""


def pending_work(workspace: Workspace) -> Iterator[PendingWork]:
    """Yield the work of every flow that is not at its end; rollouts need a problem file."""
    for one in FLOWS.values():
        yield from one.pending(workspace)
