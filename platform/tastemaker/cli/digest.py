"""`tastemaker digest`: what the recommender did in a week, in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tastemaker.digest.delivery import DigestDelivery
    from tastemaker.digest.document import Digest
    from tastemaker.workflows.workspace import Workspace


@click.command()
@click.option("--week", help="Such as 2026-W47.  [default: the last week that is over]")
@click.option("--send", is_flag=True, help="Send it to the channels that do not have it.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it as an HTML page to this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def digest(week: str | None, send: bool, output: Path | None, as_json: bool) -> None:
    """Print the digest of a week: what changed.

    It compares each model's week with the week before and with the four weeks before. --send sends it to the
    channels of [watch.channels.NAME], at most once per week and channel; a channel that was away is tried
    again by the next --send. The status is 1 if a channel does not have it then.

    \b
    Examples:
      tastemaker digest
      tastemaker digest --week 2026-W47 --output digest.html
      tastemaker digest --send
    """
    from datetime import UTC, datetime

    from tastemaker.digest.scheduling import shop_week
    from tastemaker.digest.writing import write_digest
    from tastemaker.workflows.workspace import Workspace

    workspace, now = Workspace.open(), datetime.now(UTC)
    chosen = shop_week(workspace.settings, now, week)
    written = write_digest(workspace.engine, workspace.problem.name, chosen, now)
    if output is not None:
        _write(output, written)
    sent = _send(workspace, written) if send else []
    _print(written, sent, as_json=as_json, quiet=send or output is not None)
    if output is not None and not as_json:
        click.echo(f"{output} has the digest")
    sys.exit(0 if all(one.is_done for one in sent) else 1)


def _write(output: Path, written: Digest) -> None:
    from tastemaker.digest.rendering import html_page
    from tastemaker.util.atomic_files import atomic_write

    with atomic_write(output) as partial:
        partial.write_text(html_page(written), "utf-8")


def _send(workspace: Workspace, written: Digest) -> list[DigestDelivery]:
    from tastemaker.digest.delivery import deliver
    from tastemaker.digest.scheduling import digest_channels
    from tastemaker.errors import TastemakerError

    channels = digest_channels(workspace.settings)
    if not channels:
        raise TastemakerError(
            "there is no channel to send the digest to",
            fix="add one: [watch.channels.NAME] in tastemaker.toml, of another type than pagerduty",
        )
    environment = workspace.settings.watch.environment
    return deliver(workspace.engine, written, channels, environment=environment)


def _print(written: Digest, sent: list[DigestDelivery], *, as_json: bool, quiet: bool) -> None:
    """Print the digest, unless it went elsewhere, and what became of it."""
    from dataclasses import asdict

    from tastemaker.digest.rendering import text_sections
    from tastemaker.util import strict_json

    if as_json:
        document = asdict(written) | {"created_at": written.created_at.isoformat()}
        document["sent"] = [one._asdict() for one in sent]
        click.echo(strict_json.dumps(document))
        return
    if not quiet:
        click.echo("\n\n".join(text_sections(written)))
    for one in sent:
        click.echo(f"{one.channel}: {one.outcome} ({one.detail})")
