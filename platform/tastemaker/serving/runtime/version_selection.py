"""Which version is served: the pinned one, else that of a model, or the champion of whichever model.

A pinned service serves one version, or none: it follows no deployment and falls back to no other version.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.registry import deployment
from tastemaker.registry.artifact import verify_version
from tastemaker.registry.deployment import Followed, Target
from tastemaker.registry.manifest import NAME as MANIFEST
from tastemaker.registry.manifest import read_manifest
from tastemaker.settings import Settings
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from tastemaker.registry import Registry

PINNED = "TASTEMAKER_VERSION"
"""Environment: the id of the version that the service is pinned to. A person sets it, no process does."""
CHOSEN = "TASTEMAKER_CHOSEN_VERSION"
"""Environment: the id of the version that the server chose, for its workers. It may be replaced while they
serve.
"""
LAST_GOOD = "served.json"
"""In the folder that the workers of one server share: the version that one of them served last."""

logger = logging.getLogger("tastemaker.serving")


def pinned_version() -> str | None:
    """Return the id of the version that the environment pins the service to; None if it pins none."""
    return os.environ.get(PINNED) or None


def check_pin(model: str | None, packed: Path | None) -> None:
    """Check that the service can serve the pinned version, if the environment pins one.

    Args:
        model: The service's model; None for the champion's service.
        packed: The folder of the version inside the Bento that is served, if it is one.

    Raises:
        ArtifactError: The Bento carries another version, or the service follows the champion.
    """
    pinned = pinned_version()
    if pinned is None:
        return
    if packed is not None and (carried := read_manifest(packed).version) != pinned:
        raise ArtifactError(
            f"{PINNED} = {pinned!r} pins a version, but this Bento carries {carried}",
            fix=f"unset {PINNED}, or build a Bento of that version",
        )
    if packed is None and model is None:
        raise ArtifactError(
            f"{PINNED} = {pinned!r} pins a version, but this service follows the champion of any model",
            fix=f"serve a version of one model: tastemaker serve MODEL@VERSION; or unset {PINNED}",
        )


def version_folder(settings: Settings, model: str) -> Path:
    """Return the folder of the version to serve: pinned, chosen by the server, deployed, or the newest.

    A pinned or chosen version needs no database: its folder is known, and it is verified when it is loaded.

    Args:
        settings: Say where the versions and the problem file are.
        model: The model's name.

    Raises:
        TastemakerError: None is pinned, chosen or deployed, and there is no sound version for this problem.
    """
    named = pinned_version() or os.environ.get(CHOSEN)
    if named:
        return settings.artifacts / model / named
    return deployed_folder(settings, model) or newest_folder(settings, model)


def newest_folder(settings: Settings, model: str) -> Path:
    """Return the folder of the newest sound version.

    While the database can't be used, such as on a full disk, the versions' own manifests say which it is.

    Args:
        settings: Say where the versions, the database and the problem file are.
        model: The model's name.

    Raises:
        TastemakerError: There is none for this problem.
    """
    problem = problem_name(settings)
    try:
        registry = open_registry(settings)
    except TastemakerError as error:
        for folder in _kept(settings.artifacts / model):
            with suppress(ArtifactError):
                if problem in (None, verify_version(folder).problem):
                    logger.warning("%s %s is served without asking: %s", model, folder.name, error.problem)
                    return folder
        raise
    return registry.newest(model, problem=problem).folder


def deployed_folder(settings: Settings, model: str) -> Path | None:
    """Return the folder of the deployed version; None if none is for this problem, or it is damaged.

    Args:
        settings: Say where the versions and the problem file are.
        model: The model's name.
    """
    try:
        deployed = deployment.read(deployment.path_of(settings.artifacts, model))
        if deployed is None or problem_name(settings) not in (None, deployed.problem):
            return None
        folder = settings.artifacts / model / deployed.version
        verify_version(folder)
    except ArtifactError as error:
        logger.warning("the deployed version of %s is passed over: %s", model, error.problem)
        return None
    return folder


def followed(settings: Settings, model: str | None) -> Followed:
    """Return the deployment file that a service follows, and the problem whose versions it serves.

    Args:
        settings: Say where the versions and the problem file are.
        model: The service's model; None for the champion's service.

    Raises:
        TastemakerError: The champion's service has no problem file, or the file is invalid.
    """
    if model is not None:
        return Followed(deployment.path_of(settings.artifacts, model), model, problem_name(settings))
    from tastemaker.problem import load_problem

    problem = load_problem(settings.problem).name
    return Followed(deployment.champion_path(settings.artifacts, problem), None, problem)


def at_start(settings: Settings, model: str | None) -> Iterator[Path]:
    """Yield the folders of versions for a server that starts, best first.

    Of a model: the version that is to be served. Of the champion: it, those before it, then the baseline's.

    Args:
        settings: Say where the versions and the problem file are.
        model: The service's model; None for the champion's service.

    Raises:
        TastemakerError: There is no version of the model, or of the baseline after the champions.
    """
    if model is not None:
        yield version_folder(settings, model)
        return
    from tastemaker.problem import load_problem

    try:
        champion = deployment.read_champion(followed(settings, None).path)
    except ArtifactError as error:
        logger.error("the champion is not known: %s", error)
        champion = None
    if champion is not None:
        yield from (one.folder(settings.artifacts) for one in (champion.target, *champion.earlier))
    baseline = load_problem(settings.problem).baseline
    yield deployed_folder(settings, baseline) or newest_folder(settings, baseline)


def folders(settings: Settings, model: str | None, shared: Path | None) -> Iterator[Path]:
    """Yield the folders of the versions that a worker may serve, best first.

    A pinned version alone. Else: what is deployed; what a worker of this server served last; what the server
    chose; and, in case these were damaged since, all other versions of that model, the newest first.

    Args:
        settings: Say where the versions are.
        model: The service's model; None for the champion's service.
        shared: The folder that the workers of this server share.
    """
    if model is not None and pinned_version() is not None:
        yield version_folder(settings, model)
        return
    found = list(_candidates(settings, model, shared))
    yield from dict.fromkeys(found)
    yield from (folder for folder in _kept(found[-1].parent) if folder not in found)


def _candidates(settings: Settings, model: str | None, shared: Path | None) -> Iterator[Path]:
    with suppress(ArtifactError):  # `VersionWatcher` reports it
        wanted = followed(settings, model).wanted()
        if wanted is not None:
            yield wanted.folder(settings.artifacts)
    last = None if shared is None else last_good(shared)
    if last is not None:
        yield last.folder(settings.artifacts)
    elif model is not None:
        yield version_folder(settings, model)
    else:
        yield from at_start(settings, None)


def remember(shared: Path, served: Target) -> None:
    """Record the version that a worker of this server serves, unless the folder can't be written.

    Args:
        shared: The folder that the workers of the server share.
        served: The version that it serves now.
    """
    with suppress(OSError), atomic_write(shared / LAST_GOOD) as partial:
        partial.write_bytes(msgspec.json.encode(served))


def last_good(shared: Path) -> Target | None:
    """Return the recorded version; None if there is none."""
    try:
        return msgspec.json.decode((shared / LAST_GOOD).read_bytes(), type=Target)
    except (OSError, ValueError):
        return None


def _kept(parent: Path) -> list[Path]:
    """Return the folders of all versions of a model, the newest first."""
    return sorted((path.parent for path in parent.glob(f"*/{MANIFEST}")), reverse=True)


def problem_name(settings: Settings) -> str | None:
    """Return the problem whose versions are served; None (any problem's) without a problem file."""
    if not settings.problem.exists():
        return None
    from tastemaker.problem import load_problem

    return load_problem(settings.problem).name


def open_registry(settings: Settings) -> Registry:
    """Open the registry of the home folder."""
    from tastemaker.registry import Registry
    from tastemaker.storage.engine import open_engine

    return Registry(open_engine(settings.metadata_url), settings.artifacts)
