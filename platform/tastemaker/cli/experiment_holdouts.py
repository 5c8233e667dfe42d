"""`tastemaker experiment holdouts`."""

from __future__ import annotations

import click

from tastemaker.cli.names import Name
from tastemaker.cli.numbers import Number
from tastemaker.cli.promotion import as_json_option


@click.group("holdouts", invoke_without_command=True)
@as_json_option
@click.pass_context
def holdouts(context: click.Context, as_json: bool) -> None:
    """List the holdouts: units that no experiment enrols.

    They measure what all experiments together earn.

    \b
    Examples:
      tastemaker experiment holdouts
      tastemaker experiment holdouts add spring --share 0.05 --reason "what all experiments of spring earn"
      tastemaker experiment holdouts end spring
    """
    if context.invoked_subcommand is not None:
        return
    from tastemaker.experiments.plan import percentage
    from tastemaker.workflows.workspace import Workspace

    found = Workspace.open().experiments.holdouts()
    if as_json:
        from tastemaker.cli.json_output import print_json

        times = [{"starts_at": one.starts_at, "ends_at": one.ends_at} for one in found]
        print_json(
            [
                one._asdict() | {key: at and at.isoformat() for key, at in both.items()}
                for one, both in zip(found, times, strict=True)
            ]
        )
        return
    for one in found:
        state = "ended" if one.ends_at else "in force"
        covers = ", ".join(one.namespaces) or "all namespaces"
        click.echo(f"{one.name}  {percentage(one.share)} of the {one.unit}s  {covers}  {state}  {one.reason}")
    if not found:
        click.echo("no holdout")


@holdouts.command("add")
@click.argument("name")
@click.option(
    "--share", type=Number(0, 0.5, min_open=True), required=True, help="Share of the units, 0 to 0.5."
)
@click.option(
    "--unit",
    type=click.Choice(["user", "device", "session"]),
    default="user",
    show_default=True,
    help="What is held out.",
)
@click.option(
    "--namespace",
    "covers",
    multiple=True,
    type=Name(),
    help="Only this namespace; may be given more than once.",
)
@click.option("--reason", required=True, help="What it is for; it is recorded.")
@as_json_option
def add(name: str, share: float, unit: str, covers: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Hold out a share of the units from now on.

    Units that are in an experiment leave it: make holdouts before experiments start.

    \b
    Examples:
      tastemaker experiment holdouts add spring --share 0.05 --reason "what all experiments of spring earn"
    """
    from typing import cast

    from tastemaker.experiments.plan import BUCKETS, Unit
    from tastemaker.workflows.workspace import Workspace

    experiments = Workspace.open().experiments
    experiments.add_holdout(
        name, unit=cast("Unit", unit), share=round(share * BUCKETS), covers=covers, reason=reason
    )
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json({"holdout": name, "unit": unit, "share": share})
        return
    click.echo(f"holdout {name}: {100 * share:g} % of the {unit}s are in no experiment")
    others = [] if covers else [one for one in experiments.namespaces() if one.unit != unit]
    for one in others:
        click.echo(f"requests without a {unit} are not held out of {one.name}, which assigns a {one.unit}")


@holdouts.command("end")
@click.argument("name")
@as_json_option
def end(name: str, as_json: bool) -> None:
    """End the holdout NAME: its units may be enrolled again.

    \b
    Examples:
      tastemaker experiment holdouts end spring
    """
    from tastemaker.workflows.workspace import Workspace

    Workspace.open().experiments.end_holdout(name)
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json({"holdout": name, "ended": True})
        return
    click.echo(f"holdout {name} has ended")
