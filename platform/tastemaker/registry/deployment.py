"""What is to be served: small files beside the artifacts.

    artifacts/deployed/<model>.json               which version of a model
    artifacts/champions/<problem>-1f0c2d3e.json   which version, of whichever model, is a problem's champion

Running services look at theirs every second and go over to what it names; services that start begin with it.
It needs no database, so that serving needs none.
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
        """Where the version is kept."""
        return artifacts / self.model / self.version


class Deployment(msgspec.Struct, frozen=True):
    """What a model's file says."""

    version: str
    problem: str
    """The problem that the version answers."""
    at: float
    """When it was written, seconds since 1970 UTC."""


class Champion(msgspec.Struct, frozen=True):
    """What a problem's file says."""

    model: str
    version: str
    problem: str
    at: float
    """When it was written, seconds since 1970 UTC."""
    earlier: list[Target] = []
    """The champions before it, latest first: what a service begins with while this one is damaged."""

    @property
    def target(self) -> Target:
        """What to serve."""
        return Target(self.model, self.version)


class Followed(NamedTuple):
    """The file that a service follows."""

    path: Path
    model: str | None
    """Whose versions it names; None: the champion's, of whichever model."""
    problem: str | None
    """Versions for other problems are not followed; None: any problem's are."""

    def state(self) -> str:
        """Changes whenever the file does; empty if there is none."""
        return state(self.path)

    def wanted(self) -> Target | None:
        """What the file names; None if nothing. Raises ArtifactError if it is damaged."""
        if self.model is None:
            champion = read_champion(self.path)
            return None if champion is None else champion.target
        deployed = read(self.path)
        if deployed is None or self.problem not in (None, deployed.problem):
            return None
        return Target(self.model, deployed.version)


def path_of(artifacts: Path, model: str) -> Path:
    """The model's file."""
    return artifacts / FOLDER / f"{model}.json"


def champion_path(artifacts: Path, problem: str) -> Path:
    """The problem's file: a problem's name may hold any character, a file's may not."""
    readable = re.sub(r"[^a-z0-9]+", "_", problem.lower()).strip("_")[:40]
    digest = blake2b(problem.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return artifacts / CHAMPIONS / f"{readable}-{digest}.json"


def deploy(artifacts: Path, model: str, version: str, problem: str) -> None:
    """Have this version served; that it is sound is the caller's business. Raises ArtifactError."""
    _write(path_of(artifacts, model), Deployment(version, problem, time.time()))


def deploy_champion(artifacts: Path, champion: Champion) -> None:
    """Have services that follow the problem's champion serve it. Raises ArtifactError."""
    _write(champion_path(artifacts, champion.problem), champion)


def read(path: Path) -> Deployment | None:
    """What is deployed; None if nothing was. Raises ArtifactError if the file is damaged."""
    return _read(path, Deployment, "deploy again: tastemaker models deploy VERSION")


def read_champion(path: Path) -> Champion | None:
    """The champion; None if there is none. Raises ArtifactError if the file is damaged."""
    return _read(path, Champion, "start `tastemaker serve` again, which writes it anew from the database")


def state(path: Path) -> str:
    """Changes whenever the file does; empty if there is none."""
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
            fix="free some space or mend the folder's permissions, then deploy again",
        ) from error


def _read(path: Path, kind: type[Content], fix: str) -> Content | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} can't be read: {error}", fix=fix) from error
