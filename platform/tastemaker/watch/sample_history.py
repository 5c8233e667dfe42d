"""The samples in memory and in the database: the stored ones are read back, and new ones are stored."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from sqlalchemy import Engine

from tastemaker.watch.archive import WRITE_SECONDS, Archive, Samples
from tastemaker.watch.reads import Kept
from tastemaker.watch.samples import AllSamples, StoredSample, TargetSamples

FAR_SECONDS = 60.0
"""How often samples of days ago are replaced by those that are as old now."""


class SampleHistory:
    """The stored samples of all targets, beside those in memory.

    `add` and `set_far_if_due` are for the thread that evaluates, which holds the lock; `exchange` is for one
    that may wait for the database.
    """

    def __init__(
        self, engine: Engine, samples: AllSamples, kept: Mapping[str, Kept], lock: threading.Lock
    ) -> None:
        """Begin without a sample of the database.

        Args:
            engine: The metadata database.
            samples: The samples in memory.
            kept: Metric -> how its series are kept.
            lock: Of the samples in memory.
        """
        self._samples, self._lock = samples, lock
        self._far_ages = sorted({ages for one in kept.values() for ages in one.far})
        self._archive = Archive(
            engine, keep_seconds=max((one.stored_seconds for one in kept.values()), default=0)
        )
        self._memory_seconds = max((one.memory_seconds for one in kept.values()), default=0.0)
        self._restored: set[str] = set()
        self._written_at = self._far_at = float("-inf")

    def add(self, address: str, samples: Iterable[StoredSample]) -> None:
        """Add the new samples of a target, which `exchange` stores.

        Args:
            address: The target's address.
            samples: As in `Archive.add`.
        """
        self._archive.add(address, samples)

    def set_far_if_due(self, now: float) -> None:
        """Replace the samples of days ago by those that are as old now."""
        if now - self._far_at < FAR_SECONDS:
            return
        self._far_at = now
        if not self._far_ages:
            return
        for address, samples in self._samples.targets().items():
            for (name, labels), values in self._archive.far(address, self._far_ages, now).items():
                if (one := samples.stored_series(name, labels)) is not None and one.kept.far:
                    one.set_far(values)

    def exchange(self, now: float, *, writes: bool) -> bool:
        """Read samples of former processes, and write those of this one.

        Args:
            now: Seconds since 1970 UTC.
            writes: Whether it is for this process to write.

        Returns:
            Whether samples were written: they are every WRITE_SECONDS.
        """
        with self._lock:
            targets = dict(self._samples.targets())
        for address, samples in targets.items():
            if address not in self._restored:
                self._restore(address, samples, now)
        self._archive.read_far(targets, self._far_ages, now)
        if now - self._written_at < WRITE_SECONDS:
            return False
        self._written_at = now
        if writes:
            self._archive.write(now)
        return writes

    def _restore(self, address: str, samples: TargetSamples, now: float) -> None:
        together: dict[tuple[str, frozenset[tuple[str, str]]], Samples] = {}
        for series, values in self._archive.load(address, now - self._memory_seconds):
            together.setdefault(series, []).extend(values)
        with self._lock:
            for (name, labels), values in together.items():
                if (one := samples.stored_series(name, labels)) is not None:
                    one.restore([sample for sample in values if sample[0] >= now - one.kept.memory_seconds])
        self._restored.add(address)
