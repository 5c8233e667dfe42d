"""A model as a BentoML service.

A plugin's `service.py` needs one line: `Popularity = service("popularity")`. The version is the newest of
that model in the home folder's registry; inside a built Bento it is the one that was packed. It is chosen
once per server, so that all workers serve the same one. TASTEMAKER_VERSION pins the service to a version.

`champion_service()` serves the champion of the problem, of whichever model, and the baseline before there is
one.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
import msgspec
from bentoml.exceptions import BentoMLException

from tastemaker.api.schemas import Request
from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.event_log import spool_file
from tastemaker.privacy.pseudonyms import open_pseudonyms
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.registry.deployment import Target
from tastemaker.serving.build.bento_image import PACKED_VERSION, SelfContainedImage
from tastemaker.serving.http import connections
from tastemaker.serving.http.access_log import write_json_lines
from tastemaker.serving.http.api_keys import SLOTS, read_keys
from tastemaker.serving.http.asgi import Application
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.http.gateway import Gateway
from tastemaker.serving.http.routes import statuses
from tastemaker.serving.runtime import golden_requests, parent_process
from tastemaker.serving.runtime.assembly import WorkerPlace, assemble_single
from tastemaker.serving.runtime.cpu_affinity import pin_to_core
from tastemaker.serving.runtime.database_status import DatabaseWatch
from tastemaker.serving.runtime.health import Check
from tastemaker.serving.runtime.metrics import UNKNOWN, Reason
from tastemaker.serving.runtime.running_services import announce
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.supervisor import supervise
from tastemaker.serving.runtime.version_selection import (
    CHOSEN,
    PINNED,
    at_start,
    check_pin,
    followed,
    pinned_version,
    remember,
)
from tastemaker.serving.runtime.worker_slots import Workers
from tastemaker.settings import Settings, load_settings
from tastemaker.util.rate_limit import RateLimiter

CHAMPION = "champion"
"""The name of the service that follows the champion."""
METRICS_FOLDER = "TASTEMAKER_METRICS_FOLDER"
"""Environment: where the workers of one server share their numbers. Set by the server for its workers."""
SERVER = "TASTEMAKER_SERVER_PROCESS"
"""Environment: the server's process id. Set by the server for its workers, which end with it."""
MEMORY = "/dev/shm"
"""A file system in memory for mapped files: writing to one on a full disk kills the process."""
SWITCH_SECONDS = 0.0005
"""How long a thread may hold the interpreter while another waits; answers wait as long. Default: 5 ms."""
YOUNG_OBJECTS = 10_000
"""New objects after which the garbage collector looks at them. Default: 700, which the requests of a few
milliseconds make: it then walks objects that are all in use, for 6 % of a worker's processor time."""

_watched: list[DatabaseWatch] = []
"""Polls as long as this server runs."""

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


def service(model: str) -> bentoml.Service[Any]:
    """Return the BentoML service of an installed model. Nothing is opened before the server starts."""
    return _service(model, model)


def champion_service() -> bentoml.Service[Any]:
    """Return the BentoML service of the champion. It can't become a Bento, which carries one model."""
    return _service(CHAMPION, None)


def _service(name: str, model: str | None) -> bentoml.Service[Any]:
    """Return a service; `model` is None for the champion's."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    if SERVER in os.environ:
        parent_process.end_with(int(os.environ[SERVER]))
    process, auth = ServingProcess(), Authenticator()

    class Service:
        """POST /recommend answers with k items; GET /livez, /readyz and /metrics are for operators."""

        @bentoml.on_deployment  # type: ignore[untyped-decorator]
        def prepare() -> None:
            _prepare(model, _packed(made))

        @bentoml.on_startup  # type: ignore[untyped-decorator]
        def load(self) -> None:
            with _place():
                _load(process, auth, model, _packed(made))

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        def unload(self) -> None:
            process.close()
            _clear_away()

        @bentoml.api(route="/recommend")  # type: ignore[untyped-decorator]
        async def recommend(
            self,
            user_id: str,
            k: int = 10,
            context: dict[str, Any] | list[float] | None = None,
            exclude: list[str] | None = None,
            candidates: list[str] | None = None,
        ) -> dict[str, Any]:
            """Return k items for a user, best first. Over HTTP, the gateway answers before BentoML does."""
            request = Request(user_id, k, context, exclude, candidates)
            answer: dict[str, Any] = msgspec.to_builtins(await process.worker.recommend(request))
            return answer

    made: FrontedService = bentoml.service(
        name=name,
        service_class=FrontedService,
        image=SelfContainedImage(model=name),
        # BentoML labels its own metrics with the path as it came: without bounds. Ours are in `metrics`.
        metrics={"enabled": False},
        logging={"access": {"enabled": False}},
        tracing={"excluded_urls": ".*"},
    )(Service)
    made.front = partial(Gateway, process=process, auth=auth)
    made.unread = partial(process.count, UNKNOWN)
    return made


def _packed(made: bentoml.Service[Any]) -> Path | None:
    """Return the folder of the version inside the served Bento, if it is one."""
    return None if made.bento is None else Path(made.bento.path_of("src")) / PACKED_VERSION


def _prepare(model: str | None, packed: Path | None) -> None:
    """Choose and verify the version, in the server before any worker starts. Raises BentoMLException."""
    try:
        settings = load_settings()
        open_pseudonyms(settings)  # so that a missing key ends the start
        check_pin(model, packed)
        follows = None if packed or pinned_version() else followed(settings, model)
        chosen = _first_whole([packed] if packed else at_start(settings, model), settings)
        read_keys(settings.keys)
        with suppress(spool_file.NoRoom):  # lists are answered, and the workers open it once there is room
            spool_file.create(settings.spool / spool_file.FILE_NAME)
    except TastemakerError as error:
        raise BentoMLException(str(error)) from None
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    metrics = tempfile.mkdtemp(prefix="tastemaker-metrics-", dir=memory)
    atexit.register(shutil.rmtree, metrics, ignore_errors=True)
    # Workers of a Bento start in another folder: a relative home must not move with them.
    os.environ["TASTEMAKER_HOME"] = str(settings.home.resolve())
    os.environ |= {METRICS_FOLDER: metrics, SERVER: str(os.getpid())}
    write_json_lines()
    supervise(Path(metrics))
    for library in ("OPENBLAS", "OMP", "MKL"):  # a worker uses one core: start more workers, not more threads
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    if packed is not None:
        return
    remember(Path(metrics), chosen)
    _watched.append(DatabaseWatch(settings.metadata_url, Path(metrics)))
    if follows is None:
        logger.info("%s is pinned by %s: no deployment replaces it", chosen, PINNED)
        return
    if model is not None:
        os.environ[CHOSEN] = chosen.version
    announce(settings.home, follows)


def _first_whole(folders: Iterable[Path], settings: Settings) -> Target:
    """Return the first sound version. Raises the first one's error if none is."""
    first: TastemakerError | None = None
    try:
        for folder in folders:
            try:
                loaded = load_version(folder)
                golden_requests.check(loaded)
                _check_online_store(loaded, settings)
            except TastemakerError as fault:
                first = first or fault
                logger.error("version %s is not served: %s", folder.name, fault.problem)
            else:
                return Target(loaded.manifest.model, loaded.manifest.version)
    except TastemakerError as fault:  # there are no others
        first = first or fault
    raise first or ArtifactError("there is no version to serve", fix="train one: tastemaker run")


def _load(process: ServingProcess, auth: Authenticator, model: str | None, packed: Path | None) -> None:
    """Load the worker of this process, before its first request."""
    write_json_lines()
    settings = load_settings()
    _guard(auth, settings)
    if settings.serving.pin_workers:
        pin_to_core(Path(MEMORY))
    shared = Path(named) if (named := os.environ.get(METRICS_FOLDER)) else None
    server = None if shared is None else int(os.environ[SERVER])
    place = WorkerPlace(shared, bentoml.server_context.worker_index or 1, server)
    checks: dict[Reason, Check] = {"keys": lambda: auth.trouble}
    process.open(assemble_single(settings, model, packed, place, statuses(), checks))
    gc.collect()
    gc.freeze()  # what is loaded stays: a full collection need not walk it
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    sys.setswitchinterval(SWITCH_SECONDS)


@contextmanager
def _place() -> Iterator[None]:
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


def _clear_away() -> None:
    """Remove the shared folder if the server died without doing so."""
    if SERVER in os.environ and parent_process.is_orphan(int(os.environ[SERVER])):
        shutil.rmtree(os.environ[METRICS_FOLDER], ignore_errors=True)


def _guard(auth: Authenticator, settings: Settings) -> None:
    """Read the API keys, before the first request."""
    auth.open(settings.keys, RateLimiter(settings.home / "meters", SLOTS), settings.serving.allowed_hosts)


def _check_online_store(loaded: LoadedVersion, settings: Settings) -> None:
    """Raise TastemakerError if the model reads user features from a store that the settings do not name."""
    if loaded.model.capabilities.user_features:
        from tastemaker.features.online import feast_config

        feast_config(settings)
