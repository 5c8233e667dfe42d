"""Whole pages: title, summary, the rows behind the figures, the time, and the body."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from tastemaker.html.parts import join

GENERATOR = "Tastemaker"
CREATED = "dcterms.created"
"""Dublin Core's name of the time when a document was made."""
ROWS = "tastemaker.rows"

_NO_TEXT = dict.fromkeys(
    [*(code for code in range(0x20) if chr(code) not in "\t\n\r"), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)],
    "\ufffd",
)
"""Replacements of characters that no document may contain, such as NUL."""

_PAGE = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="{policy}"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="generator" content="{generator}"/>
<meta name="{created}" content="{iso}"/>
<meta name="{rows_name}" content="{rows}"/>
<meta name="description" content="{summary}"/>
<title>{title}</title>
<style>
{style}</style>
</head>
<body class="tastemaker">
<main>
<h1>{title}</h1>
{paragraphs}
<p class="made">{rows}. Made {shown} UTC.</p>
{body}
</main>
</body>
</html>
""")


@dataclass(frozen=True)
class Page:
    """Content of a page. All fields except `body` are plain text."""

    title: str
    """The title, such as `Leaderboard: small shop`."""
    summary: str
    """The result in sentences; each line is a paragraph."""
    rows: str
    """The number of events, users or requests behind the figures, and their period, without a full stop."""
    made_at: datetime
    """The time when the page was made, with a time zone."""
    body: Markup
    has_form: bool = False
    """Whether the page has a form, which is sent to where the page came from."""


def render(page: Page) -> str:
    """Return a page as HTML that is also well-formed XML, with its style and a strict content policy."""
    made_at = page.made_at.astimezone(UTC)
    document = _PAGE.format(
        policy=policy(has_form=page.has_form),
        generator=GENERATOR,
        created=CREATED,
        iso=made_at.isoformat(timespec="seconds"),
        rows_name=ROWS,
        rows=page.rows,
        summary=" ".join(page.summary.split()),
        title=page.title,
        style=style(),
        paragraphs=join(
            Markup('<p class="summary">{}</p>').format(line)
            for line in page.summary.splitlines()
            if line.strip()
        ),
        shown=f"{made_at:%Y-%m-%d %H:%M}",
        body=page.body,
    )
    return str(document.translate(_NO_TEXT))


def titled(document: str, title: str) -> str:
    """Return another library's document with a title and the width of a phone; the first of each counts.

    Args:
        document: HTML; without a `<head>` it is returned as it is.
        title: The title as text, which is escaped.
    """
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    named = Markup("<head><title>{}</title>").format(title) + Markup(viewport)
    return document.replace("<head>", str(named), 1)


def cell(body: Markup) -> str:
    """Return HTML for a notebook's cell with the style of the pages, which affects nothing else."""
    framed = Markup('<div class="tastemaker cell">\n<style>\n{}</style>\n{}\n</div>').format(style(), body)
    return str(framed.translate(_NO_TEXT))


@cache
def style() -> Markup:
    """Return the style sheet; every rule applies only inside an element of the class `tastemaker`."""
    return Markup(files("tastemaker.html").joinpath("style.css").read_text(encoding="utf-8"))


@cache
def policy(*, has_form: bool = False) -> str:
    """Return the Content-Security-Policy of a page: its style, embedded images, and its forms, if any.

    Reference: Content Security Policy Level 3, W3C, section 8.3 (hashes of inline elements).
    """
    digest = hashlib.sha256(f"\n{style()}".encode()).digest()
    allowed = base64.b64encode(digest).decode()
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src 'sha256-{allowed}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'self'" if has_form else "form-action 'none'",
        ]
    )
