"""`tastemaker report`: check how models report in, take over what they wrote, and show who reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tastemaker.report_in.status import ReporterStatus

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def report() -> None:
    """Take reports of models that this platform does not serve.

    They report to the dashboard over HTTP, into the tables in_measurements, in_requests and in_feedback, or
    as files in the folder report_in of the home folder.

    \b
    Examples:
      tastemaker report check http://127.0.0.1:9280    check what a dashboard takes
      tastemaker report take                           take over rows of tables and files
      tastemaker report status                         show who reports, and what was refused
    """


@report.command("check")
@click.argument("url")
@click.option(
    "--model", default="contract_check", show_default=True, help="Name of the model to be reported."
)
@_json_option
def check_reporting(url: str, model: str, as_json: bool) -> None:
    """Check what the dashboard at URL takes, without storing anything.

    The API key, of scope report, is read from the environment variable TASTEMAKER_REPORT_KEY. Each level is
    tried with a row that fits and a row that does not.

    \b
    Examples:
      tastemaker report check http://127.0.0.1:9280
      TASTEMAKER_REPORT_KEY=tm_... tastemaker report check https://board.shop.example --model shop_search

    \b
    Exit status:
      0  every level passed
      1  a level failed; the output says which and why
      2  the dashboard does not answer
    """
    import os

    from tastemaker.report_in.check_kit import KEY, check
    from tastemaker.util import strict_json

    found = list(check(url, os.environ.get(KEY) or None, model))
    if as_json:
        click.echo(strict_json.dumps([one._asdict() for one in found]))
    for one in () if as_json else found:
        click.echo(f"{'✓' if one.passed else '✗'} {one.level:<13} {one.detail}")
    if not all(one.passed for one in found):
        raise click.exceptions.Exit(1)


@report.command("take")
@_json_option
def take_reports(as_json: bool) -> None:
    """Take over rows of the in_* tables and reported files.

    Each row is taken over once, also if the command is killed. Rows that do not fit go to the table
    in_rejected with their reason. The nightly job does the same.

    \b
    Examples:
      tastemaker report take
      tastemaker report take --json
    """
    from tastemaker.report_in.takeover import take_over
    from tastemaker.settings import load_settings
    from tastemaker.storage.engine import open_engine
    from tastemaker.util import strict_json

    settings = load_settings()
    taken = take_over(settings, open_engine(settings.metadata_url))
    if as_json:
        click.echo(strict_json.dumps(taken._asdict(), indent=None))
        return
    click.echo(f"{taken.accepted:,} rows taken over, {taken.rejected:,} refused; {taken.files:,} files")


@report.command("status")
@click.option(
    "--refusals", default=10, show_default=True, type=click.IntRange(0, 1_000), help="Most refused rows."
)
@_json_option
def show_status(refusals: int, as_json: bool) -> None:
    """Show who reports, when last, and what was refused.

    \b
    Examples:
      tastemaker report status
      tastemaker report status --json | jq '.models[] | select(.state == "silent")'
    """
    from datetime import UTC, datetime

    from tastemaker.report_in.status import read_models, read_refusals
    from tastemaker.settings import load_settings
    from tastemaker.storage.engine import open_engine
    from tastemaker.util import strict_json

    now = datetime.now(UTC)
    with open_engine(load_settings().metadata_url).connect() as connection:
        models, refused = read_models(connection, now), read_refusals(connection, refusals)
    if as_json:
        shown = [_as_object(one, now) for one in models]
        rows = [one._asdict() | {"rejected_at": one.rejected_at.isoformat()} for one in refused]
        click.echo(strict_json.dumps({"models": shown, "refusals": rows}))
        return
    if not models:
        click.echo("no model reports")
    for one in models:
        name = one.title or "unannounced"
        click.echo(
            f"{one.model}  {name}  from {one.source}  {one.state(now)}, last "
            f"{one.seen_at:%Y-%m-%d %H:%M:%S} UTC  {one.accepted:,} rows in 7 days, {one.rejected:,} refused"
        )
    for row in refused:
        click.echo(f"refused  {row.source}  {row.kind}  {row.origin} row {row.number}: {row.reason}")


def _as_object(model: ReporterStatus, now: Any) -> dict[str, Any]:
    found = model._asdict() | {"is_announced": model.is_announced, "state": model.state(now)}
    health = None if model.health_at is None else model.health_at.isoformat()
    return found | {"seen_at": model.seen_at.isoformat(), "health_at": health}
