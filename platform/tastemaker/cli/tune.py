"""`tastemaker tune`: search for a model's hyperparameters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from tastemaker.tuning.study import TrialResult

UNITS = {"s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """Click parameter type of a duration, such as 90s, 10m or 1.5h, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds that a duration stands for.

        Args:
            value: A number with its unit: s, m or h.
            param: The option, for the error message; None outside of a command.
            ctx: The command's context, for the error message; None outside of a command.

        Returns:
            Seconds, above 0.

        Raises:
            BadParameter: It is not a duration, or it is 0.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(value).strip())
        if not found or float(found[1]) == 0:
            self.fail(f"{value!r} is not a duration above 0; write 90s, 10m or 1.5h", param, ctx)
        return float(found[1]) * UNITS[found[2]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model")
@click.option("--trials", default=30, show_default=True, type=click.IntRange(1), help="Number of trials.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 64), help="Number of processes.")
@click.option(
    "--for",
    "seconds",
    type=Duration(),
    metavar="TIME",
    help="Start no trial after this time: 90s, 10m, 1.5h.  [default: no limit]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Path of the PNG; an HTML page is written beside it.  "
    "[default: reports/tune_MODEL.png in the home folder]",
)
def tune(model: str, trials: int, jobs: int, seconds: float | None, as_json: bool, plot: Path | None) -> None:
    """Search for better hyperparameters of MODEL.

    Later runs train the model with the best hyperparameters found, if they are better.

    The search uses the training window only: it trains on the first part and evaluates on the last. The best
    trial replaces the config in use only if it is significantly better on the days before the evaluated ones,
    which chose no trial; else the config in use is kept. Both are then evaluated on the test period, for
    information only. After a stop or a crash, the same command continues. Hyperparameters that
    tastemaker.toml sets are not searched.

    \b
    Examples:
      tastemaker tune ials
      tastemaker tune ranker --trials 50 --jobs 2 --for 1h
      tastemaker tune ease --json | jq .test.difference
    """
    from rich.console import Console

    from tastemaker.html import index
    from tastemaker.plugins.discovery import get
    from tastemaker.tuning import plot as plotting
    from tastemaker.tuning import report
    from tastemaker.tuning.page import write_page
    from tastemaker.util import strict_json
    from tastemaker.workflows.tune import tune as search
    from tastemaker.workflows.workspace import Workspace

    plugin, opened = get(model), Workspace.open()
    picture = plot or opened.settings.reports / f"tune_{model}.png"
    page = index.page_beside(picture)
    found = search(opened, plugin, trials=trials, jobs=jobs, seconds=seconds, progress=_progress(trials))
    plotting.draw(found, picture)
    write_page(found, picture, page)
    index.include(page, opened.settings.reports)
    click.echo(f"wrote {picture} and {page}", err=True)
    if as_json:
        click.echo(strict_json.dumps(report.to_dict(found)))
    else:
        report.show(found, Console(highlight=False))


def _progress(trials: int) -> Callable[[TrialResult, TrialResult | None, int], None]:
    """Return a callback that prints one line per trial to stderr."""
    from tastemaker.tuning.report import line

    def show(trial: TrialResult, best: TrialResult | None, ended: int) -> None:
        click.echo(f"{ended:>{len(str(trials))}} of {trials}  {line(trial, best)}", err=True)

    return show
