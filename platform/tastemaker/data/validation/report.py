"""Report of `tastemaker data check` beside the counts of validation: sections of facts and warnings.

A section is a function in SECTIONS: its result is printed, and is in --json under its name. Computations
belong in modules of their own, such as `tastemaker.data.validation.profile`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tastemaker.data.lake import Lake
from tastemaker.data.source_identity import foreign_identities
from tastemaker.data.source_period import covered, held, kept, landed_rows, outside, stray
from tastemaker.data.sources import Source
from tastemaker.data.validation.dry_run import Inspection
from tastemaker.data.validation.problem_fit import misfits_of_landed
from tastemaker.data.validation.profile import alike_warnings, describe, id_coverage, top_user_warnings
from tastemaker.errors import ProblemError
from tastemaker.problem import load_problem
from tastemaker.settings import Settings


class Section(NamedTuple):
    """A part of the report."""

    name: str
    """In snake case; its key in --json."""
    facts: dict[str, Any]
    """Label -> value, in the order of printing: text, numbers, or lists and dicts of them."""
    warnings: tuple[str, ...] = ()
    """Possible faults, in a sentence or two each: the thing, the numbers, the fix."""


@dataclass(frozen=True)
class Checked:
    """Input of the sections: data that were validated into a temporary lake."""

    settings: Settings
    """All settings, also of the home folder into which the data may be ingested."""
    source: Source
    lake: Lake
    """The landed tables, and the table events with the accepted rows."""
    inspection: Inspection


def sections(checked: Checked) -> list[Section]:
    """Return the sections that are not empty."""
    return [section for make in SECTIONS if (section := make(checked)) is not None]


def read_section(checked: Checked) -> Section:
    """Return what was read and how: file or query, encoding, delimiter, formats, columns."""
    facts: dict[str, Any] = {"source": checked.source.name}
    warnings: list[str] = []
    for reading in checked.source.readings:
        facts[reading.table] = {"name": reading.name, **reading.facts}
        warnings += reading.warnings
    return Section("read", facts, tuple(warnings))


def data_section(checked: Checked) -> Section | None:
    """Return period, users, items, events by type and quantiles of values, of accepted rows."""
    with checked.lake.connect() as connection:
        facts = describe(connection)
        if not facts:
            return None
        hidden = checked.settings.privacy.pseudonymize
        return Section("data", facts, top_user_warnings(connection, hidden=hidden))


def ids_section(checked: Checked) -> Section | None:
    """Return whether the ids of events, items and users match, and each has one form."""
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    with checked.lake.connect() as connection:
        for table, accepted in checked.inspection.catalogues.items():
            hidden = table == "users" and checked.settings.privacy.pseudonymize
            if len(accepted):
                found = id_coverage(connection, table, accepted)
                facts[table] = found.facts()
                warnings += found.warnings(hidden=hidden)
            warnings += alike_warnings(connection, table, hidden=hidden)
    return Section("ids", facts, tuple(warnings)) if facts or warnings else None


def problem_section(checked: Checked) -> Section | None:
    """Return whether the problem in use fits the landed rows; None without a problem file."""
    settings = checked.settings
    if not settings.problem.exists():
        return None
    try:
        problem = load_problem(settings.problem)
    except ProblemError as error:
        return Section("problem", {"file": str(settings.problem)}, (str(error),))
    warnings = misfits_of_landed(checked.lake, checked.source.name, problem, settings.serving.static_items)
    return Section("problem", {"file": str(settings.problem), "name": problem.name}, warnings)


def lake_section(checked: Checked) -> Section | None:
    """Return rows that lie apart from all others, and the effect of a run on other days in the lake."""
    source, lake = checked.source, Lake(checked.settings.lake)
    offered = checked.lake.days("landed_events", part=source.name)
    rows = landed_rows(checked.lake, source.name, offered)
    warnings = [stray(rows)]
    if not foreign_identities(source, lake):  # a run would refuse to mix another source's lake with it
        period, days = covered(rows), outside(lake, source.name, offered).days
        gone = [day for day in days if period is not None and day in period]
        if gone:
            warnings.append(
                f"the lake also holds {held(lake, source.name, gone)} within the period of the source "
                f"{source.name}, which has no rows there any more: the next run removes them"
            )
        warnings.append(kept(held(lake, source.name, set(days) - set(gone)), source.name))
    found = tuple(filter(None, warnings))
    facts = {
        "folder": str(lake.root),
        "days_of_this_source": len(lake.days("landed_events", part=source.name)),
    }
    return Section("lake", facts, found) if found or facts["days_of_this_source"] else None


SECTIONS: tuple[Callable[[Checked], Section | None], ...] = (
    read_section,
    data_section,
    ids_section,
    problem_section,
    lake_section,
)
"""In the order of printing."""

__all__ = ["SECTIONS", "Checked", "Section", "sections"]
