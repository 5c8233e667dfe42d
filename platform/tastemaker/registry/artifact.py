"""A model version as a folder: written whole or not at all, verified when loaded, without a database.

    artifacts/<model>/<version>/manifest.json
    artifacts/<model>/<version>/model/*.npy          what the plugin saved
    artifacts/<model>/<version>/serving/             what was precomputed for serving it, if anything was
    artifacts/snapshots/<hash>/*.npy                 what serving needs beside it, shared by a run's versions

An exported version carries its snapshot in `snapshot/` and can be moved anywhere.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from tastemaker.errors import ArtifactError, in_words
from tastemaker.plugins import discovery
from tastemaker.plugins.recommender import INTERFACE_VERSION, Recommender
from tastemaker.registry.manifest import (
    NAME,
    Files,
    Manifest,
    content_hash,
    hash_files,
    hash_records,
    read_manifest,
    verify_files,
)
from tastemaker.snapshot.snapshot import Snapshot

SNAPSHOTS = "snapshots"
SERVING = "serving"
Precompute = Callable[[Recommender[Any], Snapshot, Path], None]


@dataclass(frozen=True)
class LoadedVersion:
    """A loaded version that can answer requests."""

    model: Recommender[Any]
    snapshot: Snapshot
    manifest: Manifest
    serving: Path | None = None
    """The folder of precomputed files; None if there are none."""
    folder: Path | None = None
    """The folder that it was loaded from."""


def load_version(folder: Path) -> LoadedVersion:
    """Verify every byte of a version, then load it.

    Args:
        folder: The version's folder.

    Raises:
        ArtifactError: A file is missing or altered, or the version was made for another config or interface.
        PluginError: The model is not installed, or broken.
    """
    manifest = verify_version(folder)
    plugin = discovery.get(manifest.model)
    try:
        config = plugin.recommender.config_type.model_validate(manifest.config)
    except ValidationError as error:
        raise ArtifactError(
            f"{plugin.distribution} {plugin.version} no longer takes the config of {manifest.model} "
            f"{manifest.version}:\n    {in_words(error)}",
            fix=f"train the model again, or install {manifest.distribution} {manifest.distribution_version}",
        ) from error
    model = plugin.recommender.load(folder / "model", config)
    snapshot = Snapshot.load(_snapshot_folder(folder, manifest))
    serving = folder / SERVING if manifest.serving_files else None
    return LoadedVersion(model, snapshot, manifest, serving, folder)


def verify_version(folder: Path) -> Manifest:
    """Return the manifest of a version whose files are all as written.

    Args:
        folder: The version's folder.

    Raises:
        ArtifactError: A file is missing or altered, or the version was made for another interface.
    """
    manifest = read_manifest(folder)
    if manifest.interface_version != INTERFACE_VERSION:
        raise ArtifactError(
            f"{manifest.model} {manifest.version} was made for interface version "
            f"{manifest.interface_version}, this platform has version {INTERFACE_VERSION}",
            fix="train the model again",
        )
    verify_files(folder / "model", manifest.files)
    verify_files(folder / SERVING, manifest.serving_files)
    verify_files(_snapshot_folder(folder, manifest), manifest.snapshot_files)
    return manifest


def export_version(folder: Path, target: Path) -> None:
    """Copy a verified version and its snapshot into a self-contained folder, such as in a Bento.

    Args:
        folder: The version's folder.
        target: The folder to create.
    """
    manifest = verify_version(folder)
    with staged(target.parent) as temporary:
        for part in ("model", SERVING):
            if (folder / part).is_dir():
                shutil.copytree(folder / part, temporary / part)
        shutil.copytree(_snapshot_folder(folder, manifest), temporary / "snapshot")
        shutil.copyfile(folder / NAME, temporary / NAME)
        place(temporary, target)


def write_version(
    artifacts: Path,
    model: Recommender[Any],
    snapshot: Snapshot,
    manifest: Manifest,
    precompute: Precompute | None = None,
) -> Manifest:
    """Write a version, which appears once it is complete and on disk.

    Args:
        artifacts: The folder of all artifacts.
        model: The fitted model.
        snapshot: What serving needs beside the model.
        manifest: Everything but the hashes and the version id.
        precompute: Writes what speeds up serving this model into the empty folder that it is passed.

    Returns:
        The manifest with hashes and version id.

    Raises:
        ArtifactError: The version can't be written, such as to a full disk; then nothing is.
    """
    try:
        snapshot_files = _write_snapshot(artifacts / SNAPSHOTS, snapshot)
        with staged(artifacts / model.name) as temporary:
            (temporary / "model").mkdir()
            model.save(temporary / "model")
            if precompute is not None:
                (temporary / SERVING).mkdir()
                precompute(model, snapshot, temporary / SERVING)
            files, serving_files = (hash_files(temporary / part) for part in ("model", SERVING))
            manifest = _complete(manifest, files, serving_files, snapshot_files)
            (temporary / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
            place(temporary, artifacts / model.name / manifest.version)
    except OSError as error:
        raise ArtifactError(
            f"a version of {model.name} can't be written to {artifacts}: {error.strerror or error}",
            fix="free some space or fix the folder's permissions, then train again; nothing was registered",
        ) from error
    return manifest


def _complete(manifest: Manifest, files: Files, serving_files: Files, snapshot_files: Files) -> Manifest:
    manifest = msgspec.structs.replace(
        manifest,
        files=files,
        serving_files=serving_files,
        snapshot_files=snapshot_files,
        snapshot=hash_records(snapshot_files),
    )
    digest = content_hash(manifest)
    version = f"{manifest.created_at:%Y%m%d-%H%M%S-%f}-{digest[:12]}"
    return msgspec.structs.replace(manifest, content_hash=digest, version=version)


def _write_snapshot(parent: Path, snapshot: Snapshot) -> Files:
    with staged(parent) as temporary:
        snapshot.save(temporary)
        files = hash_files(temporary)
        place(temporary, parent / hash_records(files))
    return files


def _snapshot_folder(folder: Path, manifest: Manifest) -> Path:
    own = folder / "snapshot"
    return own if own.is_dir() else folder.resolve().parent.parent / SNAPSHOTS / manifest.snapshot


@contextmanager
def staged(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder inside `parent`, which is removed at the end unless it was moved."""
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def place(temporary: Path, target: Path) -> None:
    """Move a complete folder to its place, atomically, and sync it to disk.

    Args:
        temporary: The folder to move, on the same disk.
        target: Where to; it may exist with the same files, and is replaced if it is damaged.
    """
    for path in (*temporary.rglob("*"), temporary):
        _sync(path)
    temporary.chmod(0o755)  # mkdtemp's folders are private
    try:
        os.rename(temporary, target)
    except OSError:
        if not target.is_dir():
            raise
        if hash_files(target) != hash_files(temporary):  # damaged since it was written: heal it
            with staged(target.parent) as aside:
                os.rename(target, aside / "damaged")
                os.rename(temporary, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
