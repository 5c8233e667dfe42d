"""What `tastemaker data check` says beside the gate's counts: sections of facts and warnings.

A section is a function in SECTIONS: what it returns is printed, and stands in --json under its name. How a
number is found belongs in a module of its own, such as `tastemaker.data.validation.profile`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tastemaker.data.lake import Lake
from tastemaker.data.source_identity import strangers
from tastemaker.data.source_period import covered, held, kept, landed_rows, outside, stray
from tastemaker.data.sources import Source
from tastemaker.data.validation.dry_run import Inspection
from tastemaker.data.validation.problem_fit import misfits_of_landed
from tastemaker.data.validation.profile import alike_warnings, describe, id_coverage, top_user_warnings
from tastemaker.errors import ProblemError
from tastemaker.problem import load_problem
from tastemaker.settings import Settings


class Section(NamedTuple):
    """One part of the report."""

    name: str
    """In snake case; its key in --json."""
    facts: dict[str, Any]
    """Label -> value, in the order of printing: text, numbers, or lists and dicts of them."""
    warnings: tuple[str, ...] = ()
    """What may be wrong, a sentence or two each: the thing, the numbers, what to do."""


@dataclass(frozen=True)
class Checked:
    """What the sections look at: data that went through the gate into a lake that is thrown away."""

    settings: Settings
    """All settings, also of the home folder that these data may go to."""
    source: Source
    lake: Lake
    """Everything as it landed, and the table events: the rows that the gate accepts."""
    inspection: Inspection


def sections(checked: Checked) -> list[Section]:
    """Every section that has something to say."""
    return [section for make in SECTIONS if (section := make(checked)) is not None]


def read_section(checked: Checked) -> Section:
    """What was read and how: file or query, encoding, delimiter, formats, columns."""
    facts: dict[str, Any] = {"source": checked.source.name}
    warnings: list[str] = []
    for reading in checked.source.readings:
        facts[reading.table] = {"name": reading.name, **reading.facts}
        warnings += reading.warnings
    return Section("read", facts, tuple(warnings))


def data_section(checked: Checked) -> Section | None:
    """Period, users, items, events by type and the spread of values, of accepted rows."""
    with checked.lake.connect() as connection:
        facts = describe(connection)
        if not facts:
            return None
        hidden = checked.settings.privacy.pseudonymize
        return Section("data", facts, top_user_warnings(connection, hidden=hidden))


def ids_section(checked: Checked) -> Section | None:
    """Whether the ids of events, items and users meet, and each has one form."""
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
    """Whether the problem in use fits the rows as they came; nothing without a problem file."""
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
    """Rows that lie apart from all others, and what a run would do to other days in the home's lake."""
    source, lake = checked.source, Lake(checked.settings.lake)
    offered = checked.lake.days("landed_events", part=source.name)
    rows = landed_rows(checked.lake, source.name, offered)
    warnings = [stray(rows)]
    if not strangers(source, lake):  # a run would refuse to mix another source's lake with it
        period, days = covered(rows), outside(lake, source.name, offered).days
        gone = [day for day in days if period is not None and day in period]
        if gone:
            warnings.append(
                f"the lake also holds {held(lake, source.name, gone)} within the period of the source "
                f"{source.name}, which has no rows there any more: the next run removes them"
            )
        warnings.append(kept(held(lake, source.name, set(days) - set(gone)), source.name))
    told = tuple(filter(None, warnings))
    facts = {
        "folder": str(lake.root),
        "days_of_this_source": len(lake.days("landed_events", part=source.name)),
    }
    return Section("lake", facts, told) if told or facts["days_of_this_source"] else None


SECTIONS: tuple[Callable[[Checked], Section | None], ...] = (
    read_section,
    data_section,
    ids_section,
    problem_section,
    lake_section,
)
"""In the order of printing."""

__all__ = ["SECTIONS", "Checked", "Section", "sections"]
