"""`tastemaker data`: look at data through the gate, without letting any of it in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tastemaker.util import strict_json
from tastemaker_pipelines.cli.data_lake import adopt, prune
from tastemaker_pipelines.cli.data_skew import skew

if TYPE_CHECKING:
    from tastemaker.data.validation.dry_run import Inspection
    from tastemaker.data.validation.report import Section
    from tastemaker.settings import Settings, SourceSettings


@click.group()
def data() -> None:
    """Check data before a run, the lake, and served features.

    \b
    Examples:
      tastemaker data check events.csv
      tastemaker data prune
      tastemaker data adopt
      tastemaker data skew
    """


data.add_command(prune)
data.add_command(adopt)
data.add_command(skew)


@data.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option(
    "--source",
    "name",
    metavar="NAME",
    help="How to read it: online_retail, table, sql, simulated. Default: what the settings say; a PATH is "
    "read as table.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(path: Path | None, name: str | None, as_json: bool) -> None:
    """Validate PATH, and report which rows are accepted.

    Rows read, accepted, and quarantined by reason, with what to do; then how the file was read, what the
    accepted rows look like, and what may be wrong with them. Column mapping, time zone and the like come from
    [source] in tastemaker.toml; so do PATH and NAME where they are left out. Nothing is kept. Exit status 1
    if the gate refuses the data as a whole.

    \b
    Examples:
      tastemaker data check online_retail.parquet --source online_retail
      tastemaker data check orders.csv --json
      tastemaker data check
    """
    from tastemaker.settings import load_settings

    settings = load_settings()
    if path is not None:
        source = settings.source.for_file(path, name)
    else:
        source = settings.source if name is None else settings.source.model_copy(update={"name": name})
    found, sections, warnings = _check(settings, source, quiet=as_json)
    if as_json:
        data = as_data(source, found, sections) | {"warnings": warnings}
        click.echo(strict_json.dumps(data, default=str))
    else:
        from tastemaker_pipelines.cli.data_report import show

        show(source, found, sections, warnings)
    if found.refused is not None:
        raise click.exceptions.Exit(1)


def as_data(source: SourceSettings, found: Inspection, sections: list[Section]) -> dict[str, Any]:
    """Return the report in types that JSON has.

    Args:
        source: The source that was read: its name and path are in the report.
        found: What the gate makes of its tables, with examples of each reason.
        sections: The facts that follow, by the section's name; their warnings are left out.
    """
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
        "sections": {section.name: section.facts for section in sections},
    }


def _check(
    settings: Settings, source: SourceSettings, *, quiet: bool
) -> tuple[Inspection, list[Section], list[str]]:
    """Run the gate on the source, and return its result, the report's sections and all warnings."""
    from tastemaker.data.ingest import land
    from tastemaker.data.lake import Lake
    from tastemaker.data.sources import open_source
    from tastemaker.data.validation.dry_run import inspect
    from tastemaker.data.validation.report import Checked, sections
    from tastemaker_expectations.gate import GreatExpectationsGate

    with tempfile.TemporaryDirectory(prefix="tastemaker-check-") as folder, _progress(quiet) as progress:
        opened, lake = open_source(source), Lake(Path(folder))
        land(opened, lake, chunk_rows=settings.chunk_rows, progress=progress)
        gate = GreatExpectationsGate(source.name)
        found = inspect(source.name, lake, gate, chunk_rows=settings.chunk_rows, progress=progress)
        shown = sections(Checked(settings, opened, lake, found))
        said = [warning for section in shown for warning in section.warnings]
        return found, shown, said


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
