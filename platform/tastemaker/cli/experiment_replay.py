"""`tastemaker experiment replay`."""

from __future__ import annotations

import sys

import click

from tastemaker.cli.promotion import as_json_option

_SHOWN = 10


@click.command()
@as_json_option
def replay(as_json: bool) -> None:
    """Compute all logged assignments again by their plans.

    The log is drained first. Each exposure names the plan that was in force. Exposures that their plan does
    not explain are shown with the reason, and the status is 1. Forced units are left out; whether a unit met
    the targeting is not in the log.

    \b
    Examples:
      tastemaker experiment replay
      tastemaker experiment replay --json | jq '.disagreements | length'
    """
    from collections import Counter

    from tastemaker.cli.json_output import print_json
    from tastemaker.data.lake import Lake
    from tastemaker.event_log.exposures import exposures
    from tastemaker.event_log.shipping import collect
    from tastemaker.experiments import assignment_sql
    from tastemaker.experiments.plan_file import read_archive
    from tastemaker.settings import load_settings
    from tastemaker.util.counted import counted

    settings = load_settings()
    folder = settings.experiments_root
    plans = read_archive(folder)
    lake = Lake(settings.lake)
    collect(settings, lake)
    with lake.connect() as connection:
        found = assignment_sql.replay(connection, exposures(connection), plans, folder)
    if as_json:
        print_json(found._asdict() | {"disagreements": [one._asdict() for one in found.disagreements]})
    else:
        differ = len(found.disagreements)
        click.echo(f"{counted(found.exposures, 'exposure')}, of which {differ:,} are not as their plan says")
        counts = Counter((one.experiment, one.reason) for one in found.disagreements)
        for (name, reason), count in counts.items():
            click.echo(f"{count:,} of {name}: {reason}")
        for one in found.disagreements[:_SHOWN]:
            click.echo(
                f"  {one.experiment} epoch {one.epoch}  {one.unit}  {one.variant}  "
                f"plan {one.plan_digest or 'none'}  {one.reason}"
            )
        for line in found.unchecked:
            click.echo(f"not checked whether units were enrolled: {line}, whose file of units is gone")
    if found.disagreements:
        sys.exit(1)
