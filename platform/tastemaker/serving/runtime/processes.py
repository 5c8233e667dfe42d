"""Resources of each process of a server: memory, processor time, open files, start time.

They are measured when Prometheus scrapes, by whichever worker it reaches, under the names that Prometheus'
own clients use, with the process as a label: `server`, `worker-1`, `worker-2`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
import psutil

from tastemaker.serving.runtime.worker_slots import Workers, WorkerSlot

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SERVER = "server"
CPU_FILE = "cpu.json"


class _Cpu(msgspec.Struct):
    """The processor time of a place."""

    process: int
    started: float
    earlier: float = 0.0
    """Seconds of the processes that were there before, as far as they were seen."""
    seen: float = 0.0
    """Seconds of the process that is there now."""


class Processes:
    """The processes of one server."""

    def __init__(self, folder: Path | None = None, server: int | None = None) -> None:
        """Prepare to collect the resources of the processes of a server.

        Args:
            folder: The folder that the workers of the server share; None for no workers.
            server: The process id of the server; None for this process.
        """
        self._server = os.getpid() if server is None else server
        self._workers = None if folder is None else Workers(folder)
        self._cpu_path = None if folder is None else folder / CPU_FILE

    def collect(self) -> Iterator[Metric]:
        """Yield what Prometheus reads."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        label = ["process"]
        memory = GaugeMetricFamily(
            "tastemaker_process_resident_memory_bytes", "Resident memory", labels=label
        )
        cpu = CounterMetricFamily(
            "tastemaker_process_cpu_seconds_total",
            "Processor time, user and system, with that of the workers that were there before",
            labels=label,
        )
        opened = GaugeMetricFamily("tastemaker_process_open_fds", "Open file descriptors", labels=label)
        most = GaugeMetricFamily(
            "tastemaker_process_max_fds", "The most file descriptors that may be open", labels=label
        )
        started = GaugeMetricFamily(
            "tastemaker_process_start_time_seconds", "When it started, seconds since 1970 UTC", labels=label
        )
        with self._processor_times() as times:
            for name, process in self._running().items():
                with suppress(psutil.Error), process.oneshot():
                    since = process.create_time()
                    memory.add_metric([name], process.memory_info().rss)
                    started.add_metric([name], since)
                    opened.add_metric([name], process.num_fds())
                    spent = process.cpu_times()
                    _spent(times, name, process.pid, since, spent.user + spent.system)
                    if hasattr(process, "rlimit"):  # not on macOS
                        most.add_metric([name], process.rlimit(psutil.RLIMIT_NOFILE)[0])
            for name, time in sorted(times.items()):
                cpu.add_metric([name], time.earlier + time.seen)
        yield from (memory, cpu, opened, most, started, self._restarts())

    def _restarts(self) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        restarts = CounterMetricFamily(
            "tastemaker_worker_restarts_total",
            "Workers that were started in the place of one that ended",
            labels=["process"],
        )
        for number, slot in self._slots().items():
            restarts.add_metric([worker(number)], slot.restarts)
        return restarts

    def _running(self) -> dict[str, psutil.Process]:
        """Return the processes that run, by name."""
        found = {}
        with suppress(psutil.Error):
            found[SERVER] = psutil.Process(self._server)
        for number, slot in self._slots().items():
            with suppress(psutil.Error):
                if slot.runs and (process := psutil.Process(slot.process)).ppid() == self._server:
                    found[worker(number)] = process
        return found

    def _slots(self) -> dict[int, WorkerSlot]:
        return {} if self._workers is None else self._workers.slots()

    @contextmanager
    def _processor_times(self) -> Iterator[dict[str, _Cpu]]:
        """Yield the processor times by name, as any worker saw them last.

        A counter must not fall when a worker is replaced.
        """
        if self._cpu_path is None:
            yield {}
            return
        with self._cpu_path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            times = _read(file)
            yield times
            with suppress(OSError):  # no room: what was seen before counts
                file.truncate(0)
                file.write(msgspec.json.encode(times))


def worker(number: int) -> str:
    """Return the label of the worker in this place."""
    return f"worker-{number}"


def _read(file: IO[Any]) -> dict[str, _Cpu]:
    try:
        return msgspec.json.decode(file.read(), type=dict[str, _Cpu])
    except msgspec.DecodeError:  # new, or cut off
        return {}


def _spent(times: dict[str, _Cpu], name: str, process: int, started: float, seconds: float) -> None:
    before = times.get(name)
    if before is None or (before.process, before.started) != (process, started):
        earlier = 0.0 if before is None else before.earlier + before.seen
        before = times[name] = _Cpu(process, started, earlier)
    before.seen = max(before.seen, seconds)
