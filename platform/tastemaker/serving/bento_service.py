"""A model as a BentoML service.

A plugin's `service.py` needs one line: `Popularity = service("popularity")`. The version is the newest of
that model in the home folder's registry; inside a built Bento it is the one that was packed. It is chosen
once per server, so that all workers serve the same one. TASTEMAKER_VERSION pins the service to a version.

`champion_service()` serves the champion of the problem, of whichever model, and the baseline before there is
one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bentoml
import msgspec
from bentoml.exceptions import BentoMLException

from tastemaker.api.schemas import Request
from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.registry.deployment import Target
from tastemaker.serving.bento_server import (
    FrontedService,
    begin_worker,
    check_home,
    clear_away,
    held_place,
    prepare_server,
    stand_before,
    tune_interpreter,
)
from tastemaker.serving.build.bento_image import PACKED_VERSION, SelfContainedImage
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.runtime import golden_requests
from tastemaker.serving.runtime.assembly import assemble_single
from tastemaker.serving.runtime.database_status import DatabaseWatch
from tastemaker.serving.runtime.health import Check
from tastemaker.serving.runtime.metrics import Reason
from tastemaker.serving.runtime.parent_process import end_with_server
from tastemaker.serving.runtime.running_services import announce
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.version_selection import (
    CHOSEN,
    PINNED,
    at_start,
    check_pin,
    followed,
    pinned_version,
    remember,
)
from tastemaker.serving.runtime.worker import Worker
from tastemaker.settings import Settings, load_settings

CHAMPION = "champion"
"""The name of the service that follows the champion."""
_watched: list[DatabaseWatch] = []
"""Polls as long as this server runs."""

logger = logging.getLogger("tastemaker.serving")


def service(model: str) -> bentoml.Service[Any]:
    """Return the BentoML service of an installed model. Nothing is opened before the server starts."""
    return _service(model, model)


def champion_service() -> bentoml.Service[Any]:
    """Return the BentoML service of the champion. It can't become a Bento, which carries one model."""
    return _service(CHAMPION, None)


def _service(name: str, model: str | None) -> bentoml.Service[Any]:
    """Return a service; `model` is None for the champion's."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    end_with_server()
    process, auth = ServingProcess[Worker](), Authenticator()

    class Service:
        """POST /recommend answers with k items; GET /livez, /readyz and /metrics are for operators."""

        @bentoml.on_deployment  # type: ignore[untyped-decorator]
        def prepare() -> None:
            _prepare(model, _packed(made))

        @bentoml.on_startup  # type: ignore[untyped-decorator]
        def load(self) -> None:
            with held_place():
                _load(process, auth, model, _packed(made))

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]
        def unload(self) -> None:
            process.close()
            clear_away()

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
    stand_before(made, SERVICE_ROUTES, process, auth)
    return made


def _packed(made: bentoml.Service[Any]) -> Path | None:
    """Return the folder of the version inside the served Bento, if it is one."""
    return None if made.bento is None else Path(made.bento.path_of("src")) / PACKED_VERSION


def _prepare(model: str | None, packed: Path | None) -> None:
    """Choose and verify the version, in the server before any worker starts. Raises BentoMLException."""
    try:
        settings = load_settings()
        check_home(settings)
        check_pin(model, packed)
        follows = None if packed or pinned_version() else followed(settings, model)
        chosen = _first_whole([packed] if packed else at_start(settings, model), settings)
    except TastemakerError as error:
        raise BentoMLException(str(error)) from None
    shared = prepare_server(settings)
    if packed is not None:
        return
    remember(shared, chosen)
    _watched.append(DatabaseWatch(settings.metadata_url, shared))
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


def _load(
    process: ServingProcess[Worker], auth: Authenticator, model: str | None, packed: Path | None
) -> None:
    """Load the worker of this process, before its first request."""
    settings = load_settings()
    place = begin_worker(settings, auth)
    checks: dict[Reason, Check] = {"keys": lambda: auth.trouble}
    process.open(assemble_single(settings, model, packed, place, SERVICE_ROUTES.statuses(), checks))
    tune_interpreter()


def _check_online_store(loaded: LoadedVersion, settings: Settings) -> None:
    """Raise TastemakerError if the model reads user features from a store that the settings do not name."""
    if loaded.model.capabilities.user_features:
        from tastemaker.features.online import feast_config

        feast_config(settings)
