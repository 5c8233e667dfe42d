"""The registry from the artifacts: a database that was lost gets its versions back from their manifests.

Promotions are not in the manifests and are not invented; what is served is in
`artifacts/deployed`, which stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Engine, insert, select

from tastemaker.errors import ArtifactError
from tastemaker.registry.artifact import verify_version
from tastemaker.registry.manifest import NAME, Manifest
from tastemaker.storage.tables import backtests, versions


class Rebuilt(NamedTuple):
    """The result of `rebuild`."""

    added: tuple[str, ...]
    """The versions that were inserted, oldest first."""
    known: int
    """The number of versions that were in the database already."""
    damaged: tuple[str, ...]
    """Why other versions were skipped."""


def to_row(manifest: Manifest) -> dict[str, Any]:
    """Return the version's row in the table `versions`."""
    return {
        "id": manifest.version,
        "model": manifest.model,
        "problem": manifest.problem,
        "content_hash": manifest.content_hash,
        "manifest": msgspec.to_builtins(manifest),
        "backtest_id": manifest.backtest_id,
        "created_at": manifest.created_at,
    }


def unregistered(engine: Engine, artifacts: Path) -> list[Path]:
    """Return the folders of versions that are missing in the database, by model and age.

    Args:
        engine: The metadata database.
        artifacts: The folder of all artifacts.
    """
    with engine.connect() as connection:
        known = set(connection.execute(select(versions.c.id)).scalars())
    return [folder for folder in _folders(artifacts) if folder.name not in known]


def lost(engine: Engine, artifacts: Path) -> str:
    """Return a message about versions that are missing in the database; empty if there are none.

    Args:
        engine: The metadata database.
        artifacts: The folder of all artifacts.
    """
    if not (n := len(unregistered(engine, artifacts))):
        return ""
    return (
        f"{artifacts} holds {n:,} version{'s' * (n != 1)} that the database does not know. "
        "To read them back: tastemaker models rebuild"
    )


def rebuild(engine: Engine, artifacts: Path) -> Rebuilt:
    """Insert every intact version that is missing in the database.

    Args:
        engine: The metadata database.
        artifacts: The folder of all artifacts.

    Returns:
        What was inserted, what was there already, and what was skipped.
    """
    missing = unregistered(engine, artifacts)
    manifests, damaged = [], []
    for folder in missing:
        try:
            manifests.append(verify_version(folder))
        except ArtifactError as error:
            damaged.append(error.problem)
    for manifest in sorted(manifests, key=lambda one: (one.created_at, one.version)):
        row = to_row(manifest)
        with engine.begin() as connection:
            known_backtest = select(backtests.c.id).where(backtests.c.id == manifest.backtest_id)
            if connection.execute(known_backtest).first() is None:
                row["backtest_id"] = None  # lost with the database; the manifest still names it
            connection.execute(insert(versions).values(row))
    known = sum(1 for _ in _folders(artifacts)) - len(missing)
    added = sorted((one.created_at, one.version) for one in manifests)
    return Rebuilt(tuple(version for _, version in added), known, tuple(damaged))


def _folders(artifacts: Path) -> Iterator[Path]:
    for path in sorted(artifacts.glob(f"[!.]*/[!.]*/{NAME}")):
        yield path.parent
