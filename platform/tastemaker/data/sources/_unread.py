"""Settings that a source does not read: an error, so that no setting is silently ignored."""

from __future__ import annotations

from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings

COMMON = ("ids", "missing_ids", "ended")
"""Settings for tables and requests of all sources."""


def refuse_unread(settings: SourceSettings, *read: str) -> None:
    """Raise SourceError for a setting that differs from its default, though only `read` are read."""
    defaults = SourceSettings()
    given = {
        name: getattr(settings, name)
        for name in SourceSettings.model_fields
        if name not in ("name", *COMMON, *read) and getattr(settings, name) != getattr(defaults, name)
    }
    if not given:
        return
    shown = ", ".join(_shown(name, value) for name, value in given.items())
    others = ", ".join(f"source.{name}" for name in read)
    fix = f"remove it; the source {settings.name} reads {others} alone"
    if "path" in given:
        fix = f'to read the file, set source.name = "table" (--source table, source="table"); else {fix}'
    raise SourceError(f"{shown}: the source {settings.name} does not read that", fix=fix)


def _shown(name: str, value: object) -> str:
    return f"source.{name} is given" if name == "url" else f"source.{name} is {str(value)!r}"
