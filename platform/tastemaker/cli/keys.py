"""`tastemaker keys`: manage the API keys of the prediction service, and of models that report in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.names import NameChoice
from tastemaker.cli.numbers import Number
from tastemaker.util import strict_json

if TYPE_CHECKING:
    from pathlib import Path

    from tastemaker.serving.http.api_keys import Key, KeyScope, NewKey

SCOPES = ("recommend", "feedback", "manage", "report", "train", "control")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_HOUR, _DAY = 3_600, 86_400
_MAX_DAYS = 36_500


@click.group()
def keys() -> None:
    """Manage the API keys of the prediction service.

    Running workers apply a change within a second. While no key exists, the service answers requests from
    this machine only.

    \b
    Examples:
      tastemaker keys new web-shop --scope recommend --scope feedback
      tastemaker keys list
      tastemaker keys rotate web-shop      create a new key; the old one stays active for a day
      tastemaker keys revoke web-shop      revoke all keys of that name
    """


@keys.command("new")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=NameChoice(SCOPES),
    help="recommend: read lists, similar items and explanations. feedback: send events. "
    "manage: change items and users. report: report figures and answers of a foreign model as NAME. "
    "train: request trainings of models. "
    "control: send requests as the controller of experiments. "
    "May be given more than once.",
)
@click.option(
    "--per-second",
    type=Number(0, 1e6, min_open=True),
    help="Rate limit in requests per second.  [default: no limit]",
)
@click.option(
    "--days", type=Number(0, _MAX_DAYS, min_open=True), help="Days until the key expires.  [default: never]"
)
@_json_option
def new(
    name: str, scopes: tuple[str, ...], per_second: float | None, days: float | None, as_json: bool
) -> None:
    """Create a key for NAME and print it once.

    Only a hash of the key is stored, so it can't be printed again.

    \b
    Examples:
      tastemaker keys new web-shop --scope recommend --scope feedback
      tastemaker keys new catalogue-job --scope manage --per-second 10 --days 90
      tastemaker keys new search-team --scope report
      tastemaker keys new catalogue-job --scope manage --scope train
    """
    import time
    from typing import cast

    from tastemaker.serving.http.api_keys import add, changed

    end = None if days is None else time.time() + days * _DAY
    chosen = cast("list[KeyScope]", [scope for scope in SCOPES if scope in scopes])
    with changed(_file()) as known:
        made = add(known, _checked(name, chosen), chosen, per_second=per_second, expires_at=end)
    _print_secret(made, as_json)


@keys.command("list")
@_json_option
def list_keys(as_json: bool) -> None:
    """List the keys with their scopes, rate limits and states.

    \b
    Examples:
      tastemaker keys list
      tastemaker keys list --json
    """
    from tastemaker.serving.http.api_keys import read_keys

    found = [_shown(key) for key in read_keys(_file())]
    if as_json:
        click.echo(strict_json.dumps(found))
        return
    if not found:
        click.echo("no API key exists: the service answers requests from this machine only")
    for key in found:
        rate = "no rate limit" if key["per_second"] is None else f"{key['per_second']:g} per second"
        until = f" until {key['expires_at']}" if key["state"] == "active" and key["expires_at"] else ""
        click.echo(f"{key['id']}  {key['name']}  {','.join(key['scopes'])}  {rate}  {key['state']}{until}")


@keys.command("rotate")
@click.argument("name")
@click.option(
    "--grace-hours",
    default=24.0,
    show_default=True,
    type=Number(0, _MAX_DAYS * 24),
    help="Hours until the old keys expire.",
)
@_json_option
def rotate_key(name: str, grace_hours: float, as_json: bool) -> None:
    """Replace NAME's keys by a new one; the old ones expire later.

    \b
    Examples:
      tastemaker keys rotate web-shop
      tastemaker keys rotate web-shop --grace-hours 1
    """
    from tastemaker.serving.http.api_keys import changed, rotate

    with changed(_file()) as known:
        made = rotate(known, name, grace_hours * _HOUR)
    _print_secret(made, as_json)


@keys.command("revoke")
@click.argument("name")
@_json_option
def revoke_key(name: str, as_json: bool) -> None:
    """Revoke NAME's keys, or the key with that id.

    \b
    Examples:
      tastemaker keys revoke web-shop
      tastemaker keys revoke 3f9a1c2b4d5e
    """
    from tastemaker.serving.http.api_keys import changed, revoke

    with changed(_file()) as known:
        revoked = [_shown(key) for key in revoke(known, name)]
    if as_json:
        click.echo(strict_json.dumps(revoked))
        return
    for key in revoked:
        click.echo(f"revoked {key['id']} of {key['name']}")


def _file() -> Path:
    from tastemaker.settings import load_settings

    return load_settings().keys


def _checked(name: str, scopes: list[KeyScope]) -> str:
    from tastemaker.errors import TastemakerError
    from tastemaker.storage.tables import OWN_SOURCE

    if "report" in scopes and name == OWN_SOURCE:
        raise TastemakerError(
            f"a key for reports can't be called {name!r}, which is the source of our own figures",
            fix="name it after the team or the system that reports",
        )
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise TastemakerError(f"name = {name!r}: must be 1 to 100 printable characters", fix="shorten it")
    return name


def _shown(key: Key) -> dict[str, Any]:
    import time
    from datetime import UTC, datetime

    def iso(seconds: float | None) -> str | None:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

    state = "active" if key.is_active(time.time()) else "revoked" if key.revoked_at is not None else "expired"
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "per_second": key.per_second,
        "state": state,
        "created_at": iso(key.created_at),
        "expires_at": iso(key.expires_at),
        "revoked_at": iso(key.revoked_at),
    }


def _print_secret(made: NewKey, as_json: bool) -> None:
    if as_json:
        click.echo(strict_json.dumps({**_shown(made.key), "key": made.secret}))
        return
    click.echo(f"created key {made.key.id} for {made.key.name}; it is printed only once:", err=True)
    click.echo(made.secret)
