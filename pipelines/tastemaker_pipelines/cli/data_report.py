"""What `tastemaker data check` prints for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.data.validation.dry_run import InspectedTable, Inspection
    from tastemaker.data.validation.report import Section
    from tastemaker.settings import SourceSettings


def show(source: SourceSettings, found: Inspection, sections: list[Section], warnings: list[str]) -> None:
    """Print what the gate makes of the tables, then each section, then every warning.

    Args:
        source: The source that was read, for the first line.
        found: What the gate makes of its tables; items and users without a row are left out.
        sections: The facts that follow; a section without any is left out.
        warnings: Those of all sections, each a sentence or two.
    """
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    what = "" if source.path is None else f" {source.path}"
    console.print(f"Checked{what} as the source {source.name}.\n", markup=False)
    for table in found.tables:
        if table.rows_read > 0 or table.table == "events":
            _show_table(console, table)
    for section in filter(lambda section: section.facts, sections):
        console.print(f"[bold]{section.name}[/]")
        _show_facts(console, section.facts, indent=2)
        console.print()
    if found.refused is None:
        console.print("[green]The gate lets it in.[/]")
    else:
        console.print("[red]The gate refuses it:[/] ", end="")
        console.print(found.refused.problem, markup=False)
        console.print(f"  fix: {found.refused.fix}", markup=False)
    for warning in warnings:
        console.print(f"note: {warning}", markup=False)


def _show_table(console: Console, table: InspectedTable) -> None:
    console.print(f"[bold]{table.table}[/]: {table.rows_read:,} rows read, {table.rows_accepted:,} accepted")
    for finding in table.findings:
        console.print(f"\n  [yellow]{finding.rule.name}[/]: {finding.rows:,} rows")
        console.print(f"    {finding.rule.meaning}\n    To do: {finding.rule.fix}", markup=False)
        for example in finding.examples:
            console.print(f"    > {json.dumps(example, ensure_ascii=False)}", markup=False, style="dim")
    console.print()


def _show_facts(console: Console, facts: Mapping[str, Any], indent: int) -> None:
    """Print a line per fact, and indented lines for a mapping of mappings or lists."""
    for label, value in facts.items():
        if isinstance(value, Mapping) and any(isinstance(each, (Mapping, list)) for each in value.values()):
            console.print(f"{' ' * indent}{label}", markup=False)
            _show_facts(console, value, indent + 2)
        else:
            console.print(f"{' ' * indent}{label}: {_plain(value)}", markup=False)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{label} {_plain(each)}" for label, each in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
