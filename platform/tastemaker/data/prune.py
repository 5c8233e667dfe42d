"""Deletion of landed days that their source no longer has."""

from __future__ import annotations

from sqlalchemy import Engine

from tastemaker.data.lake import Lake
from tastemaker.data.source_period import Held, outside, require_events
from tastemaker.data.sources import Source
from tastemaker.data.validation.derived_days import remove_derived
from tastemaker.util.file_lock import file_lock


def prune(source: Source, lake: Lake, engine: Engine) -> Held:
    """Delete a source's landed days outside its period, with their events and quarantine.

    Args:
        source: The source, which names its first and last day.
        lake: The lake with the landed days.
        engine: Of the metadata database.

    Returns:
        What was deleted.
    """
    with file_lock(lake.root / ".land.lock"), file_lock(lake.root / ".publish.lock"):
        offered = source.days()
        require_events(offered, lake, source.name)
        found = outside(lake, source.name, offered)
        for day in found.days:
            lake.path("landed_events", day, part=source.name).unlink(missing_ok=True)
        remove_derived(lake, source.name, engine, found.days)
    return found
