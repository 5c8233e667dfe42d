"""Parts of pages. Text is escaped, `markupsafe.Markup` is not."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, classes: Mapping[int, str] | None = None
) -> Markup:
    """Return a table that scrolls horizontally if it is too wide for the window.

    Args:
        heads: The head of each column, as text.
        rows: The cells of each row, as many as there are heads; text is escaped.
        classes: The class of the cells by column: `text` for sentences, `name` for names; both wrap.
    """
    named = {at: Markup(' class="{}"').format(one) for at, one in (classes or {}).items()}
    head = join((Markup('<th scope="col">{}</th>').format(one) for one in heads), "")
    body = join(
        Markup("<tr>{}</tr>").format(
            join((Markup("<td{}>{}</td>").format(named.get(at, ""), one) for at, one in enumerate(row)), "")
        )
        for row in rows
    )
    return Markup(
        '<div class="wide" tabindex="0"><table>\n<thead><tr>{}</tr></thead>\n'
        "<tbody>\n{}\n</tbody></table></div>"
    ).format(head, body)


def facts(found: Mapping[str, str]) -> Markup:
    """Return a table of facts by name, one per line."""
    rows = join(
        Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(name, value)
        for name, value in found.items()
    )
    return Markup('<table class="facts"><tbody>\n{}\n</tbody></table>').format(rows)


def below(value: str, small: str) -> Markup:
    """Return a figure with a small text below it, such as its interval.

    Args:
        value: The figure as text, or as HTML; text is escaped.
        small: The text below it, escaped likewise.
    """
    return Markup("{}<small>{}</small>").format(value, small)


def join(parts: Iterable[str], between: str = "\n") -> Markup:
    """Return the parts, joined.

    Args:
        parts: Text or HTML; text is escaped.
        between: What is between two parts; HTML, which is not escaped.
    """
    return Markup(between).join(parts)


def embedded(picture: Path, shows: str) -> Markup:
    """Return a PNG file embedded in the page.

    Args:
        picture: The PNG file.
        shows: The alternative text.
    """
    data = base64.b64encode(picture.read_bytes()).decode()
    image = Markup('<img alt="{}" src="data:image/png;base64,{}"/>').format(shows, data)
    return Markup('<figure class="wide" tabindex="0">{}</figure>').format(image)
