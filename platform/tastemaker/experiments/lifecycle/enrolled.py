"""The units that stay in an experiment when its enrolment is closed: those that the log has seen in it.

<folder>/enrolled/<experiment>-<epoch>-<digest>.npy
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tastemaker.errors import TastemakerError
from tastemaker.experiments.lifecycle.records import Experiment

FOLDER = "enrolled"


def newest_enrolled(folder: Path, experiment: Experiment) -> str:
    """Return the newest file of an experiment's epoch, relative to the plan's folder.

    Raises:
        TastemakerError: There is none.
    """
    files = (folder / FOLDER).glob(f"{_prefix(experiment)}*.npy")
    newest = max(files, key=lambda one: one.stat().st_mtime_ns, default=None)
    if newest is None:
        raise TastemakerError(
            f"{experiment.name} is held, but {folder / FOLDER} has no file of its units",
            fix="write it again from the log: tastemaker experiment plan --write",
        )
    return f"{FOLDER}/{newest.name}"


def remove_unused(folder: Path, named: Iterable[str]) -> None:
    """Remove the files that no plan in force names.

    Args:
        folder: The plan's folder.
        named: Files that are in use, relative to the folder.
    """
    kept = set(named)
    for file in (folder / FOLDER).glob("*.npy"):
        if f"{FOLDER}/{file.name}" not in kept:
            file.unlink(missing_ok=True)


def _prefix(experiment: Experiment) -> str:
    return f"{experiment.name}-{experiment.epoch}-"
