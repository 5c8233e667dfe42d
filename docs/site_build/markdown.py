"""Parts of Markdown pages."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown, in which `|` and the ends of lines are escaped."""
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def code(text: object) -> str:
    """Return text in a code span, also where it contains backticks."""
    words = str(text)
    return f"`` {words} ``" if "`" in words else f"`{words}`"


def heading(level: int, text: str, anchor: str) -> str:
    """Return a heading with an anchor of its own."""
    return f"{'#' * level} {text} {{ #{anchor} }}\n"


def prose(text: str) -> str:
    """Return a docstring as a paragraph: its own line ends go, blank lines stay."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def page(*parts: str) -> str:
    """Return a page made of parts with a blank line between them."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
