"""`tastemaker alerts list`, `show`, `ack`, `silence` and so on: incidents, and what people do about them."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from tastemaker.cli.names import Name
from tastemaker.cli.numbers import ROW_NUMBER
from tastemaker.cli.person import by_option, person
from tastemaker.errors import TastemakerError
from tastemaker.util import strict_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from tastemaker.watch.records import IncidentRecord

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("list")
@click.option("--all", "with_ended", is_flag=True, help="Also those that ended in the last 30 days.")
@_json_option
def list_incidents(with_ended: bool, as_json: bool) -> None:
    """List the open incidents.

    \b
    Examples:
      tastemaker alerts list
      tastemaker alerts list --all --json | jq '.[] | select(.severity == "page")'
    """
    from tastemaker.watch import records

    _print(records.incidents(_engine(), only_open=not with_ended), "no incident is open", as_json=as_json)


@click.command()
@click.option("--days", default=30.0, show_default=True, help="How many days back.")
@_json_option
def history(days: float, as_json: bool) -> None:
    """List the incidents of the last days, with how long each lasted.

    \b
    Examples:
      tastemaker alerts history
      tastemaker alerts history --days 7 --json
    """
    from tastemaker.watch import records

    if not 0 < days <= 3_650:
        raise TastemakerError(f"--days is {days:g}, must be more than 0 and at most 3650", fix="--days 30")
    found = records.incidents(_engine(), only_open=False, days=days)
    _print(found, f"no incident in {days:g} days", as_json=as_json)


@click.command()
@click.argument("incident", type=ROW_NUMBER)
@_json_option
def show(incident: int, as_json: bool) -> None:
    """Show an incident, and what happened since it began.

    \b
    Examples:
      tastemaker alerts show 12
      tastemaker alerts show 12 --json
    """
    from tastemaker.settings import load_settings
    from tastemaker.watch import records

    engine = _engine()
    record = records.incident(engine, incident)
    lines = records.history(engine, record)
    runbook = f"{load_settings().alerts.runbooks}/{record.rule}.md"
    if as_json:
        past = [{"at": line.at.isoformat(), "text": line.text} for line in lines]
        click.echo(strict_json.dumps(record.to_json() | {"runbook": runbook, "history": past}))
        return
    click.echo(f"incident {record.number}: {record.summary}")
    click.echo(f"  {record.state}, {record.severity}, since {_time(record.opened_at)}")
    click.echo(f"  condition  {record.condition}")
    for name, text in sorted(record.labels.items()):
        click.echo(f"  {name}  {text}")
    click.echo(f"  runbook  {runbook}")
    for line in lines:
        click.echo(f"{_time(line.at)}  {line.text}")


@click.command()
@click.argument("incident", type=ROW_NUMBER)
@by_option
@_json_option
def ack(incident: int, by: str | None, as_json: bool) -> None:
    """Acknowledge an incident: stop reminders and escalation.

    \b
    Examples:
      tastemaker alerts ack 12
      tastemaker alerts ack 12 --by ada
    """
    from tastemaker.watch.interventions import acknowledge

    is_new = acknowledge(_engine(), incident, person(by))
    if as_json:
        click.echo(strict_json.dumps({"incident": incident, "changed": is_new}))
    else:
        click.echo(f"incident {incident} {'is' if is_new else 'was already'} acknowledged")


@click.command()
@click.argument("matchers", nargs=-1, metavar="LABEL=VALUE...")
@click.option("--incident", type=ROW_NUMBER, help="Silence the alert of this incident.")
@click.option("--for", "duration", help="For how long: 30m, 2h, 3d; at most 7d.")
@click.option("--until", help="Until when: 2026-12-24T08:00, in UTC if it has no zone.")
@click.option("--reason", required=True, help="Why; others read it.")
@by_option
@_json_option
def silence(
    matchers: tuple[str, ...],
    incident: int | None,
    duration: str | None,
    until: str | None,
    reason: str,
    by: str | None,
    as_json: bool,
) -> None:
    """Send no notification of some alerts for a time.

    All labels must match; `rule` is the rule's name. Alerts are still evaluated. When the silence ends and an
    alert still fires, people are notified. The end of an incident that they were notified of is always sent.

    \b
    Examples:
      tastemaker alerts silence rule=slow --for 2h --reason "load test"
      tastemaker alerts silence model=ease --until 2026-12-24T08:00 --reason "holiday"
      tastemaker alerts silence --incident 12 --for 1d --reason "fix is being deployed"
    """
    from tastemaker.settings import load_settings
    from tastemaker.watch import interventions, records

    engine = _engine()
    found = dict(_matcher(one) for one in matchers)
    if incident is not None:
        record = records.incident(engine, incident)
        if record.closed_at is not None:
            raise TastemakerError(
                f"incident {incident} ended at {_time(record.closed_at)}",
                fix="silence its rule: rule=NAME",
            )
        found |= interventions.matchers_of(record, load_settings().watch)
    seconds = _seconds(duration, until)
    made = interventions.silence(engine, found, seconds=seconds, by=person(by), reason=reason)
    ends_at = datetime.fromtimestamp(made.ends_at, UTC)
    if as_json:
        click.echo(strict_json.dumps({"silence": made.id, "matchers": found, "ends_at": ends_at.isoformat()}))
    else:
        click.echo(f"silence {made.id} until {_time(ends_at)}; end it: alerts silences --end {made.id}")


@click.command()
@click.option("--all", "with_ended", is_flag=True, help="Also those that ended.")
@click.option("--end", type=ROW_NUMBER, metavar="SILENCE", help="End this silence now.")
@_json_option
def silences(with_ended: bool, end: int | None, as_json: bool) -> None:
    """List the silences, or end one.

    \b
    Examples:
      tastemaker alerts silences
      tastemaker alerts silences --end 3
    """
    from tastemaker.watch import interventions, records

    engine = _engine()
    if end is not None:
        interventions.end_silence(engine, end)
    found = records.silences(engine, only_active=not with_ended)
    if as_json:
        click.echo(strict_json.dumps([one.to_json() for one in found]))
        return
    for one in found:
        labels = ", ".join(f"{name}={text}" for name, text in one.matchers.items())
        state = "until" if one.is_active else "ended"
        click.echo(f"{one.number}  {labels}  {state} {_time(one.ends_at)}  {one.created_by}: {one.reason}")
    if not found:
        click.echo("no silence")


@click.command("test")
@click.option(
    "--channel", "names", multiple=True, type=Name(), help="Only this channel; may be given more than once."
)
@_json_option
def send_test(names: tuple[str, ...], as_json: bool) -> None:
    """Send a test alert and its end through every channel.

    Exit status 1 if a channel did not take one of the two.

    \b
    Examples:
      tastemaker alerts test
      tastemaker alerts test --channel pager
    """
    from tastemaker.notifications.channels import open_channels
    from tastemaker.settings import load_settings
    from tastemaker.util.spelling import did_you_mean
    from tastemaker.watch.trial import send_test_messages

    settings = load_settings()
    channels = open_channels(settings)
    if not channels:
        raise TastemakerError(
            "there is no channel", fix='add one to tastemaker.toml: [watch.channels.pager] type = "pagerduty"'
        )
    for name in names:
        if name not in channels:
            raise TastemakerError(
                f"there is no channel {name!r}",
                fix=did_you_mean(name, list(channels), f"the channels are {', '.join(channels)}"),
            )
    chosen = {name: one for name, one in channels.items() if not names or name in names}
    sent = send_test_messages(chosen, settings.watch.environment)
    if as_json:
        click.echo(
            strict_json.dumps(
                [
                    {"channel": name, "event": event, "outcome": one.outcome, "detail": one.detail}
                    for name, event, one in sent
                ]
            )
        )
    else:
        for name, event, one in sent:
            click.echo(f"{name}  {event}  {one.outcome}  {one.detail}")
    sys.exit(0 if all(one.outcome == "sent" for _, _, one in sent) else 1)


def _engine() -> Engine:
    from tastemaker.settings import load_settings
    from tastemaker.storage.engine import open_engine

    return open_engine(load_settings().metadata_url)


def _print(found: Sequence[IncidentRecord], nothing: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(strict_json.dumps([one.to_json() for one in found]))
        return
    for one in found:
        until = "" if one.closed_at is None else f" for {_lasted(one.opened_at, one.closed_at)}"
        click.echo(f"{one.number}  {one.severity}  {one.state}  {_time(one.opened_at)}{until}  {one.summary}")
    if not found:
        click.echo(nothing)


def _lasted(start: datetime, end: datetime) -> str:
    from tastemaker.alerting.rule import written

    return written(max(0.0, (end - start).total_seconds()), "duration")


def _matcher(text: str) -> tuple[str, str]:
    from tastemaker.watch.alertmanager import OWN_LABELS

    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[a-zA-Z_]\w*", name):
        raise TastemakerError(f"{text!r} is not LABEL=VALUE", fix="write it as model=ease or rule=slow")
    if name in OWN_LABELS:
        raise TastemakerError(
            f"{text!r} would silence nothing: incidents have no label {name}",
            fix="name the rule, rule=slow, or a label that `tastemaker alerts show` lists",
        )
    return name, value


def _seconds(duration: str | None, until: str | None) -> float:
    if (duration is None) == (until is None):
        raise TastemakerError(
            "a silence needs an end", fix="pass either --for 2h or --until 2026-12-24T08:00"
        )
    if duration is not None:
        if (found := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", duration.strip())) is None:
            raise TastemakerError(f"--for {duration!r} is not a duration", fix="write it as 30m, 2h or 3d")
        return float(found[1]) * UNITS[found[2]]
    try:
        end = datetime.fromisoformat(str(until))
    except ValueError:
        raise TastemakerError(
            f"--until {until!r} is not a time", fix="write it as 2026-12-24T08:00 or 2026-12-24T08:00+01:00"
        ) from None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    now = datetime.now(UTC)
    if end <= now:
        raise TastemakerError(f"--until {_time(end)} is in the past", fix="give a time in the future")
    return (end - now).total_seconds()


def _time(at: datetime) -> str:
    from tastemaker.notifications.message_text import time_text

    return time_text(at)
