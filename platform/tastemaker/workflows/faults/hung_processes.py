"""Processes of a home folder that hang: stopped by a signal, and continued however the simulator ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import psutil

from tastemaker.api.control import CONTROLLED
from tastemaker.errors import TastemakerError
from tastemaker.serving.runtime.version_selection import PINNED
from tastemaker.settings import Settings
from tastemaker.workflows.faults import continue_processes

IsWanted = Callable[[psutil.Process], bool]
RUNS = Path("dagster") / "processes"
"""In the home folder: the files of which each is held open by the process of a run of Dagster."""
LOOKERS = ("daemon", "grpc")
"""Words in the commands of processes that open these files to see whether a run's process lives."""


class _Wanted(NamedTuple):
    """Which processes hang."""

    words: str
    """For error messages."""
    matching: Callable[[Settings, str], IsWanted]
    """Settings of the home folder, address of the service -> what finds the processes."""


@contextmanager
def hanging(name: str, settings: Settings, url: str) -> Iterator[None]:
    """Stop the processes of a fault within a block.

    Args:
        name: The fault, one of WANTED.
        settings: Of the home folder.
        url: The service's address.

    Yields:
        Nothing, once they are stopped; at the end another process continues them.

    Raises:
        TastemakerError: No such process runs on this machine for this home folder.
    """
    found = list(processes(name, settings, url))
    if not found:
        raise TastemakerError(
            f"{name} can't be produced: {WANTED[name].words} does not run on this machine for "
            f"{settings.home.resolve()}",
            fix="start it first, with the same home folder",
        )
    command = [sys.executable, "-m", continue_processes.__name__, *map(continue_processes.name_of, found)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # its end closes stdin
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        yield


def processes(name: str, settings: Settings, url: str) -> Iterator[psutil.Process]:
    """Yield the processes of a fault that run on this machine.

    Args:
        name: The fault, one of WANTED.
        settings: Of the home folder.
        url: The service's address.
    """
    is_wanted = WANTED[name].matching(settings, url)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and is_wanted(process):
                yield process


def _at_address(settings: Settings, url: str) -> IsWanted:
    port = urlsplit(url).port or 80

    def is_wanted(process: psutil.Process) -> bool:
        listening = (one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN)
        return any(one.laddr.port == port for one in listening)

    return is_wanted


def _command(*words: str) -> Callable[[Settings, str], IsWanted]:
    def matching(settings: Settings, url: str) -> IsWanted:
        home = settings.home.resolve()

        def is_wanted(process: psutil.Process) -> bool:
            line = process.cmdline()
            names = [Path(one).name for one in line]
            begins = [
                number for number, one in enumerate(names) if one in ("tastemaker", "tastemaker.cli.main")
            ]
            return any(tuple(line[at + 1 :][: len(words)]) == words for at in begins) and _is_at(
                process, home
            )

        return is_wanted

    return matching


def _program(*parts: str) -> Callable[[Settings, str], IsWanted]:
    def matching(settings: Settings, url: str) -> IsWanted:
        home = settings.home.resolve()
        return lambda process: (
            all(any(part in word for word in process.cmdline()) for part in parts) and _is_at(process, home)
        )

    return matching


def _of_runs(settings: Settings, url: str) -> IsWanted:
    """Find the processes of runs, whose commands are those of any child of Python's."""
    folder = (settings.home / RUNS).resolve()

    def is_wanted(process: psutil.Process) -> bool:
        looks = any(one in word for word in process.cmdline() for one in LOOKERS)
        return not looks and any(Path(one.path).parent == folder for one in process.open_files())

    return is_wanted


def _of_variants(settings: Settings, url: str) -> IsWanted:
    """Find the services of the variants that are not control, of the experiments in force."""
    from tastemaker.experiments.lifecycle.kills import PLAN, read_plan

    plan = read_plan(settings.experiments_root / PLAN)
    services = {
        variant.service for one in plan.experiments for variant in one.variants if variant.name != one.control
    }
    versions = {one.version for one in plan.services if one.name in services}

    def is_wanted(process: psutil.Process) -> bool:
        environment = process.environ()
        return environment.get(CONTROLLED) == "1" and environment.get(PINNED) in versions

    return is_wanted


def _is_at(process: psutil.Process, home: Path) -> bool:
    """Return whether a process has this home folder."""
    given = process.environ().get("TASTEMAKER_HOME") or ".tastemaker"
    return (Path(process.cwd()) / given).resolve() == home


WANTED: Final[Mapping[str, _Wanted]] = {
    "service_hang": _Wanted("the service at the given address", _at_address),
    "learner_hang": _Wanted("tastemaker learn", _command("learn")),
    "shipper_hang": _Wanted("tastemaker ship", _command("ship")),
    "guard_hang": _Wanted("tastemaker experiment guard", _command("experiment", "guard")),
    "variant_hang": _Wanted("the service of a variant, started by tastemaker control,", _of_variants),
    "scheduler_hang": _Wanted("Dagster's daemon", _program("dagster", "daemon")),
    "run_hang": _Wanted("a run of Dagster", _of_runs),
    "executor_hang": _Wanted("a worker of Celery", _program("celery", "worker")),
}
"""Fault -> its processes."""
