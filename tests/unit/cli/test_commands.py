"""The commands as a whole: each is listed, says what it is for, and none makes the others slow."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest
from click.testing import CliRunner

from tastemaker.cli.main import GROUP, cli
from tastemaker.cli.names import Name, NameChoice

HEAVY = (
    "alembic",
    "bentoml",
    "dagster",
    "duckdb",
    "evidently",
    "feast",
    "great_expectations",
    "ibis",
    "implicit",
    "lightgbm",
    "matplotlib",
    "msgspec",
    "numpy",
    "onnxruntime",
    "pandas",
    "prefect",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy",
    "sqlalchemy",
)
WITH_VALUES = {"columns", "flags", "given", "matchers", "query", "shares"}
"""What may be repeated and has a free value, in which a comma may be."""
NAMES = sorted(entry.name for entry in entry_points(group=GROUP))


def _commands(command: click.Command, *words: str) -> list[tuple[str, ...]]:
    """This command's words and those of all below it."""
    found = [words]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            found += _commands(child, *words, name)
    return found


def _parameters(command: click.Command, words: tuple[str, ...] = ()) -> list[click.Parameter]:
    """The parameters of the command that some words call."""
    if not words:
        return command.params
    assert isinstance(command, click.Group)
    child = command.get_command(click.Context(command), words[0])
    assert child is not None
    return _parameters(child, words[1:])


@pytest.mark.processes
def test_help_imports_nothing_slow() -> None:
    code = f"""
import sys
from tastemaker.cli.main import cli
cli(["--help"], standalone_mode=False)
print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.split() == []
    listed = answer.stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed if line.strip()] == NAMES


def test_every_command_is_found() -> None:
    assert set(NAMES) >= {"data", "demo", "evaluate", "frame", "leaderboard", "models", "run", "serve"}


@pytest.mark.parametrize("words", _commands(cli), ids=" ".join)
def test_help_shows_what_it_is_for_and_examples(words: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(cli, [*words, "--help"])
    assert answer.exit_code == 0, answer.output
    summary = answer.output.split("\n\n")[1]
    assert summary.startswith("  ")
    assert "Examples:\n" in answer.output or not words
    assert f"tastemaker {' '.join(words)}".strip() in answer.output


@pytest.mark.parametrize("words", _commands(cli), ids=" ".join)
def test_a_list_with_commas_is_not_read_as_one_name(words: tuple[str, ...]) -> None:
    """What is repeated is a name, of which a list is refused, or has a value in which a comma may be."""
    for param in _parameters(cli, words):
        if not (param.multiple if isinstance(param, click.Option) else param.nargs == -1):
            continue
        if isinstance(param.type, Name | NameChoice):
            with pytest.raises(click.BadParameter) as raised:
                param.type.convert("ease, trending", param, None)
            option = f"{param.opts[0]} " if isinstance(param, click.Option) else ""
            assert str(raised.value).endswith(f"give each by itself: {option}ease {option}trending")
        else:
            assert param.name in WITH_VALUES, f"{param.name} takes names: give it the type Name"
