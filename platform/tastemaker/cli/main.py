"""`tastemaker`: finds the commands, and prints errors that users can fix as plain lines."""

from __future__ import annotations

import os
import re
import sys
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points, requires

import click

from tastemaker._version import __version__
from tastemaker.cli.output import make_output_safe
from tastemaker.errors import TastemakerError
from tastemaker.util.os_errors import in_words

GROUP = "tastemaker.commands"


class Commands(click.Group):
    """Command group of all installed commands; each is imported when it is first needed."""

    @cached_property
    def _found(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return an installed command, which is imported now; None if there is none of that name.

        Args:
            ctx: Not used.
            cmd_name: The name of its entry point.

        Raises:
            TastemakerError: The entry point names something else than a command.
        """
        entry = self._found.get(cmd_name)
        if entry is None:
            return None
        command = entry.load()
        if not isinstance(command, click.Command):
            raise TastemakerError(
                f"entry point {entry.value} in {GROUP} is not a Click command",
                fix=f"fix the entry point {cmd_name!r} of the distribution that brings it, or uninstall it",
            )
        return command


@click.command(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="tastemaker")
def cli() -> None:
    """Train, evaluate, serve and monitor recommender systems.

    \b
    Typical order:
      tastemaker init          create a project
      tastemaker frame         write the problem file
      tastemaker data check    validate the data without ingesting it
      tastemaker run           ingest, validate, make features, train, evaluate, report
      tastemaker leaderboard   compare the models
      tastemaker serve         answer requests over HTTP

    \b
    Exit status:
      0  success
      1  a check failed or something was left undone; the output says what
      2  a mistake that the user can fix; the error says how
    """


def main() -> None:
    """Run the console script.

    The exit status is 0 for success, 1 if a check failed or something was left undone, and 2 for a mistake
    that the user can fix.
    """
    # LightGBM reads it when it is loaded: its threads then sleep while they wait instead of spinning.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    make_output_safe()
    try:
        cli()
    except TastemakerError as error:
        _end(error)
    except ModuleNotFoundError as error:
        if not (extras := extras_with(error.name or "")):
            raise
        _end(
            TastemakerError(
                f"this needs {error.name}, which is not installed",
                fix="install an extra that has it: " + " or ".join(f"tastemaker[{one}]" for one in extras),
            )
        )
    except Exception as error:
        if (refusal := in_words(error)) is None:
            raise
        _end(refusal)


def extras_with(module: str) -> list[str]:
    """Return the extras of `tastemaker` that install a module, by the names of their distributions."""
    package = module.partition(".")[0].replace("_", "-")
    found = (
        re.match(rf"{re.escape(package)}\b.*extra == ['\"](\w+)", line)
        for line in requires("tastemaker") or ()
    )
    return sorted({match[1] for match in found if match} - {"dev"})


def _end(error: TastemakerError) -> None:
    click.echo(f"error: {error}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
