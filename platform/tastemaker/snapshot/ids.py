"""The mapping between the ids of users or items and their dense numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import TastemakerError
from tastemaker.plugins.arrays import Bool, Int32
from tastemaker.plugins.recommender import load_array

UNKNOWN = -1


class IdIndex:
    """An index of distinct ids in UTF-8 order; the number of an id is its position.

    It is one memory-mappable array without a hash table.

    >>> index = IdIndex.build(["tea", "cup", "tea"])
    >>> index.lookup(["tea", "pot"]).tolist(), index.decode([0])
    ([1, -1], ['cup'])
    """

    def __init__(self, encoded: NDArray[np.bytes_]) -> None:
        """Create an index from bytes[n] (numpy dtype S): UTF-8, strictly ascending."""
        self.encoded = encoded

    @classmethod
    def build(cls, ids: Iterable[str]) -> IdIndex:
        """Build an index of ids, which may repeat.

        Raises:
            TastemakerError: An id holds a NUL character, at which numpy would cut it.
        """
        encoded = [_encode(each) for each in ids]
        for each in encoded:
            if b"\0" in each:
                raise TastemakerError(
                    f"id {_decode(each)!r} holds a NUL character", fix="ids may hold any character but NUL"
                )
        return cls(np.unique(np.array(encoded, dtype=np.bytes_)))

    def __len__(self) -> int:
        return len(self.encoded)

    def lookup(self, ids: Sequence[str]) -> Int32:
        """Return int32[n]: the number of each id, -1 for an unknown one. O(n log len(self))."""
        if not len(self):
            return np.full(len(ids), UNKNOWN, np.int32)
        wanted = [_encode(each) for each in ids]
        # In the index's own width: a wider array would make numpy copy the whole (memory-mapped) index.
        keys = np.array(wanted, dtype=self.encoded.dtype)
        places = np.minimum(np.searchsorted(self.encoded, keys), len(self) - 1)
        # Cut to the width and stripped of trailing NULs, another id may look like one of ours.
        intact = keys.tolist()
        same = np.fromiter((a == b for a, b in zip(intact, wanted, strict=True)), np.bool_, len(wanted))
        return np.where((self.encoded[places] == keys) & same, places, UNKNOWN).astype(np.int32)

    def decode(self, numbers: Sequence[int] | NDArray[np.integer[Any]]) -> list[str]:
        """Return the ids of some numbers. Raises IndexError for a number outside [0, len(self))."""
        places = np.asarray(numbers, dtype=np.int64)
        if places.size and (places.min() < 0 or places.max() >= len(self)):
            wrong = places[(places < 0) | (places >= len(self))][0]
            raise IndexError(f"number {wrong} is not an id, must be in [0, {len(self)})")
        joined = b"\0".join(self.encoded[places].tolist())  # no id holds a NUL: one call decodes all
        return _decode(joined).split("\0") if places.size else []

    def take(self, kept: Bool) -> IdIndex:
        """Return an index of the ids where `kept`, bool[len(self)], is true, in the same order."""
        return IdIndex(self.encoded[kept])

    def save(self, path: Path) -> None:
        """Write one .npy file."""
        np.save(path, self.encoded, allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> IdIndex:
        """Memory-map what `save` wrote. Raises ArtifactError."""
        return cls(load_array(path))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(encoded: bytes) -> str:
    return encoded.decode("utf-8", "surrogatepass")
