"""`tastemaker ablation`: what each feature of a model contributes, and what it costs."""

from __future__ import annotations

from pathlib import Path

import click

from tastemaker.cli.names import Name


@click.command("ablation", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model")
@click.option(
    "--feature",
    "features",
    multiple=True,
    type=Name(),
    metavar="NAME",
    help="A feature to leave out; may be repeated.  [default: each in turn]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the PNG; an HTML page is written beside it.  "
    "[default: reports/ablation-MODEL.png in the home folder]",
)
def ablation(model: str, features: tuple[str, ...], as_json: bool, plot: Path | None) -> None:
    """Measure what each feature of a MODEL adds and costs.

    The model is fitted without each feature in turn, and evaluated on the test period, user by user compared
    with the model that has all features. Both answer the same requests, to compare their CPU time. Backtests
    that exist are reused.

    \b
    Examples:
      tastemaker ablation ranker
      tastemaker ablation ranker --feature item_price_paid --feature ials
      tastemaker ablation ranker --json | jq '.features[] | [.name, .verdict]'
    """
    from tastemaker.plugins.discovery import get
    from tastemaker.util import strict_json
    from tastemaker.workflows import ablation as workflow
    from tastemaker.workflows.workspace import Workspace

    opened = Workspace.open()
    plugin = get(model)

    def progress(what: str, figure: float) -> None:
        click.echo(f"{plugin.name}  {what}  {figure:.4f}", err=True)

    found, page = workflow.measure(opened, plugin, features, progress, picture=plot)
    click.echo(f"wrote {page.with_suffix('.png')} and {page}", err=True)
    from tastemaker.evaluation.robustness import ablation_report

    click.echo(
        strict_json.dumps(ablation_report.to_dict(found)) if as_json else ablation_report.terminal(found)
    )
