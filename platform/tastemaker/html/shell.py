"""A whole page: what it is, when it was made, of which rows, and what it comes to."""

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
"""Dublin Core's name of the time at which a document was made."""
ROWS = "tastemaker.rows"

_NO_TEXT = dict.fromkeys(
    [*(code for code in range(0x20) if chr(code) not in "\t\n\r"), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)],
    "\ufffd",
)
"""Characters that no document may hold, such as NUL, and what stands for them."""

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
    """What every page says. Plain text but for `body`."""

    title: str
    """Such as `Leaderboard: small shop`."""
    summary: str
    """What it comes to, in sentences; a line is a paragraph."""
    rows: str
    """What stands behind it: how many events, users or requests, and their period. No full stop."""
    made_at: datetime
    """Aware of its time zone."""
    body: Markup


def render(page: Page) -> str:
    """The document: HTML that is well-formed XML too, its style inside, and a policy that lets nothing in."""
    made_at = page.made_at.astimezone(UTC)
    document = _PAGE.format(
        policy=policy(),
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
    """Another library's document with this title: of several titles of a document the first one holds."""
    named = Markup("<head><title>{}</title>").format(title)
    return document.replace("<head>", str(named), 1)


def cell(body: Markup) -> str:
    """HTML for a notebook's cell with the style of the pages, which touches nothing else of the notebook."""
    framed = Markup('<div class="tastemaker cell">\n<style>\n{}</style>\n{}\n</div>').format(style(), body)
    return str(framed.translate(_NO_TEXT))


@cache
def style() -> Markup:
    """The style sheet; every rule is for what is inside an element of the class `tastemaker`."""
    return Markup(files("tastemaker.html").joinpath("style.css").read_text(encoding="utf-8"))


@cache
def policy() -> str:
    """The Content-Security-Policy of a page: its own style and embedded images, and nothing else.

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
            "form-action 'none'",
        ]
    )
