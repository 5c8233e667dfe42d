"""Parts of pages. What is given as text is escaped, `markupsafe.Markup` is taken for HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, classes: Mapping[int, str] | None = None
) -> Markup:
    """A table that scrolls sideways where it is too wide for the window.

    `classes`: column -> the class of its cells, `text` for sentences and `name` for names: these break lines.
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
    """Names with what is known of them, one a line."""
    rows = join(
        Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(name, value)
        for name, value in found.items()
    )
    return Markup('<table class="facts"><tbody>\n{}\n</tbody></table>').format(rows)


def below(value: str, small: str) -> Markup:
    """A figure with what is to be said of it below, such as its interval."""
    return Markup("{}<small>{}</small>").format(value, small)


def join(parts: Iterable[str], between: str = "\n") -> Markup:
    """Parts one after another."""
    return Markup(between).join(parts)


def embedded(picture: Path, shows: str) -> Markup:
    """A PNG file in the page itself, that scrolls sideways; `shows` is said to those who can't see it."""
    data = base64.b64encode(picture.read_bytes()).decode()
    image = Markup('<img alt="{}" src="data:image/png;base64,{}"/>').format(shows, data)
    return Markup('<figure class="wide" tabindex="0">{}</figure>').format(image)
