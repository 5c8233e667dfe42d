"""`tastemaker backfill`: a period is brought up to date, by several processes at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.workflows.workspace import Workspace
    from tastemaker_pipelines.backfill.day_ranges import DayRange
    from tastemaker_pipelines.run import Outcome

DAY = click.DateTime(["%Y-%m-%d"])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--from", "start", type=DAY, required=True, help="First day.")
@click.option("--to", "end", type=DAY, required=True, help="Last day, inclusive.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes at once. Default: one per processor.")
@click.option(
    "--run-rows",
    type=click.IntRange(1),
    default=2_000_000,
    show_default=True,
    help="The most rows that one process validates. What fits into one is validated without others.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def backfill(start: datetime, end: datetime, workers: int | None, run_rows: int, as_json: bool) -> None:
    """Update a period and everything that depends on it.

    Days whose rows did not change are not read again; days that changed are, however old they are. Many days
    are validated by several processes at once. Backtests and versions are made again only where their data
    changed. A backfill that was stopped or killed continues when it is called again.

    \b
    Examples:
      tastemaker backfill --from 2025-01-01 --to 2025-06-30
      tastemaker backfill --from 2025-03-14 --to 2025-03-14      one late day
      tastemaker backfill --from 2015-01-01 --to 2025-06-30 --workers 8 --json
    """
    from rich.console import Console

    from tastemaker.errors import TastemakerError
    from tastemaker.settings import load_settings
    from tastemaker.util import strict_json
    from tastemaker.util.file_lock import file_lock
    from tastemaker.workflows.workspace import Workspace
    from tastemaker_pipelines.cli.run import carry_out, days_config

    if start > end:
        raise TastemakerError(f"--from {start:%Y-%m-%d} is after --to {end:%Y-%m-%d}", fix="swap them")
    console = Console(stderr=as_json)
    carried_out = partial(carry_out, reason=f"backfill of {start:%Y-%m-%d} to {end:%Y-%m-%d}")
    workspace = Workspace(load_settings())
    _ = workspace.problem  # a wrong problem file is reported before anything starts
    days = days_config(start, end)
    try:
        with file_lock(workspace.lake.root / ".backfill.lock", wait=False):
            landed = carried_out(workspace, console, "key:landed_events", days)
            ranges = _pending(workspace, start.date(), end.date(), run_rows) if landed.success else []
            problems = _validate(ranges, console, workers) if len(ranges) > 1 else []
            outcome = carried_out(workspace, console, None, days) if landed.success and not problems else None
    except BlockingIOError as error:
        raise TastemakerError(
            "another backfill of this home folder is at work",
            fix="wait for its end; this one has done nothing",
        ) from error
    for problem in problems:
        console.print(f"[red]failed:[/] {problem}", highlight=False, soft_wrap=True)
    if as_json:
        found = {
            "success": outcome is not None and outcome.success,
            "days": sum(one.days for one in ranges),
            "rows": sum(one.rows for one in ranges),
            "runs": [{"first": f"{one.first}", "last": f"{one.last}", "rows": one.rows} for one in ranges],
            "problems": [*problems, *_failures(landed), *(_failures(outcome) if outcome else ())],
            "trained": outcome and outcome.trained,
        }
        click.echo(strict_json.dumps(found))
    if outcome is None or not outcome.success:
        sys.exit(1)


def _failures(outcome: Outcome) -> list[str]:
    """Return the steps that failed, and why."""
    failed = (step for step in outcome.steps.values() if step.state == "failed")
    return [f"{step.name}: {step.problem}" for step in failed]


def _pending(workspace: Workspace, first: date, last: date, run_rows: int) -> list[DayRange]:
    """Return the days of the period that are to be validated, as ranges of one run each."""
    from tastemaker.data.validation.publishing import pending_days
    from tastemaker_expectations.gate import GreatExpectationsGate
    from tastemaker_pipelines.backfill.day_ranges import day_ranges

    source, lake = workspace.source.name, workspace.lake
    pending = pending_days(source, lake, GreatExpectationsGate(source), workspace.engine)
    wanted = {day: rows for day, rows in pending.items() if first <= day <= last}
    return day_ranges(lake.days("landed_events", part=source), wanted, run_rows)


def _validate(ranges: Sequence[DayRange], console: Console, workers: int | None) -> list[str]:
    """Validate the ranges with a line for each that ends, and return why some failed."""
    from tastemaker_pipelines.backfill.parallel import run_ranges

    ended = 0

    def on_end(one: DayRange, problem: str) -> None:
        nonlocal ended
        ended += 1
        sign = "[red]✗[/]" if problem else "[green]✓[/]"
        extent = f"{one.first} to {one.last}  {one.days:,} days  {one.rows:,} rows"
        console.print(f"  {sign} {extent}  ({ended} of {len(ranges)})", highlight=False)

    with console.status(f"validating {sum(one.rows for one in ranges):,} rows"):
        return run_ranges(ranges, workers or os.cpu_count() or 1, on_end)
