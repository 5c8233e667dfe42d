"""What every BentoML service of the platform is: gateway, bounded connections, and supervised workers.

What a service answers, and with what, is not here.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import bentoml

from tastemaker.api.control import CONTROLLED
from tastemaker.event_log import spool_file
from tastemaker.privacy.pseudonyms import open_pseudonyms
from tastemaker.serving.http import connections
from tastemaker.serving.http.access_log import write_json_lines
from tastemaker.serving.http.api_keys import SLOTS, read_keys
from tastemaker.serving.http.asgi import Application
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.http.call import Call
from tastemaker.serving.http.gateway import Gateway
from tastemaker.serving.http.routing import RouteTable
from tastemaker.serving.runtime import parent_process
from tastemaker.serving.runtime.assembly import WorkerPlace
from tastemaker.serving.runtime.cpu_affinity import pin_to_core
from tastemaker.serving.runtime.metrics import UNKNOWN
from tastemaker.serving.runtime.parent_process import SERVER
from tastemaker.serving.runtime.serving_process import Loaded, ServingProcess
from tastemaker.serving.runtime.supervisor import supervise
from tastemaker.serving.runtime.worker_slots import METRICS_FOLDER, Workers
from tastemaker.settings import Settings, load_settings
from tastemaker.util.rate_limit import RateLimiter

MEMORY = "/dev/shm"
"""A file system in memory for mapped files: writing to one on a full disk kills the process."""
SWITCH_SECONDS = 0.0005
"""How long a thread may hold the interpreter while another waits; answers wait as long. Default: 5 ms."""
YOUNG_OBJECTS = 10_000
"""New objects after which the garbage collector looks at them. Default: 700, which the requests of a few
milliseconds make: it then walks objects that are all in use, for 6 % of a worker's processor time."""

logger = logging.getLogger("tastemaker.serving")


class FrontedService(bentoml.Service[Any]):  # type: ignore[misc]  # BentoML has no types
    """A BentoML service on bounded connections, with a gateway in front of BentoML's own middleware."""

    front: Callable[[Application], Application]
    unread: Callable[[int, float], None]
    """Counts what is refused before it is read, by status and seconds."""

    def to_asgi(self, is_main: bool = True) -> Application:
        """Return a worker's application. BentoML calls it before it makes the uvicorn server."""
        connections.bound(load_settings().serving.max_connections, self.unread)
        inner: Application = super().to_asgi(is_main)
        return self.front(inner)


def stand_before(
    made: bentoml.Service[Any],
    routes: RouteTable[Call[Loaded]],
    process: ServingProcess[Loaded],
    auth: Authenticator,
) -> None:
    """Put a gateway in front of a service that was made with `FrontedService`.

    Args:
        made: The service, whose `front` and `unread` are set.
        routes: What it answers.
        process: What answers, and counts what is refused.
        auth: Checks API keys.
    """
    made.front = partial(Gateway, routes=routes, process=process, auth=auth)
    made.unread = partial(process.count, UNKNOWN)


def check_home(settings: Settings) -> None:
    """Raise TastemakerError, before any worker starts, for what would end each worker."""
    open_pseudonyms(settings)
    read_keys(settings.keys)
    with suppress(spool_file.NoRoom):  # lists are answered, and the workers open it once there is room
        spool_file.create(settings.spool / spool_file.FILE_NAME)


def prepare_server(settings: Settings) -> Path:
    """Make this process the server of supervised workers; return the folder that they share."""
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    shared = tempfile.mkdtemp(prefix="tastemaker-metrics-", dir=memory)
    atexit.register(shutil.rmtree, shared, ignore_errors=True)
    # Workers of a Bento start in another folder: a relative home must not move with them.
    os.environ["TASTEMAKER_HOME"] = str(settings.home.resolve())
    os.environ |= {METRICS_FOLDER: shared, SERVER: str(os.getpid())}
    write_json_lines()
    supervise(Path(shared))
    for library in ("OPENBLAS", "OMP", "MKL"):  # a worker uses one core: start more workers, not more threads
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    return Path(shared)


def begin_worker(settings: Settings, auth: Authenticator, core_places: int = 1) -> WorkerPlace:
    """Read the API keys, before the first request.

    Args:
        settings: Of the home folder.
        auth: What reads them.
        core_places: How many places of a processor a pinned worker takes: see `pin_to_core`.

    Returns:
        This process's place among the workers.
    """
    write_json_lines()
    auth.open(
        settings.keys,
        RateLimiter(settings.home / "meters", SLOTS),
        settings.serving.allowed_hosts,
        is_controlled=os.environ.get(CONTROLLED) == "1",
    )
    if settings.serving.pin_workers:
        pin_to_core(Path(MEMORY), core_places)
    shared = Path(named) if (named := os.environ.get(METRICS_FOLDER)) else None
    server = None if shared is None else int(os.environ[SERVER])
    return WorkerPlace(shared, bentoml.server_context.worker_index or 1, server)


def tune_interpreter() -> None:
    """Spare the garbage collector what is loaded, and let no thread hold the interpreter for long."""
    gc.collect()
    gc.freeze()  # what is loaded stays: a full collection need not walk it
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    sys.setswitchinterval(SWITCH_SECONDS)


@contextmanager
def held_place() -> Iterator[None]:
    """Hold a worker's place among those of its server while it loads. Raises SystemExit in an orphan."""
    shared, number = os.environ.get(METRICS_FOLDER), bentoml.server_context.worker_index
    if SERVER in os.environ and parent_process.is_orphan(int(os.environ[SERVER])):
        raise SystemExit("the server has ended")
    if shared is None or number is None:
        yield
        return
    workers = Workers(Path(shared))
    workers.arrive(number)
    yield
    if workers.serve(number):
        logger.info("worker %d (process %d) serves in the place of one that ended", number, os.getpid())


def clear_away() -> None:
    """Remove the shared folder if the server died without doing so."""
    if SERVER in os.environ and parent_process.is_orphan(int(os.environ[SERVER])):
        shutil.rmtree(os.environ[METRICS_FOLDER], ignore_errors=True)
