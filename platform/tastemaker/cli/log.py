"""`tastemaker log`: search the request log."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from tastemaker.util import strict_json

if TYPE_CHECKING:
    from tastemaker.event_log.records import Record
    from tastemaker.log_search.query import Query
    from tastemaker.settings import Settings

OPTIONS = {
    "id": "Id of the request.",
    "user": "User of the request, as callers name them.",
    "item": "An item of the answer or of the request.",
    "shown": "An item of the answer.",
    "model": "Model that answered.",
    "version": "Model version that answered.",
    "stage": "What chose the first items: model, precomputed, popular or static.",
    "fallback": "Why the list is not the model's, or any, or none.",
    "kind": "recommend, session or rank.",
    "experiment": "Experiment that assigned a variant.",
    "variant": "Variant that was assigned.",
    "since": "Earliest time: 2026-03-01, 2026-03-01T12:30, or 15m, 2h, 7d ago.",
    "until": "Latest time, exclusive; written as --since.",
}
ITEMS_SHOWN = 4
"""Item ids in a line of the table."""


@click.group()
def log() -> None:
    """Search the request log.

    \b
    Examples:
      tastemaker log search user:17850 since:7d    list a user's answers of the last seven days
      tastemaker log search 'items<k'              list the answers that were too short
    """


def _with_options(command: Any) -> Any:
    for name, meaning in reversed(OPTIONS.items()):
        command = click.option(f"--{name}", metavar="VALUE", help=meaning)(command)
    return command


@log.command("search")
@click.argument("query", nargs=-1)
@_with_options
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="The most answers to list, newest first.",
)
@click.option("--json", "form", flag_value="json", help="Print JSON, with all that was logged.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV, with all that was logged.")
def search(
    query: tuple[str, ...], limit: int, form: Literal["json", "csv"] | None, **options: str | None
) -> None:
    """List logged requests with their answers, newest first.

    QUERY has conditions that all must hold, field:value, and texts that the request's context contains. The
    log is searched wherever a record is now: in the spool, in the log database, in the lake.

    \b
    Fields:
      id user item shown model version stage fallback kind experiment variant
                      equal (: or =) or not (!=); a * at the end searches a beginning
      items k ms      numbers (= != < <= > >=): items shown, items asked for, milliseconds
      since until     2026-03-01, 2026-03-01T12:30 (UTC), or 15m, 2h, 7d ago

    \b
    Examples:
      tastemaker log search user:17850 since:7d
      tastemaker log search 'stage!=model ms>100' --since 2h
      tastemaker log search 'items<k' fallback:any
      tastemaker log search shown:85123A '"home page"' --limit 1000 --csv
      tastemaker log search version:20260301-ease --json | jq '.[].request_id'
    """
    from tastemaker.log_search.search import search as find
    from tastemaker.settings import load_settings

    settings = load_settings()
    found = find(_query(" ".join(query), options, settings), settings, limit)
    if form == "json":
        click.echo(strict_json.dumps([_row(one) for one in found]))
    elif form == "csv":
        _print_csv(found)
    else:
        _print_table(found, limit)


def _query(text: str, options: dict[str, str | None], settings: Settings) -> Query:
    from tastemaker.log_search.query import Query
    from tastemaker.log_search.search import parser_for

    parser = parser_for(settings)
    given = [parser.term(name, "=", value) for name, value in options.items() if value is not None]
    return Query((*parser.parse(text).terms, *given))


def _row(record: Record) -> dict[str, Any]:
    """Return all that was logged of a request, for JSON."""
    import msgspec

    from tastemaker.event_log.rows import utc

    row: dict[str, Any] = msgspec.to_builtins(record)
    return row | {"occurred_at": utc(record.occurred_at).isoformat()}


def _print_csv(records: Sequence[Record]) -> None:
    """Print one line per request; lists and objects are JSON."""
    from tastemaker.event_log.records import Record

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(Record.__struct_fields__)
    for record in records:
        row = _row(record)
        writer.writerow(
            [
                strict_json.dumps(value, indent=None) if isinstance(value, dict | list) else value
                for value in map(row.get, Record.__struct_fields__)
            ]
        )


def _print_table(records: Sequence[Record], limit: int) -> None:
    from tastemaker.event_log.rows import utc

    if not records:
        click.echo("no logged request matches")
        return
    rows = [
        (
            one.request_id,
            f"{utc(one.occurred_at):%Y-%m-%d %H:%M:%S}",
            one.user_id,
            f"{one.model} {one.version}",
            one.stage if one.fallback is None else f"{one.stage} ({one.fallback})",
            _items(one),
        )
        for one in records
    ]
    names = ("request", "time (UTC)", "user", "model version", "stage (fallback)", "items")
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for row in (names, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    if len(records) == limit:
        click.echo(f"the newest {limit:,}; --limit lists more", err=True)


def _items(record: Record) -> str:
    """Return the first ids of an answer, and how many follow."""
    first = " ".join(item.item_id for item in record.items[:ITEMS_SHOWN])
    more = len(record.items) - ITEMS_SHOWN
    return first + (f" and {more} more" if more > 0 else "") if record.items else "none"
