"""The manifest of a model version: what it is, what it was made from, and the hash of every file."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from tastemaker.errors import ArtifactError

FORMAT = 1
NAME = "manifest.json"


class FileRecord(msgspec.Struct, frozen=True):
    """One file as it was written."""

    bytes: int
    sha256: str


Files = dict[str, FileRecord]
"""Path below a folder, with / -> its record."""


class Window(msgspec.Struct, frozen=True):
    """[start, end), seconds since 1970 UTC."""

    start: int
    end: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is known about a version without loading it."""

    format: int
    model: str
    version: str
    """The time of creation, UTC, and the head of the content hash."""
    interface_version: int
    distribution: str
    """The installed distribution that the plugin came from."""
    distribution_version: str
    config: dict[str, Any]
    problem: str
    problem_spec: dict[str, Any]
    """The whole problem file, as JSON."""
    problem_hash: str
    window: Window
    """The training window."""
    counts: dict[str, int]
    """events, users, items: what the model was fitted on."""
    data_hash: str
    seed: int
    code_version: str
    """The commit of the checkout, or the versions of the distributions."""
    created_at: datetime
    files: Files
    """The model's own files, below `model/`."""
    snapshot: str
    """The snapshot's content hash, also its folder's name."""
    snapshot_files: Files
    content_hash: str
    """The hash of the config, problem, data, seed and all files. The same training gives the same hash."""
    serving_files: Files = {}
    """The precomputed files below `serving/`."""
    backtest_id: str | None = None
    """The evidence for the recipe."""
    parent: str | None = None
    """The version that was the newest of this model and problem when this one was made."""


def hash_files(folder: Path) -> Files:
    """Return the size and hash of every file below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): _record(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def hash_records(files: Files) -> str:
    """Return one hash for the paths and contents of a set of files."""
    return hash_json({path: record.sha256 for path, record in files.items()})


def hash_json(value: object) -> str:
    """Return the SHA-256 of a value's JSON with sorted keys, in hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def content_hash(manifest: Manifest) -> str:
    """Compute the value that `manifest.content_hash` must have."""
    content = {
        "model": manifest.model,
        "interface_version": manifest.interface_version,
        "config": manifest.config,
        "problem": manifest.problem_hash,
        "data": manifest.data_hash,
        "seed": manifest.seed,
        "files": hash_records(manifest.files),
        "snapshot": manifest.snapshot,
    }
    if manifest.serving_files:  # versions from before there were such files keep their hash
        content["serving"] = hash_records(manifest.serving_files)
    return hash_json(content)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a version.

    Args:
        folder: The version's folder.

    Raises:
        ArtifactError: The manifest is missing, malformed or altered.
    """
    path = folder / NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder} holds no {NAME}: it is not a model version, or one that was never finished",
            fix="train the model again, or serve another version",
        ) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} can't be read: {error}", fix="train the model again") from error
    if manifest.format != FORMAT:
        raise ArtifactError(
            f"{path} has format {manifest.format}, this Tastemaker reads {FORMAT}",
            fix="train the model again",
        )
    for name, said, found in (
        ("content_hash", manifest.content_hash, content_hash(manifest)),
        ("snapshot", manifest.snapshot, hash_records(manifest.snapshot_files)),
        ("problem_hash", manifest.problem_hash, hash_json(manifest.problem_spec)),
    ):
        if said != found:
            raise ArtifactError(
                f"{path} was altered: {name} is {said}, its content gives {found}",
                fix="train the model again",
            )
    return manifest


def verify_files(folder: Path, expected: Files) -> None:
    """Check that a folder has exactly the files that were written, unaltered.

    Args:
        folder: The folder that holds the files, also in subfolders.
        expected: The size and hash of each file.

    Raises:
        ArtifactError: A file is missing, altered or unexpected; the message names the first.
    """
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name, record in expected.items():
        if name not in found:
            raise ArtifactError(f"{name} is missing in {folder}", fix="train the model again")
        size = found[name].stat().st_size
        if size != record.bytes:
            raise ArtifactError(
                f"{name} in {folder} has {size:,} bytes, must have {record.bytes:,}: cut short or altered",
                fix="train the model again, or serve another version",
            )
        if (sha256 := _record(found[name]).sha256) != record.sha256:
            raise ArtifactError(
                f"{name} in {folder} was altered: its SHA-256 is {sha256}, must be {record.sha256}",
                fix="train the model again, or serve another version",
            )
    if extra := sorted(found.keys() - expected.keys()):
        raise ArtifactError(
            f"{extra[0]} in {folder} is not in the manifest", fix="remove it, or train the model again"
        )


def _record(path: Path) -> FileRecord:
    with path.open("rb") as file:
        return FileRecord(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
