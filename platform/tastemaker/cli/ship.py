"""`tastemaker ship`: move the services' local logs to the lake or to Postgres."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from tastemaker.util import strict_json

if TYPE_CHECKING:
    from tastemaker.event_log.drain import Drained
    from tastemaker.settings import Settings


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--follow", is_flag=True, help="Continue until stopped (SIGTERM or Ctrl-C).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow one line per batch.")
def ship(follow: bool, as_json: bool) -> None:
    """Move the local request log to the lake or to Postgres.

    The setting `log.target` selects the destination.

    The command may be killed at any time and may run twice at once: no record is lost or duplicated. While
    Postgres is unreachable, --follow waits for it and the log stays here, up to `log.spool_bytes`.

    \b
    Examples:
      tastemaker ship
      TASTEMAKER_LOG__TARGET=postgres TASTEMAKER_LOG__URL=postgresql://shop@db/logs tastemaker ship --follow
    """
    from tastemaker.settings import load_settings

    settings = load_settings()
    if follow:
        _follow(settings, as_json)
    else:
        _once(settings, as_json)


def _once(settings: Settings, as_json: bool) -> None:
    from rich.console import Console

    from tastemaker.event_log.drain import drain
    from tastemaker.event_log.shipping import open_sink

    with Console(stderr=True).status("shipping") as status:
        moved = drain(
            settings.spool,
            open_sink(settings),
            progress=lambda done: status.update(f"shipping: {sum(_records(done).values()):,} records"),
        )
    click.echo(strict_json.dumps(_records(moved), indent=None) if as_json else _worded(moved, settings))


def _follow(settings: Settings, as_json: bool) -> None:
    from threading import Event

    from tastemaker.event_log.shipping import follow

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    follow(
        settings,
        stop,
        progress=lambda moved: click.echo(
            strict_json.dumps(_records(moved), indent=None) if as_json else _worded(moved, settings)
        ),
        on_failure=lambda why: click.echo(why, err=True),
    )


def _records(moved: Drained) -> dict[str, int]:
    return {"requests": moved.requests, "feedback": moved.feedback, "changes": moved.changes}


def _worded(moved: Drained, settings: Settings) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in _records(moved).items())
    return f"{counts} moved to {settings.log.target}"
