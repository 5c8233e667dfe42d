"""`tastemaker experiment`: the group of the commands in the modules `experiment_NAME` of this package."""

from __future__ import annotations

import pkgutil
from functools import cached_property
from importlib import import_module

import click

from tastemaker import cli

_PREFIX = "experiment_"
_CHANGES = "experiment_changes"
"""The module of the commands that change an experiment: it has several."""
_CHANGING = (
    "ready",
    "start",
    "step",
    "hold",
    "resume",
    "new-epoch",
    "roll-back",
    "kill",
    "stop",
    "ship",
    "drop",
    "archive",
)


class ExperimentCommands(click.Group):
    """Group whose commands are modules, each imported when it is first needed."""

    @cached_property
    def _modules(self) -> dict[str, str]:
        """The module of each command."""
        found = {
            one.name.removeprefix(_PREFIX).replace("_", "-"): one.name
            for one in pkgutil.iter_modules(cli.__path__)
            if one.name.startswith(_PREFIX) and one.name != _CHANGES
        }
        return found | dict.fromkeys(_CHANGING, _CHANGES)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, whose module is imported now; None if there is none of that name.

        Args:
            ctx: Not used.
            cmd_name: The command's name, with dashes.
        """
        if (module := self._modules.get(cmd_name)) is None:
            return None
        brought = vars(import_module(f"{cli.__name__}.{module}")).values()
        return next(one for one in brought if isinstance(one, click.Command) and one.name == cmd_name)


@click.group(cls=ExperimentCommands)
def experiment() -> None:
    """Compare versions on real users.

    Or variants of the shop's own code, by flags. Hashes of ids decide who gets which variant, planned looks
    and guardrails what may be done next.

    \b
    Examples:
      tastemaker experiment new ranker-2 --variant ranker --hypothesis "it earns 2 % more"
      tastemaker experiment start ranker-2      enrol the first 1 % of the users
      tastemaker experiment show ranker-2       the result, and what may be done next
      tastemaker experiment step ranker-2       enrol more users
      tastemaker experiment ship ranker-2 b     make the better variant the champion
      tastemaker experiment drop ranker-2       or end it with control
    """
