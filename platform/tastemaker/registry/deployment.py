"""The deployment files, which name the versions to serve, beside the artifacts:

    artifacts/deployed/<model>.json               the version of a model
    artifacts/champions/<problem>-1f0c2d3e.json   the champion of a problem, a version of any model

Running services poll their file every second and switch to the version that it names; a service that starts
reads it first. Serving needs no database for it.
"""

from __future__ import annotations

import re
import time
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from tastemaker.errors import ArtifactError
from tastemaker.util.atomic_files import atomic_write

FOLDER = "deployed"
CHAMPIONS = "champions"

Content = TypeVar("Content")


class Target(msgspec.Struct, frozen=True):
    """A version of a model."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model} {self.version}"

    def folder(self, artifacts: Path) -> Path:
        """Return the folder of the version."""
        return artifacts / self.model / self.version


class Deployment(msgspec.Struct, frozen=True):
    """The content of a model's deployment file."""

    version: str
    problem: str
    """The problem that the version answers."""
    at: float
    """When it was written, seconds since 1970 UTC."""


class Champion(msgspec.Struct, frozen=True):
    """The content of a problem's champion file."""

    model: str
    version: str
    problem: str
    at: float
    """When it was written, seconds since 1970 UTC."""
    earlier: list[Target] = []
    """The champions before it, latest first, which a service falls back on if this one is damaged."""

    @property
    def target(self) -> Target:
        """The version to serve."""
        return Target(self.model, self.version)


class Followed(NamedTuple):
    """The deployment file that a service follows."""

    path: Path
    model: str | None
    """The model whose versions it names; None for a champion file."""
    problem: str | None
    """The problem whose versions are followed; None for all problems."""

    def state(self) -> str:
        """Return a text that changes whenever the file does; empty if there is no file."""
        return state(self.path)

    def wanted(self) -> Target | None:
        """Return the version that the file names; None if it names none.

        Raises:
            ArtifactError: The file is damaged.
        """
        if self.model is None:
            champion = read_champion(self.path)
            return None if champion is None else champion.target
        deployed = read(self.path)
        if deployed is None or self.problem not in (None, deployed.problem):
            return None
        return Target(self.model, deployed.version)


def path_of(artifacts: Path, model: str) -> Path:
    """Return the path of a model's deployment file, which need not exist.

    Args:
        artifacts: The folder of all artifacts.
        model: The model's name.
    """
    return artifacts / FOLDER / f"{model}.json"


def champion_path(artifacts: Path, problem: str) -> Path:
    """Return the path of a problem's champion file, which need not exist.

    Args:
        artifacts: The folder of all artifacts.
        problem: The problem's name, which may hold any character.
    """
    readable = re.sub(r"[^a-z0-9]+", "_", problem.lower()).strip("_")[:40]
    digest = blake2b(problem.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return artifacts / CHAMPIONS / f"{readable}-{digest}.json"


def deploy(artifacts: Path, model: str, version: str, problem: str) -> None:
    """Have services of a model serve a version, which the caller has verified.

    Args:
        artifacts: The folder of all artifacts.
        model: The model's name.
        version: The version's id.
        problem: The problem of the version.

    Raises:
        ArtifactError: The file can't be written.
    """
    _write(path_of(artifacts, model), Deployment(version, problem, time.time()))


def deploy_champion(artifacts: Path, champion: Champion) -> None:
    """Have services that follow the problem's champion serve it.

    Args:
        artifacts: The folder of all artifacts.
        champion: The champion and its predecessors.

    Raises:
        ArtifactError: The file can't be written.
    """
    _write(champion_path(artifacts, champion.problem), champion)


def read(path: Path) -> Deployment | None:
    """Return what a deployment file says; None if it is missing. Raises ArtifactError if it is damaged."""
    return _read(path, Deployment, "deploy again: tastemaker models deploy VERSION")


def read_champion(path: Path) -> Champion | None:
    """Return what a champion file says; None if it is missing. Raises ArtifactError if it is damaged."""
    return _read(path, Champion, "start `tastemaker serve` again, which rebuilds it from the database")


def state(path: Path) -> str:
    """Return a text that changes whenever the file does; empty if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _write(path: Path, content: Deployment | Champion) -> None:
    try:
        with atomic_write(path) as partial:
            partial.write_bytes(msgspec.json.encode(content))
    except OSError as error:
        raise ArtifactError(
            f"{path} can't be written: {error.strerror or error}",
            fix="free some space or fix the folder's permissions, then deploy again",
        ) from error


def _read(path: Path, kind: type[Content], fix: str) -> Content | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} can't be read: {error}", fix=fix) from error
