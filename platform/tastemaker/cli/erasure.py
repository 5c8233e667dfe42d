"""`tastemaker erasure`: requests to erase a user, which a person approves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tastemaker.cli.numbers import ROW_NUMBER
from tastemaker.cli.person import by_option, person
from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from tastemaker.privacy.erasure_requests import ErasureRequest, ErasureRequests

_number_argument = click.argument("number", type=ROW_NUMBER)
_reason_option = click.option(
    "--reason", required=True, help="Why, without the user's id; it is kept: a ticket's number, say."
)


@click.group()
def erasure() -> None:
    """Request the erasure of a user, and approve it.

    `tastemaker flows serve` executes an approved request, and repeats it until no search finds the user. What
    is kept of a request afterwards does not name them. `tastemaker forget` erases at once, without a request.

    \b
    Examples:
      tastemaker erasure request 17850 --reason "ticket 4711"
      tastemaker erasure list               the open requests, and their deadlines
      tastemaker erasure approve 3 --reason "identity checked"
      tastemaker flows serve                executes what is approved
    """


@erasure.command()
@click.argument("user_id")
@_reason_option
@by_option
@as_json_option
def request(user_id: str, reason: str, by: str | None, as_json: bool) -> None:
    """Request the erasure of USER_ID.

    The request waits for an approval. The deadline is `privacy.erasure_days` later.

    \b
    Examples:
      tastemaker erasure request 17850 --reason "ticket 4711"
      tastemaker erasure request 17850 --reason "ticket 4711" --by ada --json
    """
    requests = _requests()
    _print(requests.enter(user_id, actor=person(by), reason=reason), as_json)


@erasure.command("list")
@click.option("--all", "with_ended", is_flag=True, help="Also those that are done or declined.")
@as_json_option
def list_requests(with_ended: bool, as_json: bool) -> None:
    """List the open requests, the nearest deadline first.

    \b
    Examples:
      tastemaker erasure list
      tastemaker erasure list --all --json

    \b
    Exit status:
      0  no request is open after its deadline
      1  one is
    """
    from datetime import UTC, datetime

    found, now = _requests().listed(only_open=not with_ended), datetime.now(UTC)
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json([one.to_json(now) for one in found])
    else:
        for one in found:
            overdue = ", overdue" if one.is_overdue(now) else ""
            click.echo(f"{one.number}  {one.state}{overdue}  due {one.due_at:%Y-%m-%d}  {one.reason}")
        if not found:
            click.echo("no request" if with_ended else "no request is open")
    if any(one.is_overdue(now) for one in found):
        raise click.exceptions.Exit(1)


@erasure.command()
@_number_argument
@as_json_option
def show(number: int, as_json: bool) -> None:
    """Show a request, and where the user remains.

    \b
    Examples:
      tastemaker erasure show 3
      tastemaker erasure show 3 --json | jq .remains
    """
    _print(_requests().get(number), as_json)


@erasure.command()
@_number_argument
@_reason_option
@by_option
@as_json_option
def approve(number: int, reason: str, by: str | None, as_json: bool) -> None:
    """Approve a request.

    `tastemaker flows serve` then erases the user.

    \b
    Examples:
      tastemaker erasure approve 3 --reason "identity checked"
    """
    _print(_requests().approve(number, actor=person(by), reason=reason), as_json)


@erasure.command()
@_number_argument
@_reason_option
@by_option
@as_json_option
def decline(number: int, reason: str, by: str | None, as_json: bool) -> None:
    """Decline a request, and delete its copy of the id.

    \b
    Examples:
      tastemaker erasure decline 3 --reason "not the account's owner"
    """
    _print(_requests().decline(number, actor=person(by), reason=reason), as_json)


def _requests() -> ErasureRequests:
    from tastemaker.privacy.erasure_requests import ErasureRequests
    from tastemaker.settings import load_settings

    return ErasureRequests(load_settings())


def _print(request: ErasureRequest, as_json: bool) -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json(request.to_json(now))
        return
    overdue = ", overdue" if request.is_overdue(now) else ""
    click.echo(f"erasure request {request.number}: {request.state}{overdue}")
    for line in _lines(request):
        click.echo(f"  {line}")


def _lines(request: ErasureRequest) -> Iterator[str]:
    yield f"requested  {request.requested_at:%Y-%m-%d %H:%M} UTC by {request.requested_by}: {request.reason}"
    if request.is_open:
        yield f"deadline   {request.due_at:%Y-%m-%d %H:%M} UTC"
    if request.decided_at is not None:
        word = "declined" if request.state == "declined" else "approved"
        yield f"{word:9}  {request.decided_at:%Y-%m-%d %H:%M} UTC by {request.decided_by}: {request.decision}"
    if request.attempts and request.problem_text is not None:
        yield f"attempts   {request.attempts}, the newest: {request.problem_text}"
    for place in request.remains:
        yield f"remains    {place['place']}: {place['found']:,} {place['how']}"
    if request.attempt_at is not None:
        yield f"next       {request.attempt_at:%Y-%m-%d %H:%M} UTC, by tastemaker flows serve"
    if request.state == "waiting":
        yield f"next       tastemaker erasure approve {request.number} --reason REASON"
    if request.state == "done":
        yield (
            f"erased     from {request.erased_places:,} places; {request.searched_places:,} places "
            f"({request.looked_at:,} rows, values and bytes) searched afterwards: nothing remains"
        )
