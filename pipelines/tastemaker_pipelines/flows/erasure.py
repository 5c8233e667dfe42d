"""The flow of an erasure request: approval by a person, then erasure until no search finds the user.

Neither Prefect nor its database ever gets the user id: a request has a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from tastemaker.privacy.erasure_requests import ErasureRequest, ErasureRequests
from tastemaker.privacy.search import Searched
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
    """Return the requests that wait for a person or for a proof."""
    return [_work(one) for one in ErasureRequests(workspace.settings).listed(only_open=True)]


def follow(workspace: Workspace, number: int, host: FlowHost) -> str:
    """Ask for the approval, or erase the user if that is due; return the end in words.

    Args:
        workspace: Of the home folder that has the request.
        number: The number of the request.
        host: The process that runs the flow.
    """
    requests = ErasureRequests(workspace.settings)
    if requests.get(number).state == "waiting":
        evidence = host.once("places", lambda: "\n".join(_evidence(requests, number)))
        ask_until_recorded(
            host, evidence, lambda: _stamp(requests.get(number)), lambda said: _record(requests, number, said)
        )
    found, now = requests.get(number), datetime.now(UTC)
    if found.attempt_at is not None and found.attempt_at <= now:
        found = requests.execute(number)
    if found.is_open:
        leave(host, _stamp(found), now)
    return f"erasure request {number} is {found.state}, requested by {found.requested_by}: {found.reason}"


def _work(request: ErasureRequest) -> PendingWork:
    command = f"a person: tastemaker erasure approve {request.number} --reason REASON"
    retry = f"the next attempt; the newest: {request.problem_text}" if request.attempts else "its erasure"
    return PendingWork(
        flow="erasure",
        number=request.number,
        title=f"{request.state}, due {request.due_at:%Y-%m-%d}: {request.reason}",
        stamp=_stamp(request),
        waits_for=command if request.state == "waiting" else retry,
        due_at=request.attempt_at,
    )


def _stamp(request: ErasureRequest) -> str:
    """Return the state of a request and its number of attempts."""
    return f"{request.state}-{request.attempts}"


def _record(requests: ErasureRequests, number: int, answer: ApprovalAnswer) -> None:
    decide = requests.approve if answer.approve else requests.decline
    decide(number, actor=answer.by, reason=answer.reason)


def _evidence(requests: ErasureRequests, number: int) -> Iterator[str]:
    """Yield what a person needs for an approval, as lines of Markdown."""
    request, places = requests.get(number), requests.find_user(number)
    yield f"**Erase the user of request {number}**, requested by {request.requested_by}: {request.reason}\n"
    yield f"- deadline: {request.due_at:%Y-%m-%d %H:%M} UTC"
    found = Counter[tuple[str, str]]()
    for place in places:
        found[_table(place), place.how] += place.found
    yield from (f"- {table}: {number:,} {how}" for (table, how), number in sorted(found.items()))
    if not places:
        yield "- no place has the user"


def _table(place: Searched) -> str:
    """Return a place without the names of a table's files."""
    return place.place if " " in place.place else "/".join(place.place.split("/")[:2])


FLOW = FlowDefinition(
    name="erasure",
    description="Erases the user of an approved request, until no search finds them.",
    pending=pending,
    follow=follow,
)
