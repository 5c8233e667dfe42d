"""`tastemaker experiment revise`."""

from __future__ import annotations

from pathlib import Path

import click

from tastemaker.cli.person import by_option, person
from tastemaker.cli.promotion import as_json_option


@click.command()
@click.argument("name")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="YAML file with the whole new design.",
)
@click.option("--reason", default="as written", show_default=True, help="Why; it is recorded.")
@by_option
@as_json_option
def revise(name: str, file: Path, reason: str, by: str | None, as_json: bool) -> None:
    """Replace the design of NAME, which has not started.

    Once it runs, a changed design is a new epoch: `tastemaker experiment new-epoch`.

    \b
    Examples:
      tastemaker experiment show ranker-2 --design > ranker-2.yaml
      tastemaker experiment revise ranker-2 --from ranker-2.yaml
    """
    from tastemaker.experiments.design_file import read_design_file
    from tastemaker.workflows.experiment_draft import uncarried_names
    from tastemaker.workflows.workspace import Workspace

    workspace, design = Workspace.open(), read_design_file(file)
    experiments = workspace.experiments
    experiments.check(design)
    change = experiments.change(name, "revise", actor=person(by), reason=reason, design=design)
    warnings = uncarried_names(workspace, design)
    if as_json:
        from tastemaker.cli.json_output import print_json

        print_json(change._asdict() | {"at": change.at.isoformat(), "warnings": warnings})
        return
    click.echo(f"{name}: revision {change.revision} of the design; it is a draft")
    for warning in warnings:
        click.echo(f"! {warning}")
    click.echo(f"next: tastemaker experiment start {name}")
