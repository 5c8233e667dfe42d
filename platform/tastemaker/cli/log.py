"""`tastemaker log`: search the request log, show one answer, and replay it with another version."""

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
    "served": "Variant whose service answered.",
    "since": "Earliest time: 2026-03-01, 2026-03-01T12:30, or 15m, 2h, 7d ago.",
    "until": "Latest time, exclusive; written as --since.",
}
ITEMS_SHOWN = 4
"""Item ids in a line of the table."""


@click.group()
def log() -> None:
    """Search, show and replay logged answers.

    \b
    Examples:
      tastemaker log search user:17850 since:7d      list a user's answers of the last seven days
      tastemaker log search 'items<k'                list the answers that were too short
      tastemaker log show REQUEST                    show one answer, and what became of it
      tastemaker log replay REQUEST --version ease   show what another version would have answered
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
      id user item shown model version stage fallback kind experiment variant served
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


@log.command("show")
@click.argument("request_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(request_id: str, as_json: bool) -> None:
    """Show a logged answer, and what became of it.

    Features are those that the model was given. Feedback is attributed as for training; rewards need the
    problem file. Reasons need the version that answered.

    \b
    Examples:
      tastemaker log show 019cb51df9e9000016646cb141797116
      tastemaker log show 019cb51df9e9000016646cb141797116 --json | jq .feedback
    """
    from tastemaker.log_search.description import describe
    from tastemaker.settings import load_settings

    found = describe(request_id, load_settings())
    if as_json:
        outcomes = None if found.outcomes is None else [one._asdict() for one in found.outcomes]
        parts = {"outcomes": outcomes, "feedback": found.feedback, "reasons": found.reasons}
        click.echo(strict_json.dumps({"record": _row(found.record)} | parts, default=str))
        return
    _show_record(found.record)
    click.echo(f"{len(found.record.items)} items" + (":" if found.record.items else ""))
    for place, item in enumerate(found.record.items):
        earned = "" if found.outcomes is None else f"  reward {found.outcomes[place].reward:g}"
        reasons = "; ".join(found.reasons[place])
        numbers = f"score {item.score:g}  propensity {item.propensity:.3g}{earned}"
        click.echo(f"  {place + 1:>2}  {item.item_id}  {numbers}  {reasons}")
    click.echo(f"{len(found.feedback)} events" + (":" if found.feedback else ""))
    for row in found.feedback:
        flags = f"  ({', '.join(row['flags'])})" if row["flags"] else ""
        what = f"{row['event_type']} {row['item_id']}  value {row['value']:g}{flags}"
        click.echo(f"  {row['occurred_at']:%Y-%m-%d %H:%M:%S}  {what}")
    if found.outcomes is None:
        click.echo("rewards are not shown: there is no problem file, which defines them", err=True)


@log.command("replay")
@click.argument("request_id")
@click.option("--version", required=True, help="The version that answers: its id, or a model's name.")
@click.option("--as-trained", is_flag=True, help="Let a version that learns online answer as it was trained.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(request_id: str, version: str, as_trained: bool, as_json: bool) -> None:
    """Show what a version would have answered to a logged request.

    The version receives the same user, context, candidates and seed, the logged features (else those of the
    newest feature snapshot of then), and the feedback and changed items that had arrived by then. What can't
    be repeated is named. The state of a version that learns online is not kept: it is refused without
    --as-trained. The exit status is 0 whether the lists differ or not.

    \b
    Examples:
      tastemaker log replay 019cb51df9e9000016646cb141797116 --version ease
      tastemaker log replay 019cb51df9e9000016646cb141797116 --version 20260301T120000-ease-1a2b --json
    """
    from tastemaker.log_search.replay import replay as run
    from tastemaker.registry import Registry
    from tastemaker.settings import load_settings
    from tastemaker.storage.engine import open_engine

    settings = load_settings()
    registry = Registry(open_engine(settings.metadata_url), settings.artifacts)
    is_model = any(one.model == version for one in registry.list())
    chosen = registry.newest(version) if is_model else registry.get(version)
    found = run(request_id, registry.open(chosen), settings, as_trained=as_trained)
    if as_json:
        import msgspec

        parts = {
            "record": _row(found.record),
            "answer": msgspec.to_builtins(found.answer),
            "features": found.features,
            "features_from": found.features_from,
            "limits": found.limits,
            "is_same": found.is_same,
            "changes": [one._asdict() for one in found.changes],
        }
        click.echo(strict_json.dumps(parts))
        return
    _show_record(found.record)
    answer = found.answer
    stage = answer.stage if answer.fallback is None else f"{answer.stage} ({answer.fallback})"
    click.echo(
        f"replayed with {answer.model} {answer.version}, stage {stage}; features {found.features_from}"
    )
    for line in found.limits:
        click.echo(f"not repeated: {line}")
    if found.is_same:
        click.echo("both lists are the same")
        return
    for one in found.changes:
        click.echo(f"  {_place(one.before):>4} -> {_place(one.after):>4}  {one.item_id}")


def _place(place: int | None) -> str:
    return "-" if place is None else str(place + 1)


def _show_record(record: Record) -> None:
    """Print the request and how it was answered, without the items."""
    from tastemaker.event_log.rows import as_json, utc

    stage = record.stage if record.fallback is None else f"{record.stage} ({record.fallback})"
    click.echo(f"request    {record.request_id}")
    click.echo(f"asked      {utc(record.occurred_at):%Y-%m-%d %H:%M:%S} UTC: {record.kind}, k {record.k}")
    click.echo(f"user       {record.user_id}")
    for name in ("context", "session", "candidates", "exclude", "features"):
        if (value := getattr(record, name)) is not None:
            click.echo(f"{name:<10} {as_json(value)}")
    latency = "" if record.latency_ms is None else f", {record.latency_ms:.1f} ms"
    click.echo(f"answered   {record.model} {record.version}, stage {stage}{latency}")
    if (assigned := record.assignment) is not None:
        chance = "forced" if assigned.probability is None else f"probability {assigned.probability:g}"
        served = "" if assigned.served is None else f", answered by {assigned.served}"
        unit = "" if assigned.unit is None else f", unit {assigned.unit}"
        what = f"{assigned.experiment}, epoch {assigned.epoch}: {assigned.variant} ({chance})"
        click.echo(f"assigned   {what}{served}{unit}")
