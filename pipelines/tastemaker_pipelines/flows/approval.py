"""A promotion that waits for a person: the evidence is shown in Prefect's page, and somebody says yes or no.

prefect server start                                        once, in the folder with prefect.toml
export PREFECT_API_URL=http://127.0.0.1:4200/api
python -m tastemaker_pipelines.flows.approval VERSION       waits; answer under "Resume" in the page
"""

import sys

from prefect import flow, get_run_logger, task
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput

from tastemaker.errors import RegistryError
from tastemaker.workflows.workspace import Workspace

WAIT_SECONDS = 7 * 86_400


class Decision(RunInput):
    """What the page asks for."""

    approve: bool
    """Make it the champion?"""
    reason: str
    """Why; it is recorded beside the result of the challenger test."""


@task
def evidence(version_id: str) -> str:
    """Return the evidence for the version, in Markdown. Raises RegistryError if it can't be promoted."""
    workspace = Workspace.open()
    version = workspace.registry.get(version_id)
    current = workspace.registry.champion(version.problem)
    tested = workspace.promotion_gate.test(version)
    if not tested.passed:
        raise RegistryError(f"version {version.id} can't be promoted: {'; '.join(tested.reasons)}")
    against = "the same recipe, trained on other data" if current else "none"
    return (
        f"**{version.model} {version.id}** for *{version.problem}*\n\n"
        f"- against the baseline: {tested.against_baseline}\n"
        f"- against the champion: {tested.champion or against}\n"
        f"- champion now: {'none' if current is None else f'{current.model} {current.id}'}\n"
        f"- fitted on {version.manifest.counts['events']:,} events\n"
    )


@task
def promote(version_id: str) -> str:
    """Make it the champion."""
    return Workspace.open().promotion_gate.promote(version_id).reason


@flow(name="promotion-with-approval")
def promotion_with_approval(version_id: str, wait_seconds: int = WAIT_SECONDS) -> str:
    """Show the evidence, wait for a decision, act on it. Returns what was done."""
    log = get_run_logger()
    shown = evidence(version_id)
    question = Decision.with_initial_data(description=shown, approve=False, reason="")
    decision = pause_flow_run(wait_for_input=question, timeout=wait_seconds, poll_interval=2)
    if not decision.approve:
        log.info("declined: %s", decision.reason)
        return f"declined: {decision.reason}"
    outcome = f"approved ({decision.reason}); {promote(version_id)}"
    log.info(outcome)
    return outcome


if __name__ == "__main__":
    promotion_with_approval(sys.argv[1])
