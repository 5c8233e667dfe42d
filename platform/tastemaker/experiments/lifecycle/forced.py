"""Units that a person forced into a variant, to look at it: <folder>/forced.json, without ids.

They are not part of a design, and their figures count nowhere.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.file_lock import file_lock

FILE = "forced.json"
Forced = dict[str, dict[str, str]]
"""Experiment -> key of a unit -> variant."""


def read_forced(folder: Path) -> Forced:
    """Return the forced units of all experiments. Raises TastemakerError if the file can't be read."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Forced)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TastemakerError(
            f"{path} can't be read: {error}", fix="remove it: then no unit is forced"
        ) from error


def change_forced(folder: Path, experiment: str, key: str, variant: str | None) -> str | None:
    """Force a unit, and return the variant that it was forced into before; None if it was not.

    Args:
        folder: The plan's folder.
        experiment: The experiment's name.
        key: The unit's `forced_key`.
        variant: The variant's name; None to force it no longer.

    Raises:
        TastemakerError: The file can't be read.
    """
    with file_lock(folder / f"{FILE}.lock"):
        all_forced = read_forced(folder)
        units = all_forced.setdefault(experiment, {})
        before = units.pop(key, None)
        if variant is not None:
            units[key] = variant
        with atomic_write(folder / FILE) as partial:
            partial.write_bytes(msgspec.json.encode({name: one for name, one in all_forced.items() if one}))
    return before
