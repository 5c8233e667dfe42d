"""`tastemaker learning-curve`: how much history a model needs, and how fast it goes stale."""

from __future__ import annotations

from pathlib import Path

import click

from tastemaker.cli.names import Name


@click.command("learning-curve", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=-1, required=True, type=Name(), metavar="MODEL...")
@click.option(
    "--weeks",
    default=8,
    show_default=True,
    type=click.IntRange(2, 104),
    help="Number of weeks after training over which staleness is measured.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the PNG; an HTML page is written beside it.  "
    "[default: reports/learning_curve.png in the home folder]",
)
def curve(models: tuple[str, ...], weeks: int, as_json: bool, plot: Path | None) -> None:
    """Measure a MODEL's learning curve and its staleness.

    Each model is trained on the last 1/8, 1/4 and 1/2 of the training window and on the whole window, and
    evaluated on the test period. Then it is trained once and evaluated in each of the following weeks,
    compared with the same model retrained for that week. Backtests that exist are reused. The loss per week
    is stored, so that a retraining schedule can be based on it.

    \b
    Examples:
      tastemaker learning-curve ials trending
      tastemaker learning-curve ranker --weeks 4
      tastemaker learning-curve ials --json | jq '.[].staleness.days_until_max_loss'
    """
    from tastemaker.evaluation.robustness import learning_curve, report, staleness
    from tastemaker.html import index
    from tastemaker.plugins.discovery import get
    from tastemaker.util import strict_json
    from tastemaker.workflows.workspace import Workspace

    opened, found = Workspace.open(), []
    picture = plot or opened.settings.reports / "learning_curve.png"
    page = index.page_beside(picture)
    for plugin in [get(model) for model in dict.fromkeys(models)]:

        def progress(what: str, figure: float, model: str = plugin.name) -> None:
            click.echo(f"{model}  {what}  {figure:.4f}", err=True)

        backtester = opened.backtester(plugin)
        learning = learning_curve.learning_curve(backtester, progress)
        found.append(report.Curves(learning, staleness.measure(backtester, weeks, progress)))
    report.draw(found, picture)
    report.write_page(found, picture, page)
    index.include(page, opened.settings.reports)
    click.echo(f"wrote {picture} and {page}", err=True)
    if as_json:
        click.echo(strict_json.dumps([report.to_dict(one) for one in found]))
    else:
        for one in found:
            click.echo(report.summary(one))
