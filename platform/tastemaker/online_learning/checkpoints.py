"""Checkpoints of a version that learns online, each with its position in the log. Arrays and JSON.

    learning/<version>/<until>-<digest>/model/*.npy     the model
    learning/<version>/<until>-<digest>/state.json      its position in the log
    learning/<version>/current.json                     which of them is served

A checkpoint appears whole or not at all. Few are kept: the newest two and, for records that arrive late, the
oldest within a minute, ten minutes, an hour and a day of the newest, and the oldest of all. Prediction
services import this module, and have numpy but no data frames.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tastemaker.errors import ArtifactError
from tastemaker.plugins import discovery
from tastemaker.plugins.recommender import Recommender
from tastemaker.registry.artifact import LoadedVersion, place, staged
from tastemaker.registry.manifest import Files, hash_files, verify_files
from tastemaker.util.atomic_files import atomic_write

FORMAT = 1
NAME, CURRENT = "state.json", "current.json"
AGES_SECONDS = (60, 600, 3_600, 86_400)
EMPTY = "0" * 32
"""The digest of no impressions."""

logger = logging.getLogger("tastemaker.online_learning")


class LogPosition(msgspec.Struct, frozen=True):
    """Position in the log: all impressions before a cutoff."""

    until: int
    """Seconds since 1970 UTC."""
    digest: str
    """Digest of all impressions before it, as they were learned."""
    impressions: int = 0
    requests: int = 0
    rewarded: int = 0


class Checkpoint(NamedTuple):
    """A model and its position in the log."""

    model: Recommender[Any]
    position: LogPosition


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    version: str
    position: LogPosition
    files: Files


class _Pointer(msgspec.Struct, frozen=True):
    state: str


class Checkpoints:
    """Checkpoints of a version, in a folder."""

    def __init__(self, root: Path, loaded: LoadedVersion) -> None:
        """Find the checkpoints of a version, of which there may be none yet.

        Args:
            root: The folder with one folder per version that learns online.
            loaded: The version; its plugin and config load the models of checkpoints.
        """
        self.version = loaded.manifest.version
        self.folder = root / self.version
        self._config = loaded.model.config
        self._type = discovery.get(loaded.manifest.model).recommender

    def save(self, model: Recommender[Any], position: LogPosition) -> str:
        """Write a checkpoint, make it the served one, and delete those that are not needed.

        Args:
            model: The model as it is after learning; not changed.
            position: The position in the log up to which it has learned.

        Returns:
            The checkpoint's name.
        """
        name = f"{position.until:012d}-{position.digest[:12]}"
        with staged(self.folder) as temporary:
            (temporary / "model").mkdir()
            model.save(temporary / "model")
            header = _Header(FORMAT, self.version, position, hash_files(temporary / "model"))
            (temporary / NAME).write_bytes(msgspec.json.encode(header))
            place(temporary, self.folder / name)
        with atomic_write(self.folder / CURRENT) as pointer:
            pointer.write_bytes(msgspec.json.encode(_Pointer(name)))
        self._thin()
        return name

    def current(self) -> str | None:
        """Return the name of the checkpoint to serve; None before the first."""
        try:
            return msgspec.json.decode((self.folder / CURRENT).read_bytes(), type=_Pointer).state
        except FileNotFoundError:
            return None

    def open(self, name: str) -> Checkpoint:
        """Verify every byte, then load. Raise ArtifactError if the checkpoint is damaged."""
        header = self._header(name)
        verify_files(self.folder / name / "model", header.files)
        return Checkpoint(self._type.load(self.folder / name / "model", self._config), header.position)

    def loadable(self) -> Iterator[Checkpoint]:
        """Yield the checkpoints that can be loaded, newest first. A damaged one is logged and skipped."""
        for name in self.names():
            try:
                yield self.open(name)
            except ArtifactError as error:
                logger.warning("a checkpoint is skipped: %s", error)

    def names(self) -> list[str]:
        """Return the names of all checkpoints, newest first."""
        return sorted((path.parent.name for path in self.folder.glob(f"[!.]*/{NAME}")), reverse=True)

    def older(self, cutoff: int) -> LogPosition | None:
        """Return the position of the newest checkpoint whose cutoff is not later (seconds since 1970)."""
        for name in self.names():
            if until(name) <= cutoff:
                with suppress(ArtifactError):
                    return self._header(name).position
        return None

    def drop_after(self, position: LogPosition) -> None:
        """Delete the checkpoints after a position: the log before them has changed."""
        for name in self.names():
            if until(name) > position.until:
                shutil.rmtree(self.folder / name)

    def sweep(self) -> None:
        """Delete partial checkpoints of a learner that was killed. Only the writer may call it."""
        for path in self.folder.glob(".new-*"):
            shutil.rmtree(path)

    def _header(self, name: str) -> _Header:
        path = self.folder / name / NAME
        try:
            header = msgspec.json.decode(path.read_bytes(), type=_Header)
        except (OSError, msgspec.DecodeError) as error:
            raise ArtifactError(
                f"{path} can't be read: {error}", fix="remove its folder: it is learned again from the log"
            ) from error
        if header.format != FORMAT or header.version != self.version:
            raise ArtifactError(
                f"{path} is of {header.version} in format {header.format}, not {self.version} in {FORMAT}",
                fix="remove its folder: it is learned again from the log",
            )
        return header

    def _thin(self) -> None:
        names = self.names()
        kept = set(names[:2])
        for least, most in pairwise((0, *AGES_SECONDS, math.inf)):
            kept.update([name for name in names if least <= until(names[0]) - until(name) < most][-1:])
        for name in set(names) - kept:
            shutil.rmtree(self.folder / name)


def until(name: str) -> int:
    """Return the cutoff of a checkpoint, seconds since 1970 UTC, from its name."""
    return int(name.partition("-")[0])
