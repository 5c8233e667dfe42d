"""`tastemaker experiment history`."""

from __future__ import annotations

import sys

import click

from tastemaker.cli.promotion import as_json_option


@click.command()
@click.argument("name")
@as_json_option
def history(name: str, as_json: bool) -> None:
    """List the changes of NAME, and verify that none was edited.

    Exit status 1 if one was edited or removed.

    \b
    Examples:
      tastemaker experiment history ranker-2
      tastemaker experiment history ranker-2 --json | jq '.changes[-1].digest'
    """
    from tastemaker.workflows.workspace import Workspace

    experiments = Workspace.open().experiments
    changes, wrong = experiments.history(name), experiments.verify(name)
    if as_json:
        from tastemaker.cli.json_output import print_json

        listed = [one._asdict() | {"at": one.at.isoformat()} for one in changes]
        print_json({"changes": listed, "wrong": list(wrong)})
    else:
        for one in changes:
            became = "" if one.from_state == one.to_state else f" -> {one.to_state}"
            at = f"{one.at:%Y-%m-%d %H:%M:%S} UTC"
            click.echo(f"{one.number}  {at}  {one.actor}  {one.action}{became}: {one.reason}")
        click.echo("\n".join(f"wrong: {one}" for one in wrong) or "no change was edited or removed")
    sys.exit(1 if wrong else 0)
