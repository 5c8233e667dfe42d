"""`tastemaker models why`: where a version comes from, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tastemaker.cli.promotion import as_json_option

if TYPE_CHECKING:
    from tastemaker.registry.lineage import VersionLineage


@click.command()
@click.argument("version", required=False)
@click.option("--request", "request_id", metavar="ID", help="The version that gave this logged answer.")
@as_json_option
def why(version: str | None, request_id: str | None, as_json: bool) -> None:
    """Show why VERSION was trained, from what, and what became of it.

    Its training, data, code and config beside those of the champion before, its backtest, the path on which
    it entered production with the planner's figures, and each change with its actor, until now.

    \b
    Examples:
      tastemaker models why 20260401-101500-123456-3f9a2c41d07e
      tastemaker models why --request 019cb51df9e9000016646cb141797116 --json | jq .changed
    """
    from tastemaker.errors import TastemakerError
    from tastemaker.registry.lineage import read_lineage
    from tastemaker.workflows.workspace import Workspace

    if (version is None) == (request_id is None):
        raise TastemakerError("neither or both of VERSION and --request are given", fix="give one of them")
    workspace = Workspace.open()
    if request_id is not None:
        from tastemaker.log_search.description import describe

        version = describe(request_id, workspace.settings).record.version
    found = read_lineage(workspace.engine, str(version))
    if as_json:
        from tastemaker.util import strict_json

        shown = found._asdict() | {"events": [one._asdict() for one in found.events]}
        click.echo(strict_json.dumps(shown | {"sentence": found.sentence}, default=str))
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: VersionLineage) -> Iterator[str]:
    yield found.sentence
    for label, value in found.parts():
        yield f"  {label:17} {value}"
    for one in found.events:
        by = f", by {one.actor}" if one.actor else ""
        yield f"{one.at:%Y-%m-%d %H:%M} UTC  {one.what}{by}: {one.reason}"
