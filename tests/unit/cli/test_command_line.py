"""`tastemaker` itself: what it says when a command can't do its work."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from tastemaker.cli import main
from tastemaker.errors import TastemakerError


def run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The console script, with a command that raises."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "cli", fail)
    monkeypatch.setattr(sys, "argv", ["tastemaker"])
    main.main()


def test_a_mistake_is_one_line_and_its_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, TastemakerError("k is 0", fix="pass --k 10"))
    assert capsys.readouterr().err == "error: k is 0\n  fix: pass --k 10\n"


@pytest.mark.parametrize(
    ("module", "extras"),
    [
        ("dagster", ["pipelines"]),
        ("great_expectations.core", ["pipelines"]),
        ("ibis", ["dashboard", "data", "pipelines", "simulation", "tuning", "watch"]),
        ("evidently", ["monitoring"]),
        ("bentoml", ["serving"]),
    ],
)
def test_what_is_not_installed_is_named_with_the_extras_that_have_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, extras: list[str]
) -> None:
    assert main.extras_with(module) == extras
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, ModuleNotFoundError(name=module))
    said = capsys.readouterr().err
    assert said.startswith(f"error: this needs {module}, which is not installed\n  fix: install an extra")
    assert "tastemaker[" + extras[0] + "]" in said


def test_a_module_that_no_extra_brings_is_a_bug_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError):
        run(monkeypatch, ModuleNotFoundError(name="tastemaker.nowhere"))


def commands(command: click.Command, path: tuple[str, ...] = ("tastemaker",)) -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


EVERY = list(commands(main.cli))


def resolved(words: tuple[str, ...]) -> click.Command:
    """The command that these words name."""
    command: click.Command = main.cli
    for word in words[1:]:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return command


def helped(words: tuple[str, ...]) -> str:
    """What --help prints on a terminal of 80 columns."""
    result = CliRunner(env={"COLUMNS": "80"}).invoke(main.cli, [*words[1:], "--help"], terminal_width=80)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_has_a_summary_in_one_line_and_an_example(words: tuple[str, ...]) -> None:
    said = helped(words)
    _usage, summary, *rest = said.split("\n\n")
    assert len(summary.strip().split("\n")) == 1
    assert not summary.rstrip().endswith(("...", ":"))
    calls = [line.strip() for line in said.split("\n") if line.startswith(f"    {' '.join(words)}")]
    assert calls, said
    listed = next((part for part in rest if part.startswith("Commands:")), "")
    assert "..." not in listed  # a summary that is cut off says nothing


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_no_number_may_be_nan(words: tuple[str, ...]) -> None:
    for one in resolved(words).params:
        if isinstance(one.type, click.FloatRange):
            with pytest.raises(click.BadParameter, match="not a finite number"):
                one.type("nan", one, None)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_a_number_that_is_an_argument_has_limits(words: tuple[str, ...]) -> None:
    arguments = [one for one in resolved(words).params if isinstance(one, click.Argument)]
    assert [one.name for one in arguments if one.type is click.INT] == [], "a database refuses 10 ** 20"


def test_the_examples_are_commands_and_options_that_exist() -> None:
    for words in EVERY:
        for line in helped(words).split("\n"):
            example = re.match(r"    (?:[A-Z_]+=\S+ )?tastemaker ([a-z].*)", line)
            if example is None:
                continue
            typed = shlex.split(example[1].split("  ")[0].split(" | ")[0].split(" > ")[0], comments=True)
            command: click.Command = main.cli
            while typed and isinstance(command, click.Group):
                found = command.get_command(click.Context(command), typed[0])
                assert found is not None, line
                command, typed = found, typed[1:]
            known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
            assert {word for word in typed if word.startswith("--")} <= known, line
