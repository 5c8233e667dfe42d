"""`tastemaker ship`: move the services' local logs to the lake or to Postgres."""

from __future__ import annotations

import signal
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import click

from tastemaker.util import strict_json

if TYPE_CHECKING:
    from tastemaker.event_log.drain import Drained
    from tastemaker.event_log.elasticsearch.cluster import Written
    from tastemaker.event_log.elasticsearch.export import Exporter
    from tastemaker.settings import Settings

SHOWN_REJECTED = 5
"""Rejected documents that are named."""
_REJECTED = (
    "remove other templates for these indices, or delete an index that has other fields, then ship again"
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--follow", is_flag=True, help="Continue until stopped (SIGTERM or Ctrl-C).")
@click.option(
    "--to",
    "copy_to",
    type=click.Choice(["elasticsearch"]),
    help="Copy requests and feedback from the lake to Elasticsearch or OpenSearch, too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow one line per batch.")
def ship(follow: bool, copy_to: str | None, as_json: bool) -> None:
    """Move the local request log to the lake or to Postgres.

    The setting `log.target` selects the destination. With --to elasticsearch, what is new in the lake is then
    copied to the cluster of `elasticsearch.url`; repeated copies store nothing twice. The exit status is 1 if
    the cluster rejected documents.

    The command may be killed at any time and may run twice at once: no record is lost or duplicated. While
    Postgres is unreachable, --follow waits for it and the log stays here, up to `log.spool_bytes`. --follow
    moves records to the lake when 10,000 wait or the oldest is five minutes old: each move writes files.

    \b
    Examples:
      tastemaker ship
      tastemaker ship --to elasticsearch --follow
      TASTEMAKER_LOG__TARGET=postgres TASTEMAKER_LOG__URL=postgresql://shop@db/logs tastemaker ship --follow
    """
    from tastemaker.settings import load_settings

    settings = load_settings()
    with ExitStack() as stack:
        exporter = _exporter(settings, stack) if copy_to else None
        if follow:
            _follow(settings, as_json, exporter)
        else:
            _once(settings, as_json, exporter)


def _exporter(settings: Settings, stack: ExitStack) -> Exporter:
    from tastemaker.event_log.elasticsearch.cluster import Cluster
    from tastemaker.event_log.elasticsearch.export import Exporter

    return Exporter(settings, stack.enter_context(closing(Cluster(settings.elasticsearch))))


def _once(settings: Settings, as_json: bool, exporter: Exporter | None) -> None:
    from rich.console import Console

    from tastemaker.data.lake import Lake
    from tastemaker.event_log.drain import Drained, drain
    from tastemaker.event_log.postgres import pull
    from tastemaker.event_log.shipping import open_sink

    written: Written | None = None
    with Console(stderr=True).status("shipping") as status:
        shipped = Drained()

        def show(batch: Drained) -> None:
            nonlocal shipped
            shipped = shipped.plus(batch)
            status.update(f"shipping: {sum(_records(shipped).values()):,} records")

        moved = drain(settings.spool, open_sink(settings), progress=show)
        if exporter is not None:
            if settings.log.target == "postgres":
                pull(settings.log_url, Lake(settings.lake))
            written = exporter.copy(
                progress=lambda done: status.update(f"copying: {done.created + done.existing:,} documents")
            )
    _record_lake(settings)
    records = _records(moved) | ({} if written is None else {"copied": _copied(written)})
    if as_json:
        click.echo(strict_json.dumps(records, indent=None))
    else:
        click.echo(_worded(moved, settings))
        if written is not None:
            click.echo(_copied_in_words(written))
    if written is not None and written.rejected:
        raise click.exceptions.Exit(1)


def _follow(settings: Settings, as_json: bool, exporter: Exporter | None) -> None:
    from threading import Event

    from tastemaker.event_log.shipping import follow

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def export() -> None:
        from tastemaker.errors import TastemakerError
        from tastemaker.event_log.elasticsearch.cluster import Written

        assert exporter is not None
        written = exporter.copy()
        if written != Written():
            copied = {"copied": _copied(written)}
            click.echo(strict_json.dumps(copied, indent=None) if as_json else _copied_in_words(written))
        if written.rejected:
            raise TastemakerError(f"{len(written.rejected):,} documents were rejected", fix=_REJECTED)

    follow(
        settings,
        stop,
        progress=lambda moved: click.echo(
            strict_json.dumps(_records(moved), indent=None) if as_json else _worded(moved, settings)
        ),
        on_failure=lambda why: click.echo(why, err=True),
        export=None if exporter is None else export,
        record=lambda: _record_lake(settings),
    )


def _record_lake(settings: Settings) -> None:
    """Store what the watch's facts need of the lake, if it got records."""
    if settings.log.target == "postgres":
        return  # the nightly run fills the lake
    from tastemaker.monitoring.lake_queries import record_lake

    record_lake(settings)


def _copied(written: Written) -> dict[str, Any]:
    rejected = [one._asdict() for one in written.rejected]
    return {"created": written.created, "existing": written.existing, "rejected": rejected}


def _copied_in_words(written: Written) -> str:
    text = f"{written.created:,} documents copied to Elasticsearch, which had {written.existing:,} of them"
    for one in written.rejected[:SHOWN_REJECTED]:
        text += f"\nrejected  {one.id}: {one.reason}"
    if written.rejected:
        text += f"\n{len(written.rejected):,} documents were rejected\n  fix: {_REJECTED}"
    return text


def _records(moved: Drained) -> dict[str, int]:
    names = ("requests", "feedback", "changes", "exposures", "shadows")
    return {name: getattr(moved, name) for name in names}


def _worded(moved: Drained, settings: Settings) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in _records(moved).items())
    return f"{counts} moved to {settings.log.target}"
