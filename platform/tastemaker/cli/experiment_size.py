"""`tastemaker experiment size`: how many users an experiment needs, and how long that takes."""

from __future__ import annotations

import click


@click.command("size", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def size(name: str, as_json: bool) -> None:
    """Compute how many users NAME needs, and for how long.

    The last four weeks of the log are replayed as if NAME had begun with them. Write the number into its
    design: tastemaker experiment revise NAME --from FILE.yaml.

    \b
    Examples:
      tastemaker experiment size ranker-2
      tastemaker experiment size ranker-2 --json | jq .units
    """
    from tastemaker.event_log.shipping import collect
    from tastemaker.experiments.analysis.summary import plan_lines
    from tastemaker.util import strict_json
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    collect(workspace.settings, workspace.lake)
    found = workspace.experiment_looks.plan(name)
    if as_json:
        by_day = [one._asdict() for one in found.by_day]
        click.echo(strict_json.dumps({**vars(found), "by_day": by_day, "sentence": found.sentence}))
        return
    for line in plan_lines(found):
        click.echo(line)
