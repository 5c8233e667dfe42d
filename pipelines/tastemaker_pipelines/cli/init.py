"""`tastemaker init`: create a project of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tastemaker.errors import TastemakerError

SIMULATED = "simulated"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Your events: a CSV, TSV, JSON, Parquet or XLSX file. It stays where it is.",
)
@click.option(
    "--source",
    metavar="NAME",
    help="How events are read: simulated, table, sql, online_retail or another installed source. "
    "Default: table with --data, else simulated.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=OWN",
    help="Which column of the file is user_id, item_id, occurred_at, event_type or value; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the files and the next steps as JSON.")
def init(
    folder: Path, data: Path | None, source: str | None, columns: tuple[str, ...], as_json: bool
) -> None:
    """Create a project in a new FOLDER.

    It has the settings, the problem file, a place for your own models, and the asset graph.

    FOLDER must be new or empty. Without --data the project has a simulated shop, so that everything runs
    before you connect your own data.

    \b
    Examples:
      tastemaker init shop
      tastemaker init shop --data orders.csv
      tastemaker init shop --data orders.csv --column user_id=customer --column item_id=sku
      tastemaker init shop --source sql
    """
    from tastemaker_pipelines.project import contents, scaffold

    scaffold.require_empty(folder.absolute())
    mapping = _mapping(columns)
    if mapping and data is None:
        raise TastemakerError("--column names columns of a file", fix="name the file: --data FILE")
    name = _source(source, data)
    notes: list[str] = []
    if data is not None:
        project, notes = contents.with_file(folder, data, name, mapping)
    elif name == SIMULATED:
        project = contents.simulated(folder)
    else:
        project, notes = contents.without_file(folder, name)
    _report(folder, name, scaffold.create(folder, project), notes, as_json)


def _source(given: str | None, data: Path | None) -> str:
    """Return the source's name. Raises TastemakerError if it does not fit `--data`, or is not installed."""
    from tastemaker.settings import FILE_SOURCES

    name = given or (SIMULATED if data is None else "table")
    if data is not None and name not in FILE_SOURCES:
        raise TastemakerError(
            f"the source {name} reads no file, but --data is {data}",
            fix=f"leave out --data, or choose one of: {', '.join(FILE_SOURCES)}",
        )
    if data is None and name in FILE_SOURCES:
        raise TastemakerError(f"the source {name} reads a file", fix="name the file: --data FILE")
    if name != SIMULATED:
        from tastemaker.data.sources import source_names

        if name not in source_names():
            raise TastemakerError(
                f"there is no source named {name!r}", fix=f"choose one of: {', '.join(source_names())}"
            )
    return name


def _mapping(columns: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in columns:
        name, _, own = pair.partition("=")
        if not (name and own):
            raise TastemakerError(
                f"--column {pair} is not NAME=OWN", fix="write it as --column user_id=customer"
            )
        found[name] = own
    return found


def _report(folder: Path, source: str, written: list[str], notes: list[str], as_json: bool) -> None:
    here = folder.absolute() == Path.cwd()
    steps = [*([] if here else [f"cd {shlex.quote(click.format_filename(folder))}"]), "tastemaker run"]
    steps += ["tastemaker leaderboard", "tastemaker serve", "dagster dev"]
    if as_json:
        from tastemaker.util import strict_json

        found = {"project": str(folder.absolute()), "source": source, "files": written, "notes": notes}
        click.echo(strict_json.dumps(found | {"next": steps}))
        return
    click.echo(f"created {click.format_filename(folder)} with {', '.join(written)}")
    for note in notes:
        click.echo(f"note: {note}")
    click.echo("next:")
    for step in steps:
        click.echo(f"  {step}")
