"""`tastemaker experiment look`: takes a look at an experiment's result and prints it."""

from __future__ import annotations

import click


@click.command("look", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all effects.")
def look(name: str, as_json: bool) -> None:
    """Compute the result of NAME as of now, and store it.

    The asset experiment_looks does the same every night. A look decides only where the design planned one;
    looking more often changes nothing. It drains the log first, so that what was just answered is in it.

    \b
    Examples:
      tastemaker experiment look ranker-2
      tastemaker experiment look ranker-2 --json | jq -r .sentence
    """
    from tastemaker.event_log.shipping import collect
    from tastemaker.experiments.analysis.summary import as_plain, in_lines
    from tastemaker.util import strict_json
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    collect(workspace.settings, workspace.lake)
    found = workspace.experiment_looks.take(name)
    if as_json:
        click.echo(strict_json.dumps(as_plain(found), default=lambda timestamp: timestamp.isoformat()))
        return
    for line in in_lines(found):
        click.echo(line)
