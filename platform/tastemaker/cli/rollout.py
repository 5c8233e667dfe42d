"""`tastemaker rollout`: versions on their way into production, and what people do with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.numbers import ROW_NUMBER
from tastemaker.cli.person import by_option, person
from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from tastemaker.rollouts.store import Rollout
    from tastemaker.workflows.workspace import Workspace

_Command = Callable[..., None]
_number_argument = click.argument("number", type=ROW_NUMBER)
_reason_option = click.option("--reason", required=True, help="Why, in a few words; it is recorded.")


@click.group()
def rollout() -> None:
    """Follow a version into production, hold it, or end it.

    A run begins the rollout of a better version, as `promotion.path` says. `tastemaker flows serve` takes its
    steps; each needs its time and its guardrails.

    \b
    Examples:
      tastemaker rollout list
      tastemaker rollout show 3                                 its steps, and what it waits for
      tastemaker rollout approve 3 --reason "figures read"
      tastemaker rollout hold 3 --reason "the sale begins"      no further step
      tastemaker rollout resume 3 --reason "the sale is over"
      tastemaker rollout roll-back 3 --reason "empty lists"     all users get the champion again
    """


@rollout.command("list")
@click.option("--all", "with_ended", is_flag=True, help="Also those that have ended.")
@as_json_option
def list_rollouts(with_ended: bool, as_json: bool) -> None:
    """List the rollouts, the newest first.

    \b
    Examples:
      tastemaker rollout list
      tastemaker rollout list --all --json | jq '.[] | select(.state == "rolled_back") | .version_id'
    """
    from tastemaker.rollouts import store
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    found = [one for one in store.list_rollouts(workspace.engine) if with_ended or one.is_open]
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json([_as_json(one) for one in found])
        return
    for one in found:
        click.echo(
            f"{one.id}  {one.state.replace('_', ' ')}  {one.path}  {one.model} {one.version_id}  {one.why}"
        )
    if not found:
        click.echo("no rollout" if with_ended else "no rollout is open")


@rollout.command()
@_number_argument
@as_json_option
def show(number: int, as_json: bool) -> None:
    """Show a rollout: its path, its steps and their figures.

    \b
    Examples:
      tastemaker rollout show 3
      tastemaker rollout show 3 --json | jq '.changes[-1].evidence'
    """
    from tastemaker.rollouts import store
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    _print(workspace, store.read_rollout(workspace.engine, number), as_json)


def _action_command(described: Callable[[], None]) -> click.Command:
    """Return a command of an action that needs a rollout and a reason.

    Args:
        described: A function with the action's name and the command's help.
    """
    action = described.__name__

    def run(number: int, reason: str, by: str | None, as_json: bool) -> None:
        from tastemaker.workflows.rollouts import actions
        from tastemaker.workflows.workspace import Workspace

        workspace = Workspace.open()
        _print(workspace, getattr(actions, action)(workspace, number, person(by), reason), as_json)

    command: _Command = run
    for add in (as_json_option, by_option, _reason_option, _number_argument):
        command = add(command)
    return rollout.command(action.replace("_", "-"), help=described.__doc__)(command)


@_action_command
def approve() -> None:
    """Approve a version, where `promotion.approval` requires it.

    \b
    Examples:
      tastemaker rollout approve 3 --reason "figures read"
    """


@_action_command
def decline() -> None:
    """End a rollout without its version: the champion stays.

    \b
    Examples:
      tastemaker rollout decline 3 --reason "not before the sale"
    """


@_action_command
def hold() -> None:
    """Take no further step until `resume`.

    Users who have the version keep it. Guardrails still roll it back.

    \b
    Examples:
      tastemaker rollout hold 3 --reason "the sale begins"
    """


@_action_command
def resume() -> None:
    """Continue a rollout that is held.

    \b
    Examples:
      tastemaker rollout resume 3 --reason "the sale is over"
    """


@_action_command
def roll_back() -> None:
    """Give all users the champion again, and end the rollout.

    \b
    Examples:
      tastemaker rollout roll-back 3 --reason "empty lists"
    """


def _print(workspace: Workspace, found: Rollout, as_json: bool) -> None:
    """Print a rollout with its changes."""
    from tastemaker.rollouts import store
    from tastemaker.rollouts.waiting import waits_for

    changes = store.read_changes(workspace.engine, found.id)
    waits = waits_for(found, changes, workspace.settings.promotion)
    if as_json:
        from tastemaker.cli.json_output import print_json

        listed = [one._asdict() | {"at": one.at.isoformat(timespec="seconds")} for one in changes]
        print_json(_as_json(found) | {"waits_for": waits or None, "changes": listed})
        return
    click.echo(store.named(found))
    if waits:
        click.echo(f"  waits for {waits}")
    click.echo(f"  path      {found.path}: {found.why}")
    click.echo(f"  champion  {found.champion_id or 'none'} at the start")
    if found.experiment is not None:
        click.echo(
            f"  steps     by experiment {found.experiment}: tastemaker experiment show {found.experiment}"
        )
    for name, value in found.advice.items():
        click.echo(f"  {name.replace('_', ' ')}: {value}")
    for one in changes:
        click.echo(
            f"{one.at:%Y-%m-%d %H:%M} UTC  {one.state.replace('_', ' ')}, by {one.actor}: {one.reason}"
        )
        for line in _figures(one.evidence):
            click.echo(f"    {line}")


def _figures(evidence: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures that a change rests on; a list, such as that of guardrails, has a line each."""
    for name, value in evidence.items():
        for one in value if isinstance(value, list) else [value]:
            words = ", ".join(f"{key} {part}" for key, part in one.items()) if isinstance(one, dict) else one
            yield f"{name}: {words}".replace("_", " ")


def _as_json(found: Rollout) -> dict[str, Any]:
    ended = None if found.ended_at is None else found.ended_at.isoformat(timespec="seconds")
    started = found.started_at.isoformat(timespec="seconds")
    return vars(found) | {"advice": dict(found.advice), "started_at": started, "ended_at": ended}
