"""The units that stay in an experiment when its enrolment is closed: those that the log has seen in it.

<folder>/enrolled/<experiment>-<epoch>-<digest>.npy
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import file_digest
from itertools import chain
from pathlib import Path

from duckdb import ColumnExpression as _column
from duckdb import ConstantExpression as _value

from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log import spool_file
from tastemaker.event_log.exposures import exposures
from tastemaker.event_log.records import ExposureRecord, Record
from tastemaker.experiments.enrolled_units import write_enrolled
from tastemaker.experiments.lifecycle.records import Experiment

FOLDER = "enrolled"


def write_units(folder: Path, lake: Lake, spool: Path, experiment: Experiment, epochs: range) -> Path:
    """Write the units of an experiment, and return the file.

    A later call adds what the log received since; a file that has the same units is not written again.

    Args:
        folder: The plan's folder.
        lake: The lake with the drained log.
        spool: The file with the log that is not drained yet.
        experiment: Gives the name, the epoch and the salt.
        epochs: Those that are in force: the present one, and of a bandit those whose units it keeps.
    """
    partial = folder / FOLDER / f".{experiment.name}.npy"
    write_enrolled(partial, experiment.salt, _units(lake, spool, experiment.name, epochs))
    with partial.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    path = folder / FOLDER / f"{_prefix(experiment)}{digest[:16]}.npy"
    partial.replace(path)
    return path


def newest_enrolled(folder: Path, experiment: Experiment) -> str:
    """Return the newest file of the units of an experiment's epoch, relative to the plan's folder.

    Args:
        folder: The plan's folder.
        experiment: The experiment with its present epoch, both of which the file's name has.

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


def _units(lake: Lake, spool: Path, name: str, epochs: range) -> set[str]:
    """Return the units of some epochs. The spool is read first: what is drained meanwhile is in the lake."""
    waiting = set(_waiting(spool, name, epochs))
    with lake.connect() as connection:
        mine = (_column("experiment") == _value(name)) & _column("epoch").isin(*map(_value, epochs))
        seen = exposures(connection).filter(mine & _column("unit").isnotnull()).select("unit").distinct()
        return waiting | {unit for (unit,) in seen.fetchall()}


def _waiting(spool: Path, name: str, epochs: range) -> Iterator[str]:
    """Yield the units of the exposures that are not drained yet."""
    records: Iterator[tuple[float, Record | ExposureRecord]] = chain(
        spool_file.newest(spool, Record), spool_file.newest(spool, ExposureRecord)
    )
    for _, record in records:
        given = record.assignment
        if given is None or given.experiment != name or given.epoch not in epochs:
            continue
        unit = given.unit or record.user_id
        if unit and given.probability is not None:
            yield unit


def _prefix(experiment: Experiment) -> str:
    return f"{experiment.name}-{experiment.epoch}-"
