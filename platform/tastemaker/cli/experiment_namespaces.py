"""`tastemaker experiment namespaces`."""

from __future__ import annotations

import click

from tastemaker.cli.numbers import Number
from tastemaker.cli.promotion import as_json_option


@click.group("namespaces", invoke_without_command=True)
@as_json_option
@click.pass_context
def namespaces(context: click.Context, as_json: bool) -> None:
    """List the namespaces: surfaces whose experiments share no unit.

    \b
    Examples:
      tastemaker experiment namespaces
      tastemaker experiment namespaces add basket --unit session
    """
    if context.invoked_subcommand is not None:
        return
    from tastemaker.util.counted import counted
    from tastemaker.util.durations import DAY_SECONDS, in_words
    from tastemaker.workflows.workspace import Workspace

    found = Workspace.open().experiments.namespaces()
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json([one._asdict() | {"created_at": one.created_at.isoformat()} for one in found])
        return
    for one in found:
        cool_down = in_words(one.cool_down_seconds / DAY_SECONDS)
        click.echo(f"{one.name}  {one.unit}  {counted(one.experiments, 'experiment')}  cool-down {cool_down}")
    if not found:
        click.echo("no namespace; the first experiment makes one")


@namespaces.command("add")
@click.argument("name")
@click.option(
    "--unit",
    type=click.Choice(["user", "device", "session", "request"]),
    default="user",
    show_default=True,
    help="What is assigned: users without an account are in no experiment of users.",
)
@click.option(
    "--cool-down",
    "cool_down_days",
    type=Number(0, 365),
    help="Days that released units stay free.  [default: the problem's longest window]",
)
@as_json_option
def add(name: str, unit: str, cool_down_days: float | None, as_json: bool) -> None:
    """Make the namespace NAME.

    \b
    Examples:
      tastemaker experiment namespaces add basket --unit session
    """
    from typing import cast

    from tastemaker.event_log.log_join import window_seconds
    from tastemaker.experiments.plan import Unit
    from tastemaker.util.durations import DAY_SECONDS, in_words
    from tastemaker.workflows.workspace import Workspace

    experiments = Workspace.open().experiments
    if cool_down_days is None:
        cool_down_days = window_seconds(experiments.problem) / DAY_SECONDS
    seconds = round(cool_down_days * DAY_SECONDS)
    experiments.add_namespace(name, cast("Unit", unit), cool_down_seconds=seconds)
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json({"namespace": name, "unit": unit, "cool_down_days": cool_down_days})
        return
    click.echo(f"namespace {name} of the unit {unit}, cool-down {in_words(cool_down_days)}")
