"""Recognition of a lake's source: by its identity, its path relative to the lake, or its content.

A project folder that is moved or copied keeps the relative path; a file that was moved alone keeps its
content. Identities that are accepted as one source are listed in `lake/.identities.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from tastemaker.data.lake import Lake, file_metadata
from tastemaker.data.lake_files import day_of
from tastemaker.data.sources import Source
from tastemaker.errors import SourceError
from tastemaker.util.atomic_files import atomic_write

_PSEUDONYMS = " (pseudonyms "


def noted(source: Source, lake: Lake, digest: str) -> dict[str, str]:
    """Return the metadata that identify the source of a landed file.

    Args:
        source: The source that the file's rows come from.
        lake: The lake, whose path is noted.
        digest: The digest of the file's day.
    """
    return {"identity": source.identity, "digest": digest, "root": str(lake.root.resolve())}


def refuse_mixture(source: Source, lake: Lake, offered: Mapping[date, str]) -> None:
    """Refuse a lake that holds events of another source than this one.

    Where the events are this source's, by path or content, its identity is added to those that are accepted.

    Args:
        source: The source that is to be read.
        lake: The lake that its rows are to be landed in.
        offered: Day -> digest of the source's rows on it: `Source.days`.

    Raises:
        SourceError: The lake holds events of another source.
    """
    others = foreign_identities(source, lake)
    if not others:
        return
    if all(_is_same(source, lake, other, offered) for other in others):
        adopt(source, lake)
        return
    may_adopt = all(_alike(source.identity, other) for other in others)
    raise SourceError(
        f"{lake.root} already holds events of {', '.join(sorted(others))}; "
        f"those of {source.identity} would be mixed with them",
        fix="set TASTEMAKER_HOME to a new folder, or remove this one"
        + ("; if it is the same source in a new place: tastemaker data adopt" if may_adopt else ""),
    )


def foreign_identities(source: Source, lake: Lake) -> set[str]:
    """Return the identities in the lake that are not accepted as this source's.

    Args:
        source: The source that is to be read.
        lake: The lake, whose landed events name the sources that they came from.
    """
    found = {file_metadata(path).get("identity") for path in lake.files("landed_events")}
    identities = {identity for identity in found if identity is not None}
    group = _accepted(lake)
    return identities - {source.identity} - (group if source.identity in group else set())


def adopt(source: Source, lake: Lake) -> None:
    """Accept the lake's events as this source's, and write that into the lake.

    Args:
        source: The source that was moved, or that has another identity now.
        lake: The lake with the events.

    Raises:
        SourceError: They are of another kind of source, or under other pseudonyms.
    """
    others = foreign_identities(source, lake)
    unlike = [other for other in sorted(others) if not _alike(source.identity, other)]
    if unlike:
        raise SourceError(
            f"{source.identity} can't adopt the events of {', '.join(unlike)}: they are of another kind of "
            "source, or under other pseudonyms",
            fix="set TASTEMAKER_HOME to a new folder",
        )
    group = _accepted(lake) if _accepted(lake) & {*others, source.identity} else set()
    with atomic_write(_path(lake)) as partial:
        partial.write_text(json.dumps(sorted(group | others | {source.identity}), indent=2), "utf-8")


def _is_same(source: Source, lake: Lake, other: str, offered: Mapping[date, str]) -> bool:
    """Return whether the rows of another identity are this source's, by path or content."""
    if not _alike(source.identity, other):
        return False
    files = [
        (day_of(path), metadata)
        for path in lake.files("landed_events", part=source.name)
        if (metadata := file_metadata(path)).get("identity") == other
    ]
    here = _place(source.identity, str(lake.root.resolve()))
    return any(
        offered.get(day) == metadata.get("digest")
        or (here is not None and _place(other, metadata.get("root")) == here)
        for day, metadata in files
    )


def _alike(one: str, other: str) -> bool:
    """Return whether two identities are of the same kind of source, with the same pseudonyms or none."""
    kind, other_kind = one.split(" ")[0], other.split(" ")[0]
    return (
        kind == other_kind != "simulated" and one.partition(_PSEUDONYMS)[2] == other.partition(_PSEUDONYMS)[2]
    )


def _place(identity: str, root: str | None) -> str | None:
    """Return a file's path relative to the lake's folder; None where the identity does not name a file.

    It does not change when the folder that holds both is moved.
    """
    named = identity.partition(_PSEUDONYMS)[0].partition(" ")[2]
    return os.path.relpath(named, root) if root is not None and Path(named).is_absolute() else None


def _accepted(lake: Lake) -> set[str]:
    path = _path(lake)
    return set(json.loads(path.read_text("utf-8"))) if path.exists() else set()


def _path(lake: Lake) -> Path:
    return lake.root / ".identities.json"
