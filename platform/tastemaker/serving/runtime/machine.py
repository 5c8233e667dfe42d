"""What a service may use of its machine or container, measured when it is scraped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tastemaker.serving.runtime.cgroup import ControlGroups, Memory

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class Machine:
    """The limits of a server's processes, and the disks of its folders."""

    def __init__(self, server: int, folders: Mapping[str, Path], root: Path = Path("/")) -> None:
        """Find the limits.

        Args:
            server: The number of the parent process, whose limits are those of its workers.
            folders: The folders whose disks are measured, by the value of the label `folder`.
            root: The folder that has `proc`; another one in tests.
        """
        self._folders = folders
        self._groups = ControlGroups(server, root)
        self._processors = _processors(server)

    @property
    def memory(self) -> Memory:
        """What is used, of what may be: of the container if it has a limit, else of the machine."""
        whole = psutil.virtual_memory()
        return self._groups.memory(whole.total) or Memory(whole.total - whole.available, whole.total)

    @property
    def cpu_cores(self) -> float:
        """How many processors the server and its workers may use, at the most."""
        limit = self._groups.cpu_cores()
        return self._processors if limit is None else min(limit, self._processors)

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        from prometheus_client.core import GaugeMetricFamily

        memory = self.memory
        yield GaugeMetricFamily(
            "tastemaker_memory_used_bytes",
            "Memory in use, of the container if it has a limit, else of the machine",
            memory.used,
        )
        yield GaugeMetricFamily(
            "tastemaker_memory_limit_bytes", "The most memory that may be in use there", memory.limit
        )
        yield GaugeMetricFamily(
            "tastemaker_cpu_limit_cores", "Processors that the server and its workers may use", self.cpu_cores
        )
        free = GaugeMetricFamily(
            "tastemaker_disk_free_bytes", "Free room on the disk of a folder", labels=["folder"]
        )
        size = GaugeMetricFamily("tastemaker_disk_size_bytes", "Size of that disk", labels=["folder"])
        for name, folder in self._folders.items():
            with suppress(OSError):  # not there yet, or a disk that is gone
                disk = psutil.disk_usage(str(folder))
                free.add_metric([name], disk.free)
                size.add_metric([name], disk.total)
        yield from (free, size)


def _processors(server: int) -> float:
    """Return on how many processors the server may run. A worker may keep to one of them."""
    with suppress(psutil.Error, AttributeError):  # not on macOS
        return float(len(psutil.Process(server).cpu_affinity()))
    return float(psutil.cpu_count() or 1)
