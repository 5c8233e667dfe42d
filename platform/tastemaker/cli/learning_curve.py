"""`tastemaker curve`: how much history a model needs, and how fast it goes stale."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--weeks", default=8, show_default=True, type=click.IntRange(2, 104), help="Weeks of staleness."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the PNG goes; a page goes beside it.  [default: reports/curve.png in the home folder]",
)
def curve(models: tuple[str, ...], weeks: int, as_json: bool, plot: Path | None) -> None:
    """Measure how much history a MODEL needs and how it goes stale.

    Each is trained on the last 1/8, 1/4 and 1/2 of the training window and on the whole, and judged on the
    test period. Then it is trained once and judged in each of the following weeks, beside itself trained
    again for that week. What was judged once is not judged again. The loss a week is stored for whoever
    decides when to train again.

    \b
    Examples:
      tastemaker curve ials trending
      tastemaker curve ranker --weeks 4
      tastemaker curve ials --json | jq '.[].staleness.days_until_max_loss'
    """
    from tastemaker.evaluation.robustness import learning_curve, report, staleness
    from tastemaker.html import index
    from tastemaker.plugins.discovery import get
    from tastemaker.util import strict_json
    from tastemaker.workflows.workspace import Workspace

    opened, found = Workspace.open(), []
    picture = plot or opened.settings.reports / "curve.png"
    page = index.page_beside(picture)
    for plugin in [get(model) for model in dict.fromkeys(models)]:

        def told(what: str, figure: float, model: str = plugin.name) -> None:
            click.echo(f"{model}  {what}  {figure:.4f}", err=True)

        backtester = opened.backtester(plugin)
        learning = learning_curve.learning_curve(backtester, told)
        found.append(report.Curves(learning, staleness.measure(backtester, weeks, told)))
    report.draw(found, picture)
    report.write_page(found, picture, page)
    index.include(page, opened.settings.reports)
    click.echo(f"wrote {picture} and {page}", err=True)
    if as_json:
        click.echo(strict_json.dumps([report.to_dict(one) for one in found]))
    else:
        for one in found:
            click.echo(report.verdict(one))
