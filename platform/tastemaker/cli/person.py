"""Who runs a command: the option --by, and the name that the system knows."""

from __future__ import annotations

import getpass

import click

from tastemaker.errors import TastemakerError

by_option = click.option("--by", help="Your name.  [default: the name you are logged in by]")


def person(given: str | None) -> str:
    """Return the given name, else the name that the person is logged in by.

    Raises:
        TastemakerError: There is neither.
    """
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise TastemakerError("your name is not known here", fix="pass --by NAME") from None
