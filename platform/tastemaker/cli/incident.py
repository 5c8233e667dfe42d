"""`tastemaker incident`: the report of an incident, for its review."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("incident", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("number", type=click.IntRange(min=1))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write the Markdown to.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def incident(number: int, out: Path | None, as_json: bool) -> None:
    """Write the report of incident NUMBER as Markdown.

    It has a timeline of what fired, what was deployed and what changed in the data, from a day before to an
    hour after; the lists behind the alert; and the headings of a review to fill in.

    \b
    Examples:
      tastemaker incident 12
      tastemaker incident 12 --out incident-12.md
      tastemaker incident 12 --json | jq '.timeline[] | [.at, .text]'
    """
    from tastemaker.util import strict_json
    from tastemaker.util.atomic_files import atomic_write
    from tastemaker.workflows.incident_report import incident_report, markdown
    from tastemaker.workflows.workspace import Workspace

    opened = Workspace.open()
    report = incident_report(opened.settings, opened.engine, number)
    text = strict_json.dumps(report.to_json()) if as_json else markdown(report)
    if out is None:
        click.echo(text)
        return
    with atomic_write(out) as partial:
        partial.write_text(text + "\n", "utf-8")
    click.echo(f"wrote {out}", err=True)
