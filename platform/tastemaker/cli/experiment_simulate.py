"""`tastemaker experiment simulate`: runs an experiment many times where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.numbers import Number
from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from tastemaker.experiments.analysis.simulated_runs import SimulatedRuns
    from tastemaker.stats.bootstrap import Interval


@click.command()
@click.argument("name")
@click.option(
    "--runs", default=200, show_default=True, type=click.IntRange(1, 100_000), help="Number of runs."
)
@click.option(
    "--effect",
    type=Number(-1, 100),
    help="Relative effect of every treatment on the users of the log, instead of the simulated shop's.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of all runs.")
@as_json_option
def simulate(name: str, runs: int, effect: float | None, seed: int, as_json: bool) -> None:
    """Run NAME many times where the truth is known.

    In the simulated shop, the versions of its variants answer the shop's users, whose reactions are known.
    With --effect, users do what they did in the log, and every treatment changes the primary metric by as
    much: 0 shows how often the design finds an effect that is not there. Nothing is stored.

    \b
    Examples:
      tastemaker experiment simulate ranker-2
      tastemaker experiment simulate ranker-2 --effect 0 --runs 1000
      tastemaker experiment simulate ranker-2 --effect 0.05 --json | jq .right_share
    """
    from rich.console import Console
    from rich.progress import Progress

    from tastemaker.util import strict_json
    from tastemaker.workflows.simulated_experiment import simulate_experiment
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    design = workspace.experiments.get(name).design
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("runs", total=runs)
        found = simulate_experiment(
            workspace, design, runs=runs, effect=effect, seed=seed, on_run=lambda _: progress.advance(task)
        )
    if as_json:
        click.echo(strict_json.dumps(_plain(found)))
        return
    for line in _lines(name, design.planned_units, found):
        click.echo(line)


def _plain(found: SimulatedRuns) -> dict[str, Any]:
    return {
        "truth": found.truth,
        "right": found.right,
        "runs": len(found.runs),
        "right_share": _ends(found.share(found.right)),
        "verdicts": {name: _ends(share) for name, share in found.verdicts.items()},
        "coverage": _ends(found.coverage),
        "mean_units": found.mean_units,
        "mean_looks": found.mean_looks,
    }


def _ends(share: Interval) -> dict[str, float]:
    return {"value": share.value, "low": share.low, "high": share.high}


def _lines(name: str, planned: int, found: SimulatedRuns) -> list[str]:
    truth = ", ".join(f"{one} {value:+.2%}" for one, value in found.truth.items())
    share = found.share(found.right)
    lines = [
        f"{name} decided right in {share.value:.1%} of {len(found.runs):,} runs "
        f"(95 % {share.low:.1%} to {share.high:.1%}).",
        f"truth      {truth} of the primary metric: the right verdict is {found.right}",
    ]
    lines += [f"{verdict:<10} {one.value:.1%}" for verdict, one in found.verdicts.items()]
    lines.append(
        f"On average a run ended at look {found.mean_looks:.1f} with {found.mean_units:,.0f} of {planned:,} "
        f"units; {found.coverage.value:.1%} of the intervals held the truth."
    )
    return lines
