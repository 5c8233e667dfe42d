"""Click parameter types for names of which a command takes several, each by itself."""

from __future__ import annotations

from typing import Any

import click


class Name(click.types.StringParamType):
    """Click parameter type of one name; a list with commas is refused with what to write instead."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a name as it is.

        Args:
            value: The text.
            param: The option or argument, for the error message; None outside of a command.
            ctx: The command's context, for the error message; None outside of a command.

        Raises:
            BadParameter: It has a comma, which no name has.
        """
        return _one_name(self, str(super().convert(value, param, ctx)), param, ctx)


class NameChoice(click.Choice[str]):
    """Click parameter type of one of some names; a list with commas is refused as by `Name`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a name that is one of the choices.

        Args:
            value: The text.
            param: The option or argument, for the error message; None outside of a command.
            ctx: The command's context, for the error message; None outside of a command.

        Raises:
            BadParameter: It is not one of the choices.
        """
        return super().convert(_one_name(self, str(value), param, ctx), param, ctx)


def _one_name(
    type_: Name | NameChoice, value: str, param: click.Parameter | None, ctx: click.Context | None
) -> str:
    """Return a text that has no comma, or end with an error."""
    if "," not in value:
        return value
    before = f"{param.opts[-1]} " if isinstance(param, click.Option) else ""
    apart = " ".join(before + part for name in value.split(",") if (part := name.strip()))
    type_.fail(f"{value!r} has a comma, but is read as one name; give each by itself: {apart}", param, ctx)
