"""`tastemaker seeds`: measure how much a model's figure depends on the training seed."""

from __future__ import annotations

import click

from tastemaker.cli.names import Name


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=-1, required=True, type=Name(), metavar="MODEL...")
@click.option(
    "--seeds",
    "count",
    default=5,
    show_default=True,
    type=click.IntRange(2, 1000),
    help="Number of seeds to train with.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def seeds(models: tuple[str, ...], count: int, as_json: bool) -> None:
    """Measure how a MODEL's figure varies with the seed.

    Each model is trained with several seeds, and the spread of its figure over seeds is compared with the
    standard error over users. The first seed is the one in the settings. Backtests that exist are reused,
    and the leaderboard shows the spread from then on.

    \b
    Examples:
      tastemaker seeds bpr ranker
      tastemaker seeds bpr --seeds 20
      tastemaker seeds bpr --json | jq '.[] | [.model, .larger]'
    """
    from rich.console import Console

    from tastemaker.evaluation import results
    from tastemaker.evaluation import seeds as spreads
    from tastemaker.evaluation.leaderboard.terminal import seeds_table
    from tastemaker.plugins.discovery import get
    from tastemaker.util import strict_json
    from tastemaker.workflows.workspace import Workspace

    opened = Workspace.open()
    problem, measured = opened.problem, []
    for plugin in [get(model) for model in dict.fromkeys(models)]:
        spread = spreads.measure(
            opened.backtester(plugin),
            opened.settings.seed,
            count,
            lambda what, figure, model=plugin.name: click.echo(f"{model}  {what}  {figure:.4f}", err=True),  # type: ignore[misc]
        )
        backtest = results.get(opened.engine, spread.backtest_id)
        if backtest is not None:
            measured.append((backtest, spread))
    metric = problem.metric
    if as_json:
        listed = [
            {"model": one.model, "metric": metric} | spreads.to_dict(spread, metric, one.metrics[metric])
            for one, spread in measured
        ]
        click.echo(strict_json.dumps(listed))
    else:
        Console(highlight=False).print(seeds_table(measured, metric, problem.placement.k))
