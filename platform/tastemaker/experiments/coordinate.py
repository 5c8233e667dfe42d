"""A coordinate of a unit: the hash of its id with a salt, and who owns the bucket in which it falls."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from hashlib import sha256
from typing import Generic, TypeVar

from tastemaker.experiments.plan import BUCKETS

SEPARATOR = "\x1f"
"""Between salt and unit. Salts have none, so that no two pairs are hashed alike."""
HASH_BYTES = 8
_HASHES = 1 << 8 * HASH_BYTES
_AFTER_ALL = b"\xff" * 33
"""Greater than each digest."""

Owner = TypeVar("Owner")


def unit_hash(salt: str, unit: str) -> int:
    """Return the first 8 bytes of SHA-256(salt ‖ 0x1F ‖ unit), as a big-endian number.

    Args:
        salt: Of a namespace, a holdout or an experiment, with the purpose that the hash has, such as
            `/enrol`.
        unit: The unit's id.
    """
    digest = sha256(f"{salt}{SEPARATOR}{unit}".encode()).digest()
    return int.from_bytes(digest[:HASH_BYTES], "big")


def forced_key(salt: str, unit: str) -> str:
    """Return what stands for a forced unit in a plan: 16 hexadecimal digits.

    Args:
        salt: The namespace's salt.
        unit: The unit's id.
    """
    return f"{unit_hash(f'{salt}/forced', unit):016x}"


def bucket(salt: str, unit: str) -> int:
    """Return the bucket of a unit, 0 to 999,999.

    Args:
        salt: Of a namespace, a holdout or an experiment, with the purpose that the hash has, such as
            `/enrol`.
        unit: The unit's id.

    >>> bucket("ns-home", "u0000000"), bucket("ns-home", "u0000001")
    (721898, 368568)
    """
    return unit_hash(salt, unit) * BUCKETS >> 8 * HASH_BYTES


class Coordinate(Generic[Owner]):
    """Buckets, some of which have owners.

    A digest is compared with the first hashes of the ranges, as bytes: that orders them as their buckets do.
    Where all buckets have the same owner, nothing is hashed. The salt is hashed once.
    """

    def __init__(self, salt: str, ranges: Iterable[tuple[int, int, Owner]]) -> None:
        """Give each range of buckets its owner.

        Args:
            salt: What ids are hashed with.
            ranges: (start, end, owner) of the buckets [start, end), in any order. They do not overlap; a
                bucket of no range has no owner.
        """
        self.salted = sha256(f"{salt}{SEPARATOR}".encode()).copy
        """Returns a hash to which only the unit must be added."""
        self.edges: list[bytes] = []
        """The first hash of each range but the first, ascending."""
        self.owners: list[Owner | None] = [None]
        """Of each range."""
        reached = 0
        for start, end, owner in sorted(ranges, key=lambda one: one[0]):
            if start > reached:
                self._begin(reached, None)
            self._begin(start, owner)
            reached = end
        if reached < BUCKETS:
            self._begin(reached, None)

    @property
    def only_range(self) -> tuple[bytes, bytes] | None:
        """The first hash of the only range that has an owner, and that of what follows; None if there are
        more ranges."""
        match self.owners:
            case [None, _] | [None, _, None]:
                return self.edges[0], self.edges[1] if len(self.edges) > 1 else _AFTER_ALL
            case [_] | [_, None]:
                return b"", self.edges[0] if self.edges else _AFTER_ALL
        return None

    def owner(self, unit: bytes) -> Owner | None:
        """Return who owns the unit's bucket. `unit` is its id in UTF-8."""
        if not self.edges:
            return self.owners[0]
        hashed = self.salted()
        hashed.update(unit)
        return self.owners[bisect_right(self.edges, hashed.digest())]

    def _begin(self, start: int, owner: Owner | None) -> None:
        """Let `owner` have the buckets from `start` on."""
        if owner is self.owners[-1]:
            return
        if start == 0:
            self.owners = [owner]
            return
        self.edges.append((-(-start * _HASHES // BUCKETS)).to_bytes(HASH_BYTES, "big"))
        self.owners.append(owner)
