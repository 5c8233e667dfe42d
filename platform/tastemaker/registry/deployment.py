"""Which version of a model is to be served: a small file beside the artifacts, one a model.

    artifacts/deployed/<model>.json

Running services look at it every second and go over to what it names; services that start begin with it.
It needs no database, so that serving needs none.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from tastemaker.errors import ArtifactError
from tastemaker.files import appearing

FOLDER = "deployed"


class Deployment(msgspec.Struct, frozen=True):
    """What the file says."""

    version: str
    problem: str
    """The problem that the version answers."""
    at: float
    """When it was written, seconds since 1970 UTC."""


def path_of(artifacts: Path, model: str) -> Path:
    """The model's file."""
    return artifacts / FOLDER / f"{model}.json"


def deploy(artifacts: Path, model: str, version: str, problem: str) -> None:
    """Have this version served; that it is sound is the caller's business. Raises ArtifactError."""
    path = path_of(artifacts, model)
    try:
        with appearing(path) as partial:
            partial.write_bytes(msgspec.json.encode(Deployment(version, problem, time.time())))
    except OSError as error:
        raise ArtifactError(
            f"{path} can't be written: {error.strerror or error}",
            fix="free some space or mend the folder's permissions, then deploy again",
        ) from error


def read(path: Path) -> Deployment | None:
    """What is deployed; None if nothing was. Raises ArtifactError if the file is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Deployment)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} can't be read: {error}", fix="deploy again: tastemaker models deploy VERSION"
        ) from error


def state(path: Path) -> str:
    """Changes whenever the file does; empty if there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
