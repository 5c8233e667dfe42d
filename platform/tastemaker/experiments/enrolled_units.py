"""The units that are in an experiment whose enrolment is closed: a file of their hashes.

It has no ids, but a hash of 64 bits with the experiment's own salt for each unit, so that files of two
experiments can't be joined. A file is never changed: a plan that needs other units names another file.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import TastemakerError
from tastemaker.experiments.coordinate import HASH_BYTES, SEPARATOR, unit_hash
from tastemaker.util.atomic_files import atomic_write

_TYPE = np.dtype("<u8")
_MOST_BITS = 12
_FIX = "write it again by holding the experiment again, or kill the experiment"


class EnrolledUnits:
    """A set of units in a memory-mapped file."""

    def __init__(self, path: Path, salt: str) -> None:
        """Open a file.

        Args:
            path: What `write_enrolled` wrote.
            salt: The experiment's.

        Raises:
            TastemakerError: The file is missing, damaged or of another kind.
        """
        self._salted = sha256(f"{_salt(salt)}{SEPARATOR}".encode()).copy
        try:
            hashes = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise TastemakerError(f"{path} can't be read: {error}", fix=_FIX) from error
        if hashes.dtype != _TYPE or hashes.ndim != 1 or (hashes[1:] <= hashes[:-1]).any():
            raise TastemakerError(
                f"{path} has {hashes.ndim} dimensions of {hashes.dtype}, must be ascending 64-bit hashes",
                fix=_FIX,
            )
        self.hashes: NDArray[np.uint64] = hashes
        """Ascending."""
        self._search = hashes.data
        bits = min(len(hashes).bit_length(), _MOST_BITS)
        self._shift = 8 * HASH_BYTES - bits
        firsts = np.arange(1, 1 << bits, dtype=_TYPE) << np.uint64(self._shift)
        self._starts = [0, *np.searchsorted(hashes, firsts).tolist(), len(hashes)]
        """Where the hashes begin that have the same first bits: few are left to search."""

    def __len__(self) -> int:
        return len(self._search)

    def __contains__(self, unit: str) -> bool:
        hashed = self._salted()
        hashed.update(unit.encode())
        sought = int.from_bytes(hashed.digest()[:HASH_BYTES], "big")
        first_bits = sought >> self._shift
        start, end = self._starts[first_bits], self._starts[first_bits + 1]
        place = bisect_left(self._search, sought, start, end)
        return place < end and bool(self._search[place] == sought)


def write_enrolled(path: Path, salt: str, units: Iterable[str]) -> int:
    """Write the units that are in an experiment, and return how many they are.

    Args:
        path: The file, named in the plan as `enrolled`.
        salt: The experiment's salt.
        units: Their ids, in any order, repeated or not.
    """
    hashes = np.unique(hashes_of(salt, units))
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.save(file, hashes)
    return len(hashes)


def hashes_of(salt: str, units: Iterable[str]) -> NDArray[np.uint64]:
    """Return the hashes of units as the files have them: uint64[n], in the order of the units.

    Args:
        salt: The experiment's salt.
        units: Their ids.
    """
    salt = _salt(salt)
    return np.fromiter((unit_hash(salt, unit) for unit in units), _TYPE)


def _salt(salt: str) -> str:
    return f"{salt}/enrolled"
