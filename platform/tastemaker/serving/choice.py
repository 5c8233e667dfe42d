"""Which version of a model is served."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.registry import deployment
from tastemaker.registry.artifact import verify_version
from tastemaker.registry.manifest import NAME as MANIFEST
from tastemaker.settings import Settings

if TYPE_CHECKING:
    from tastemaker.registry import Registry

VERSION = "TASTEMAKER_VERSION"
"""Environment: the id of the version to serve; if not set, the deployed one or the newest sound one."""
SEEN = "TASTEMAKER_DEPLOYMENT_SEEN"
"""Environment: the state of the model's deployment when the server chose its version. Set for its workers."""

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


def folders(settings: Settings, model: str) -> Iterator[Path]:
    """Where a worker may find a version, best first: what was deployed since the server chose, what it chose,
    and, if these were damaged since, what else there is, the newest first.
    """
    chosen = version_folder(settings, model)
    if deployment.state(deployment.path_of(settings.artifacts, model)) != os.environ.get(SEEN):
        deployed = deployed_folder(settings, model)
        if deployed is not None and deployed != chosen:
            yield deployed
    yield chosen
    yield from (folder for folder in _kept(chosen.parent) if folder != chosen)


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
