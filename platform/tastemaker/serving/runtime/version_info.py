"""Which versions a server's engines serve and want, as Prometheus' info metrics.

    versions-1.json   those of the worker in the first place, written when they change

prometheus_client's files of gauges keep each label value that a process ever set: a swap would leave two,
which every scrape reads.
"""

from __future__ import annotations

import os
import threading
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from tastemaker.registry.deployment import Target

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Use = Literal["served", "wanted"]
_MEANINGS: dict[Use, str] = {
    "served": "1 for the version that is served",
    "wanted": "1 for the version that was promoted or deployed, and is to be served",
}


class VersionInfo:
    """The versions that engines of this process name, shown with those of the server's other workers."""

    def __init__(self, prefix: str, folder: Path | None = None, place: int = 1) -> None:
        """Begin with no version, also where an earlier worker of this place named some.

        Args:
            prefix: What the metrics' names begin with.
            folder: What the workers of one server share; without it, this process answers for itself.
            place: The place of this worker among them.
        """
        self._prefix, self._folder, self._place = prefix, folder, place
        self._named: dict[Use, Tally[Target]] = {use: Tally() for use in get_args(Use)}
        self._lock = threading.Lock()
        self._share()

    def move(self, use: Use, before: Target | None, after: Target | None) -> None:
        """Set that an engine names another version than before.

        Args:
            use: Whether it serves it, or is to serve it.
            before: The version that it named; None if it named none.
            after: The version that it names now; None if it names none.
        """
        with self._lock:
            named = self._named[use]
            named.subtract([] if before is None else [before])
            named.update([] if after is None else [after])
            self._named[use] = +named  # without those that no engine names any more
            self._share()

    def collect(self, living: Iterable[int] = ()) -> Iterator[Metric]:
        """Yield what Prometheus reads.

        Args:
            living: The places of the workers that run; this one needs not be among them.
        """
        from prometheus_client.core import GaugeMetricFamily

        pages = [self._own(), *(self._of(place) for place in living if place != self._place)]
        for use, meaning in _MEANINGS.items():
            info = GaugeMetricFamily(
                f"{self._prefix}{use}_version_info", meaning, labels=["model", "version"]
            )
            for model, version in sorted({pair for page in pages for pair in page.get(use, ())}):
                info.add_metric([model, version], 1)
            yield info

    def _own(self) -> dict[Use, list[tuple[str, str]]]:
        return {use: [(one.model, one.version) for one in named] for use, named in self._named.items()}

    def _of(self, place: int) -> dict[Use, list[tuple[str, str]]]:
        """Return what another worker wrote; nothing before it has."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._path(place).read_bytes(), type=dict[Use, list[tuple[str, str]]])
        return {}

    def _share(self) -> None:
        """Write this worker's versions atomically. On a full disk the others show what they were before."""
        if self._folder is None:
            return
        partial = self._folder / f".versions-{self._place}.{os.getpid()}"
        with suppress(OSError):
            partial.write_bytes(msgspec.json.encode(self._own()))
            partial.replace(self._path(self._place))

    def _path(self, place: int) -> Path:
        assert self._folder is not None
        return self._folder / f"versions-{place}.json"
