"""`tastemaker data`: look at data through the gate, without letting any of it in."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tastemaker_pipelines.cli.data_lake import adopt, lake_warnings, problem_warnings, prune

if TYPE_CHECKING:
    from tastemaker.data.inspection import Inspection
    from tastemaker.settings import Settings, SourceSettings


@click.group()
def data() -> None:
    """Look at data before it is let in, and hold the lake against its source.

    \b
    Examples:
      tastemaker data check events.csv
      tastemaker data prune
      tastemaker data adopt
    """


data.add_command(prune)
data.add_command(adopt)


@data.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option(
    "--source", "name", metavar="NAME", help="How to read it: online_retail, table, sql, simulated."
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check(path: Path | None, name: str | None, as_json: bool) -> None:
    """Run the gate alone on PATH: rows read, accepted, and quarantined by reason, with what to do.

    Column mapping, time zone and the like come from [source] in tastemaker.toml; so do PATH and NAME where
    they are left out. Nothing is kept. Exit status 1 if the gate refuses the data as a whole.

    \b
    Examples:
      tastemaker data check online_retail.parquet --source online_retail
      tastemaker data check orders.csv --source table --json
      tastemaker data check
    """
    from tastemaker.settings import load_settings

    settings = load_settings()
    given = {key: value for key, value in {"name": name, "path": path}.items() if value is not None}
    source = settings.source.model_copy(update=given)
    found, warnings = _inspect(settings, source, quiet=as_json)
    if as_json:
        data = as_data(source, found) | {"warnings": warnings}
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        _show(found)
        for warning in warnings:
            click.echo(f"note: {warning}")
    if found.refused is not None:
        raise click.exceptions.Exit(1)


def as_data(source: SourceSettings, found: Inspection) -> dict[str, Any]:
    """The inspection as JSON shows it."""
    return {
        "source": source.name,
        "path": None if source.path is None else str(source.path),
        "refused": None if found.refused is None else found.refused.problem,
        "tables": {
            table.table: {
                "rows_read": table.rows_read,
                "rows_accepted": table.rows_accepted,
                "rows_quarantined": {finding.rule.name: finding.rows for finding in table.findings},
                "findings": [
                    {**finding.rule._asdict(), "rows": finding.rows, "examples": finding.examples}
                    for finding in table.findings
                ],
            }
            for table in found.tables
        },
    }


def _inspect(settings: Settings, source: SourceSettings, *, quiet: bool) -> tuple[Inspection, list[str]]:
    from tastemaker.data.ingest import land
    from tastemaker.data.inspection import inspect
    from tastemaker.data.lake import Lake
    from tastemaker.data.sources import open_source
    from tastemaker_expectations.gate import GreatExpectationsGate

    with tempfile.TemporaryDirectory(prefix="tastemaker-check-") as folder, _progress(quiet) as progress:
        lake = Lake(Path(folder))
        opened = open_source(source)
        land(opened, lake, chunk_rows=settings.chunk_rows, progress=progress)
        gate = GreatExpectationsGate(source.name)
        found = inspect(source.name, lake, gate, chunk_rows=settings.chunk_rows, progress=progress)
        return found, [*problem_warnings(settings, lake, source.name), *lake_warnings(settings, opened, lake)]


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"{stage} days")
            bars.update(tasks[stage], completed=done, total=total)

        yield advance


def _show(found: Inspection) -> None:
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for table in found.tables:
        if table.rows_read == 0 and table.table != "events":
            continue
        console.print(
            f"[bold]{table.table}[/]: {table.rows_read:,} rows read, {table.rows_accepted:,} accepted"
        )
        for finding in table.findings:
            console.print(f"\n  [yellow]{finding.rule.name}[/]: {finding.rows:,} rows")
            console.print(f"    {finding.rule.meaning}\n    To do: {finding.rule.fix}", markup=False)
            for example in finding.examples:
                console.print(f"    > {json.dumps(example, ensure_ascii=False)}", markup=False, style="dim")
        console.print()
    if found.refused is None:
        console.print("[green]The gate lets it in.[/]")
    else:
        console.print(f"[red]The gate refuses it:[/] {found.refused.problem}")
        console.print(f"  fix: {found.refused.fix}", markup=False)
