"""The flow of a rollout: approval by a person, then the steps of `workflows.rollouts`, hours apart.

Guardrails end a rollout without this flow; here it is found and recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from tastemaker.errors import TastemakerError
from tastemaker.rollouts import store, waiting
from tastemaker.rollouts.store import Rollout
from tastemaker.workflows.rollouts import actions, steps
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.flows.flow import (
    ApprovalAnswer,
    FlowDefinition,
    FlowHost,
    PendingWork,
    ask_until_recorded,
    leave,
)


def pending(workspace: Workspace) -> list[PendingWork]:
    """Return the rollouts of the problem in use that are not at their end."""
    return [_work(workspace, one) for one in store.open_rollouts(workspace.engine, workspace.problem.name)]


def follow(workspace: Workspace, number: int, host: FlowHost) -> str:
    """Ask for the approval, or take the steps that are due; return the end in words.

    Args:
        workspace: Of the home folder that has the rollout.
        number: The rollout's id.
        host: The process that runs the flow.
    """
    found = steps.advance(workspace, number)
    if steps.awaits_approval(workspace, found):
        evidence = host.once("evidence", lambda: "\n".join(_evidence(workspace, found)))
        ask_until_recorded(
            host,
            evidence,
            lambda: _stamp(workspace, number),
            lambda answer: _record(workspace, number, answer),
        )
        found = steps.advance(workspace, number)
    if found.is_open:
        leave(host, _stamp(workspace, number), datetime.now(UTC))
    last = store.read_changes(workspace.engine, number)[-1]
    return f"{store.named(found)}, by {last.actor}: {last.reason}"


def _work(workspace: Workspace, rollout: Rollout) -> PendingWork:
    awaits = steps.awaits_approval(workspace, rollout)
    if awaits:
        waits_for = f"a person: tastemaker rollout approve {rollout.id} --reason REASON"
    elif rollout.state == "held":
        waits_for = f"a person: tastemaker rollout resume {rollout.id} --reason REASON"
    else:
        changes = store.read_changes(workspace.engine, rollout.id)
        waits_for = waiting.waits_for(rollout, changes, workspace.settings.promotion)
    return PendingWork(
        flow="rollout",
        number=rollout.id,
        title=f"version {rollout.version_id}: {rollout.state}",
        stamp=_stamp(workspace, rollout.id),
        waits_for=waits_for,
        due_at=None,
        is_polled=not awaits,  # also while it is held: guardrails may end it
    )


def _stamp(workspace: Workspace, number: int) -> str:
    """Return the state of a rollout, its number of changes, and the champion: another one may end it."""
    changes, found = (
        store.read_changes(workspace.engine, number),
        store.read_rollout(workspace.engine, number),
    )
    current = workspace.registry.champion(found.problem)
    champion = "none" if current is None else current.id
    return f"{found.state}-{len(changes)}-{champion}".replace("_", "-")


def _record(workspace: Workspace, number: int, answer: ApprovalAnswer) -> None:
    act = actions.approve if answer.approve else actions.decline
    act(workspace, number, answer.by, answer.reason)


def _evidence(workspace: Workspace, rollout: Rollout) -> Iterator[str]:
    """Yield what a person needs for an approval, as lines of Markdown."""
    version, registry = workspace.registry.get(rollout.version_id), workspace.registry
    champion = None if rollout.champion_id is None else registry.get(rollout.champion_id)
    begun = store.read_changes(workspace.engine, rollout.id)[0]
    yield f"**{version.model} {version.id}** for *{version.problem}*, fitted on"
    yield f"{version.manifest.counts['events']:,} events\n"
    yield f"- champion now: {'none' if champion is None else f'{champion.model} {champion.id}'}"
    yield f"- path: {rollout.path}, because {rollout.why}"
    yield f"- begun by {begun.actor}: {begun.reason}"
    yield from (f"- {name.replace('_', ' ')}: {value}" for name, value in rollout.advice.items())
    try:
        yield f"- offline: {workspace.promotion_gate.test(version)}"
    except TastemakerError as error:
        yield f"- offline: {error.problem}"


FLOW = FlowDefinition(
    name="rollout",
    description="Brings a version into production, step by step; a person may approve, hold or end it.",
    pending=pending,
    follow=follow,
)
