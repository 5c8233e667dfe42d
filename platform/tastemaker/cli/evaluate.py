"""`tastemaker evaluate`: estimate what a version would earn from the request log, before any experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tastemaker.cli.versions import named
from tastemaker.util import strict_json

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("version")
@click.option("--from-log", is_flag=True, help="Evaluate from the platform's own request log.")
@click.option(
    "--against",
    metavar="VERSION|log",
    help="Compare with another version, or with what was served.  [default: the champion, else log]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(version: str, from_log: bool, against: str | None, as_json: bool) -> None:
    """Forecast what a version would earn, from logged requests.

    The logged requests must have been answered by a stochastic policy. The uplift over another version is
    forecast, too. VERSION is a version's id, or a model's name for its newest version. Diagnostics are
    printed first: where the log can't support an estimate, they give the reason and what to log instead, and
    no figure is printed. The forecast is stored, so that an experiment's result can be compared with it.

    \b
    Examples:
      tastemaker evaluate ease --from-log
      tastemaker evaluate 20260301-120000-000000-0123456789ab --from-log --against log
      tastemaker evaluate ease --from-log --json | jq .uplift
    """
    if not from_log:
        raise click.UsageError("add --from-log: the request log is the only source so far")
    from tastemaker.workflows.workspace import Workspace

    _forecast(Workspace.open(), version, against, as_json)


def _forecast(opened: Workspace, version: str, against: str | None, as_json: bool) -> None:
    from rich.console import Console

    from tastemaker.evaluation.off_policy.platform_log import forecast
    from tastemaker.evaluation.off_policy.terminal import show_diagnostics, show_forecast
    from tastemaker.event_log.shipping import collect

    settings, console = opened.settings, Console(highlight=False)
    mine = named(opened, version)
    collect(settings, opened.lake)
    inputs = forecast.prepare(
        opened.lake,
        opened.registry,
        opened.problem,
        mine,
        _rival(opened, mine, against),
        feature_root=settings.features,
        seed=settings.seed,
    )
    if not as_json:
        show_diagnostics(inputs, console)
    found = forecast.compute(inputs, seed=settings.seed)
    number = forecast.put(opened.engine, found)
    if as_json:
        click.echo(strict_json.dumps({"id": number, **forecast.to_json(found)}))
    else:
        show_forecast(found, console)
        console.print(f"[dim]stored as forecast {number}[/dim]")


def _rival(opened: Workspace, mine: Version, against: str | None) -> Version | None:
    if against == "log":
        return None
    if against is not None:
        return named(opened, against)
    champion = opened.registry.champion(opened.problem.name)
    return None if champion is None or champion.id == mine.id else champion
