"""The flows as Prefect runs them: suspended while they wait, so that no process does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NoReturn

from prefect import Task, flow
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field, ValidationError

from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.flows.catalogue import FLOWS
from tastemaker_pipelines.flows.flow import ApprovalAnswer


class Decision(RunInput):
    """What the page of a suspended run asks for."""

    approve: bool
    """Whether it may be done."""
    by: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
    """Your name; it is recorded."""
    reason: Annotated[str, Field(min_length=1, pattern=r"\S")]
    """Why; it is recorded."""


class PrefectHost:
    """Runs a flow within a run of Prefect."""

    def once(self, name: str, step: Callable[[], str]) -> str:
        """Return a step's result, which Prefect keeps for the run: after a kill, it is not computed again.

        Args:
            name: The step's name within the flow.
            step: Computes the result.
        """
        key = f"{flow_run.id}-{name}"
        kept: Task[[], str] = Task(step, name=name, persist_result=True, cache_key_fn=lambda *_: key)
        result: str = kept()
        return result

    def ask(self, question: str, key: str) -> ApprovalAnswer:
        """Suspend the run until a person has filled in the form on its page, and return the answer.

        A form that was closed without an answer is shown again, under another key.

        Args:
            question: Markdown, above the form.
            key: The same for the same question, of lower case letters, digits and dashes.
        """
        form = Decision.with_initial_data(description=question, approve=False)
        attempt = 0
        while True:
            try:
                found = suspend_flow_run(wait_for_input=form, key=f"{key}-{attempt}")
            except ValidationError:
                attempt += 1  # that form was closed without an answer: the run was woken by a change
            else:
                return ApprovalAnswer(found.approve, found.by, found.reason)

    def wait(self, key: str) -> NoReturn:
        suspend_flow_run(key=key)
        raise RuntimeError(f"the run was not suspended: key {key} was used before")


@flow(name="rollout", persist_result=True)
def rollout(number: int) -> str:
    """Bring the version of rollout NUMBER into production."""
    return _follow("rollout", number)


@flow(name="erasure", persist_result=True)
def erasure(number: int) -> str:
    """Erase the user of erasure request NUMBER."""
    return _follow("erasure", number)


def _follow(name: str, number: int) -> str:
    return FLOWS[name].follow(Workspace.open(), number, PrefectHost())
