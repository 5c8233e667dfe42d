"""Which version is served: of a model, or the champion of whichever model."""

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
from tastemaker.settings import Settings
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from tastemaker.registry import Registry

VERSION = "TASTEMAKER_VERSION"
"""Environment: the id of the version to serve; if not set, the deployed one or the newest sound one."""
SEEN = "TASTEMAKER_DEPLOYMENT_SEEN"
"""Environment: the state of the deployment when the server chose its version. Set for its workers, unless a
person named the version in TASTEMAKER_VERSION, which stays until another one is deployed.
"""
LAST_GOOD = "served.json"
"""In the folder that the workers of one server share: the version that one of them served last."""

logger = logging.getLogger("tastemaker.serving")


def version_folder(settings: Settings, model: str) -> Path:
    """Where the version to serve is kept. Raises RegistryError if there is none.

    A named version needs no database: its folder is known, and whoever loads it verifies it.
    """
    named = os.environ.get(VERSION)
    if named:
        return settings.artifacts / model / named
    return deployed_folder(settings, model) or newest_folder(settings, model)


def newest_folder(settings: Settings, model: str) -> Path:
    """Where the newest sound version is kept. Raises RegistryError if there is none.

    While the database can't be used, such as on a full disk, the versions' own manifests say which it is.
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
    """Where the deployed version is kept; None if none is for this problem, or it is not sound."""
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
    """The file that a service of the model follows, or of the champion (None). Raises TastemakerError if
    there is no problem file to say whose champion.
    """
    if model is not None:
        return Followed(deployment.path_of(settings.artifacts, model), model, problem_name(settings))
    from tastemaker.problem import load_problem

    problem = load_problem(settings.problem).name
    return Followed(deployment.champion_path(settings.artifacts, problem), None, problem)


def at_start(settings: Settings, model: str | None) -> Iterator[Path]:
    """Where a server that starts may find a version, best first. Raises TastemakerError if there is none.

    Of a model: the version that is to be served. Of the champion: it, those before it, then the baseline's.
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
    """Where a worker may find a version, best first: what is deployed, unless a person named another; what a
    worker of this server served last (`shared`: their folder); what the server chose; and, if these were
    damaged since, what else there is of that model, the newest first.
    """
    found = list(_candidates(settings, model, shared))
    yield from dict.fromkeys(found)
    yield from (folder for folder in _kept(found[-1].parent) if folder not in found)


def _candidates(settings: Settings, model: str | None, shared: Path | None) -> Iterator[Path]:
    if SEEN in os.environ:
        with suppress(ArtifactError):  # told by whoever follows it
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
    """Another version is served by a worker of this server."""
    with suppress(OSError), atomic_write(shared / LAST_GOOD) as partial:
        partial.write_bytes(msgspec.json.encode(served))


def last_good(shared: Path) -> Target | None:
    """What was remembered."""
    try:
        return msgspec.json.decode((shared / LAST_GOOD).read_bytes(), type=Target)
    except (OSError, ValueError):
        return None


def _kept(parent: Path) -> list[Path]:
    """All versions of a model, the newest first."""
    return sorted((path.parent for path in parent.glob(f"*/{MANIFEST}")), reverse=True)


def problem_name(settings: Settings) -> str | None:
    """The problem whose versions are served; None (any problem's) where there is no problem file."""
    if not settings.problem.exists():
        return None
    from tastemaker.problem import load_problem

    return load_problem(settings.problem).name


def open_registry(settings: Settings) -> Registry:
    """The registry of the home folder."""
    from tastemaker.registry import Registry
    from tastemaker.storage.engine import open_engine

    return Registry(open_engine(settings.metadata_url), settings.artifacts)
