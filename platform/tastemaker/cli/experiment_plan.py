"""`tastemaker experiment plan`."""

from __future__ import annotations

import click

from tastemaker.cli.promotion import as_json_option


@click.command()
@click.option("--write", is_flag=True, help="Compile it again from the database.")
@as_json_option
def plan(write: bool, as_json: bool) -> None:
    """Show the plan in force: which experiments run, on which units.

    It is the file that controllers read, in the folder experiments of the home folder. Changes of experiments
    and promotions write it by themselves.

    \b
    Examples:
      tastemaker experiment plan
      tastemaker experiment plan --write
      tastemaker experiment plan --json | jq '.experiments[].name'
    """
    import msgspec

    from tastemaker.experiments.lifecycle import kills
    from tastemaker.experiments.plan import percentage
    from tastemaker.experiments.plan_file import EMPTY_PLAN, is_older, newest_archived
    from tastemaker.settings import load_settings
    from tastemaker.workflows.workspace import Workspace

    settings = load_settings()
    path = settings.experiments_root / kills.PLAN
    if write:
        Workspace(settings).experiments.publish()
    found = kills.read_plan(path) if path.exists() else None
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json(msgspec.to_builtins(found or EMPTY_PLAN))
        return
    if found is None:
        click.echo("no plan: no experiment was started; tastemaker experiment plan --write compiles one")
        return
    click.echo(f"{path}: revision {found.revision}, default {found.default or 'none'}")
    last = newest_archived(path.parent)
    if last is not None and is_older(found, last):
        click.echo(
            f"! revision {last.revision} was written later, and controllers refuse this one: "
            "tastemaker experiment plan --write"
        )
    for one in found.experiments:
        shares = ", ".join(f"{each.name} {percentage(each.end - each.start)}" for each in one.variants)
        killed = "  killed" if one.killed else ""
        click.echo(f"{one.name}  {one.namespace}  {percentage(one.enrolment)} of the units: {shares}{killed}")
    if not found.experiments:
        click.echo("no experiment runs")
