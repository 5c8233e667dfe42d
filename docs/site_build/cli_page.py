"""The reference page of the command line, from the Click commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from site_build.markdown import code, heading, page, table
from tastemaker.cli.main import cli

INTRODUCTION = """# Command line

Each command explains itself with `--help`, as on this page.
"""


def cli_page() -> str:
    """Return the page: one section per command, groups with their subcommands."""
    return page(INTRODUCTION, *(_section(context) for context in contexts()))


def contexts() -> Iterator[click.Context]:
    """Yield a context of every command, in the order of the page; `command_path` is its full name."""
    waiting = [click.Context(cli, info_name="tastemaker")]
    while waiting:
        context = waiting.pop(0)
        yield context
        if isinstance(group := context.command, click.Group):
            commands = ((name, group.get_command(context, name)) for name in group.list_commands(context))
            waiting = [
                *(click.Context(one, info_name=name, parent=context) for name, one in commands if one),
                *waiting,
            ]


def _section(context: click.Context) -> str:
    command, name = context.command, context.command_path
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    level = 2 + name.count(" ") if context.parent else 2
    return page(
        heading(min(level, 3), code(name), name.replace(" ", "-")),
        _help(command.help or ""),
        f"```text\n{usage}\n```",
        _parameters(context),
    )


def _help(text: str) -> str:
    r"""Return help as Markdown: what Click prints as it is written (`\b`) becomes a block of text."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if not paragraph.startswith("\b"):
            parts.append(" ".join(paragraph.split()))
            continue
        title, _, lines = paragraph.removeprefix("\b").strip("\n").partition("\n")
        parts.append(f"{title}\n\n```text\n{inspect.cleandoc(lines)}\n```")
    return "\n\n".join(parts)


def _parameters(context: click.Context) -> str:
    rows = []
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            names, text = record
            rows.append([code(re.sub(r"\s+", " ", names)), _escaped(text)])
    return table(["Option", "Meaning"], rows) if rows else ""


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]<>*_])", r"\\\1", text)
