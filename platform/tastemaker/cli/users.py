"""`tastemaker users`: manage the users of the dashboard, and list what they searched for."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from tastemaker.util import strict_json

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tastemaker.dashboard.access.users import DashboardUser

ROLES = ("viewer", "editor", "admin")
PASSWORD_VARIABLE = "TASTEMAKER_DASHBOARD_PASSWORD"
"""Environment variable with a new password, for programs."""
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_stdin_option = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read the password from the first line of stdin."
)
_force_option = click.option("--force", is_flag=True, help="Do it even if no admin is left.")
_role_help = (
    "viewer: sees figures. editor: acknowledges and silences alerts, too. "
    "admin: sees users and the audit of searches, too."
)


@click.group()
def users() -> None:
    """Manage the users of the dashboard.

    While there are no users, the dashboard answers requests from this machine only, without a login. A change
    of a password, a role or a right ends the user's sessions at once.

    \b
    A new password is asked for, or comes from stdin or TASTEMAKER_DASHBOARD_PASSWORD.

    \b
    Examples:
      tastemaker users add ada --role admin
      tastemaker users list
      tastemaker users role grace editor --may-see-users
      tastemaker users audit
    """


@users.command("add")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(ROLES), help=_role_help)
@click.option("--may-see-users", is_flag=True, help="Show user ids, and let this user search for them.")
@click.option("--by-proxy", is_flag=True, help="Set no password: the proxy of dashboard.user_header logs in.")
@_stdin_option
@_json_option
def add(name: str, role: str, may_see_users: bool, by_proxy: bool, from_stdin: bool, as_json: bool) -> None:
    """Add the user NAME.

    \b
    Examples:
      tastemaker users add ada --role admin
      tastemaker users add grace --role viewer --may-see-users --password-stdin < password.txt
      tastemaker users add alan@shop.example --role editor --by-proxy
    """
    from tastemaker.dashboard.access.users import add_user
    from tastemaker.dashboard.viewer import Role

    with_password = None if by_proxy else _new_password(from_stdin)
    made = add_user(_engine(), name, Role.named(role), password=with_password, may_see_users=may_see_users)
    _show(made, "added", as_json)


@users.command("list")
@_json_option
def list_all(as_json: bool) -> None:
    """List the users with their roles and rights.

    \b
    Examples:
      tastemaker users list
      tastemaker users list --json
    """
    from tastemaker.dashboard.access.users import list_users

    found = list_users(_engine())
    if as_json:
        click.echo(strict_json.dumps([_as_json(one) for one in found]))
        return
    if not found:
        click.echo("there are no users: the dashboard answers requests from this machine only")
    for one in found:
        click.echo(_line(one))


@users.command("password")
@click.argument("name")
@_stdin_option
@_json_option
def password(name: str, from_stdin: bool, as_json: bool) -> None:
    """Set the password of NAME, and end the sessions.

    \b
    Examples:
      tastemaker users password ada
      tastemaker users password ada --password-stdin < password.txt
    """
    from tastemaker.dashboard.access.users import set_password

    _show(set_password(_engine(), name, _new_password(from_stdin)), "password set:", as_json)


@users.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@click.option("--may-see-users/--may-not-see-users", default=None, help="Show user ids, or no longer.")
@_force_option
@_json_option
def set_the_role(name: str, role: str, may_see_users: bool | None, force: bool, as_json: bool) -> None:
    """Set the role of NAME, and end the sessions.

    \b
    Examples:
      tastemaker users role grace editor
      tastemaker users role grace viewer --may-not-see-users
    """
    from tastemaker.dashboard.access.users import set_role
    from tastemaker.dashboard.viewer import Role

    engine = _engine()
    changed = set_role(engine, name, Role.named(role), may_see_users=may_see_users, force=force)
    _show(changed, "changed", as_json)
    _warn_without_admin(engine)


@users.command("remove")
@click.argument("name")
@_force_option
@_json_option
def remove(name: str, force: bool, as_json: bool) -> None:
    """Remove the user NAME, and end the sessions.

    \b
    Examples:
      tastemaker users remove grace
    """
    from tastemaker.dashboard.access.users import remove_user

    engine = _engine()
    _show(remove_user(engine, name, force=force), "removed", as_json)
    _warn_without_admin(engine)


@users.command("audit")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="Most searches."
)
@_json_option
def audit(limit: int, as_json: bool) -> None:
    """List the newest searches for user ids.

    Each has its time, who searched, how much was found, and the query. An erased user is shown as (erased).

    \b
    Examples:
      tastemaker users audit
      tastemaker users audit --limit 1000 --json
    """
    from tastemaker.dashboard.access.audit import read_audit

    found = read_audit(_engine(), limit)
    if as_json:
        rows = [{**one._asdict(), "at": one.at.isoformat(timespec="seconds")} for one in found]
        click.echo(strict_json.dumps(rows))
        return
    for one in found:
        query = "".join(sign if sign.isprintable() else "\ufffd" for sign in one.query)
        click.echo(f"{one.at:%Y-%m-%d %H:%M:%S} UTC  {one.user_name}  {one.rows:,} found  {query}")
    if not found:
        click.echo("no searches")


def _engine() -> Engine:
    from tastemaker.settings import load_settings
    from tastemaker.storage.engine import open_engine

    return open_engine(load_settings().metadata_url)


def _new_password(from_stdin: bool) -> str:
    """Return the new password: from the environment, else stdin, else a prompt."""
    from tastemaker.errors import TastemakerError

    if (given := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return given
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise TastemakerError(
            "there is no terminal to ask for the password on",
            fix=f"pass --password-stdin and write it to stdin, or set {PASSWORD_VARIABLE}",
        )
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return asked


def _show(user: DashboardUser, done: str, as_json: bool) -> None:
    click.echo(strict_json.dumps(_as_json(user)) if as_json else f"{done} {_line(user)}")


def _line(user: DashboardUser) -> str:
    sees = "sees user ids" if user.may_see_users else "sees no user ids"
    login = "password" if user.has_password else "proxy only"
    return f"{user.name}  {user.role.word}  {sees}  {login}"


def _as_json(user: DashboardUser) -> dict[str, Any]:
    created = user.created_at.isoformat(timespec="seconds")
    return {**user._asdict(), "role": user.role.word, "created_at": created}


def _warn_without_admin(engine: Engine) -> None:
    from tastemaker.dashboard.access.users import list_users
    from tastemaker.dashboard.viewer import Role

    found = list_users(engine)
    if not found:
        click.echo(
            "warning: there are no users any more. A running dashboard answers no request until it is "
            "started again; then it answers this machine only, without a login.",
            err=True,
        )
    elif all(one.role != Role.ADMIN for one in found):
        click.echo("warning: there is no admin any more", err=True)
