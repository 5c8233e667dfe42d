"""`tastemaker data prune` and `tastemaker data adopt`: what the lake holds against what the source is."""

from __future__ import annotations

import click


@click.command()
@click.option("--yes", is_flag=True, help="Remove them; without it they are only counted.")
def prune(yes: bool) -> None:
    """Remove days from the lake that the source does not cover.

    These are the days before its first and after its last. They stay in the lake otherwise, since people also
    load month by month. Events, quarantine and counts of these days go too; features and models follow with
    the next run. Feedback from services stays.

    \b
    Examples:
      tastemaker data prune          how many rows on which days
      tastemaker data prune --yes    remove them
    """
    from tastemaker.data.prune import prune as remove
    from tastemaker.data.source_identity import refuse_mixture
    from tastemaker.data.source_period import outside, require_events
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    source, lake = workspace.source, workspace.lake
    offered = source.days()
    require_events(offered, lake, source.name)
    refuse_mixture(source, lake, offered)
    found = outside(lake, source.name, offered)
    if not found.days:
        click.echo(f"The lake holds no day that the source {source.name} does not cover.")
    elif yes:
        removed = remove(source, lake, workspace.engine)
        click.echo(f"Removed {removed}. Next: tastemaker run")
    else:
        click.echo(f"{found} are in the lake and not covered by the source {source.name}.")
        click.echo("Nothing was removed. To remove them: tastemaker data prune --yes")


@click.command()
@click.option("--yes", is_flag=True, help="Adopt; without it only what would be adopted is shown.")
def adopt(yes: bool) -> None:
    """Accept that the source of the lake's data has moved.

    A source has moved if its path, host or database is another one. A project folder that was moved or copied
    with its data does not need this, nor does a file with the same content.

    \b
    Examples:
      tastemaker data adopt          what the lake holds, and what the source has in common with it
      tastemaker data adopt --yes    the same source from now on
    """
    from tastemaker.data import source_identity
    from tastemaker.data.source_period import held
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    source, lake = workspace.source, workspace.lake
    others = sorted(source_identity.foreign_identities(source, lake))
    if not others:
        click.echo(f"The lake holds nothing but events of {source.identity}.")
        return
    days, offered = lake.days("landed_events", part=source.name), source.days()
    common = sum(day in offered for day in days)
    click.echo(f"in the lake: {held(lake, source.name, days)} of {', '.join(others)}")
    click.echo(f"the source:  {source.identity}, {len(offered):,} days, {common:,} of them in the lake too")
    if yes:
        source_identity.adopt(source, lake)
        click.echo("Adopted. The next run reads days that differ again: tastemaker run")
    else:
        click.echo("Nothing was changed. If they are the same source: tastemaker data adopt --yes")
