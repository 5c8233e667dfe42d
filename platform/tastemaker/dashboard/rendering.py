"""Templates: from content to HTML. Jinja2 escapes every text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, get_args
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tastemaker.dashboard import content, formats
from tastemaker.dashboard.charts.specs import outer_size
from tastemaker.dashboard.page import DashboardPage


@cache
def environment() -> Environment:
    """Return the templates' environment."""
    made = Environment(
        loader=PackageLoader("tastemaker.dashboard"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": formats.number,
        "interval": formats.interval,
        "as_cell": formats.cell,
        "outer_size": outer_size,
    }
    made.tests |= {
        kind.__name__: lambda value, wanted=kind: isinstance(value, wanted)
        for kind in get_args(content.PageBlock)
    }
    return made


def render(template: str, *, timezone: ZoneInfo, pages: Sequence[DashboardPage], **values: Any) -> str:
    """Return a document.

    Args:
        template: Name of the template.
        timezone: The shop's time zone.
        pages: The pages of the navigation.
        values: What the template needs.
    """
    return (
        environment()
        .get_template(template)
        .render(
            timezone=timezone,
            pages=pages,
            time_text=lambda value: formats.time_text(value, timezone),
            shown=lambda cell, column: formats.shown(cell.value, column, timezone, cell.unit),
            columns_of=_classes,
            **values,
        )
    )


def _classes(column: content.TableColumn) -> str:
    return "figure" if column.kind in ("number", "share") else column.kind
