"""A digest as text and as HTML. Mail programs drop style sheets and images: styles are in the elements."""

from __future__ import annotations

from markupsafe import Markup

from tastemaker.digest.document import Digest, DigestSection, DigestTable, DigestText
from tastemaker.html.parts import join
from tastemaker.notifications.message_text import time_text

GREY = "color:#767676"
"""Readable on white and on black."""
CELL = "text-align:left;vertical-align:top;padding:.3em .8em .3em 0;border-bottom:1px solid #767676"
_PAGE = Markup(
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark"><title>{title}</title></head>\n'
    '<body style="font-family:sans-serif;line-height:1.4;max-width:60em;margin:1em auto;padding:0 1em">\n'
    '<h1 style="font-size:1.4em">{title}</h1>\n<p><strong>{answer}</strong></p>\n{sections}\n'
    '<p style="{grey}"><small>{made}</small></p>\n</body></html>\n'
)


def text_sections(digest: Digest) -> tuple[str, ...]:
    """Return the digest as text: one string per section, the first with its title and answer."""
    return f"{digest.title}\n{digest.answer}", *map(_text, digest.sections), _made(digest)


def html_page(digest: Digest) -> str:
    """Return the digest as one page without style sheet, script or image."""
    return _PAGE.format(
        title=digest.title,
        answer=digest.answer,
        sections=join(map(_html, digest.sections)),
        grey=GREY,
        made=_made(digest),
    )


def _made(digest: Digest) -> str:
    return f"Weekly digest {digest.week} of Tastemaker, made {time_text(digest.created_at)}."


def _text(section: DigestSection) -> str:
    lines = [section.title, *(f"- {line.text}" for line in section.lines)]
    if section.table is not None:
        lines += [_row_text(section.table, row) for row in section.table.rows]
    return "\n".join(lines)


def _row_text(table: DigestTable, row: tuple[DigestText, ...]) -> str:
    """Return a row in one line; the cells before `This week` are its name."""
    first = table.heads.index("This week")
    name = ", ".join(cell.text for cell in row[:first])
    rest = zip(table.heads[first + 1 :], row[first + 1 :], strict=True)
    return "; ".join(
        [f"- {name}: {row[first].text}", *(f"{head.lower()} {cell.text}" for head, cell in rest)]
    )


def _html(section: DigestSection) -> Markup:
    lines = join((Markup("<li{}>{}</li>").format(_style(line), line.text) for line in section.lines), "\n")
    return Markup('<h2 style="font-size:1.15em">{}</h2>\n<ul style="padding-left:1.2em">{}</ul>\n{}').format(
        section.title, lines, _html_table(section.table) if section.table else ""
    )


def _html_table(table: DigestTable) -> Markup:
    heads = join((Markup('<th scope="col" style="{}">{}</th>').format(CELL, one) for one in table.heads), "")
    rows = join(Markup("<tr>{}</tr>").format(_html_row(row)) for row in table.rows)
    return Markup(
        '<div style="overflow-x:auto"><table style="border-collapse:collapse">\n<thead><tr>{}</tr></thead>\n'
        "<tbody>\n{}\n</tbody></table></div>"
    ).format(heads, rows)


def _html_row(row: tuple[DigestText, ...]) -> Markup:
    return join(
        (
            Markup('<td style="{}{}">{}</td>').format(CELL, f";{GREY}" if one.is_grey else "", one.text)
            for one in row
        ),
        "",
    )


def _style(line: DigestText) -> Markup:
    return Markup(' style="{}"').format(GREY) if line.is_grey else Markup("")
