"""Checks of `save` and `load`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tastemaker.errors import ArtifactError
from tastemaker.plugins.checks.compare import require_same
from tastemaker.plugins.checks.subject import Check, CheckFailed, Subject

DATA = {".npy", ".json", ".txt", ".onnx"}
"""File formats that hold only data: reading one runs no code."""


def loaded_model_answers_the_same(subject: Subject) -> None:
    """Check that a saved and loaded model recommends the same, also the second time."""
    batch = subject.all_users()
    with TemporaryDirectory() as folder:
        subject.model.save(Path(folder))
        loaded = subject.recommender.load(Path(folder), subject.model.config)
        require_same(subject.model.recommend(batch, 10), loaded.recommend(batch, 10), "saved and loaded")
        require_same(loaded.recommend(batch, 10), loaded.recommend(batch, 10), "loaded, twice")


def artifact_is_data(subject: Subject) -> None:
    """Check that every file is an array of numbers, JSON, text or an ONNX graph.

    Loading such files runs no code.
    """
    with TemporaryDirectory() as folder:
        subject.model.save(Path(folder))
        files = _files(Path(folder))
        if not files:
            raise CheckFailed("save wrote no file; name what fit learns in `state`")
        for path in files:
            if path.suffix not in DATA:
                raise CheckFailed(f"{path.name} is none of {', '.join(sorted(DATA))}")
            if path.suffix == ".npy":
                np.load(path, allow_pickle=False)
            elif path.suffix == ".json":
                json.loads(path.read_text("utf-8"))
            elif path.suffix == ".txt":
                path.read_text("utf-8")


def malformed_artifacts_are_refused(subject: Subject) -> None:
    """Check that `load` raises ArtifactError for a missing, empty, truncated or overwritten file.

    The message names the file.
    """
    with TemporaryDirectory() as folder:
        subject.model.save(Path(folder))
        for path in _files(Path(folder)):
            whole = path.read_bytes()
            for what, damage in DAMAGES.items():
                damage(path, whole)
                _require_refused(subject, Path(folder), path, what)
                path.write_bytes(whole)


DAMAGES: dict[str, Callable[[Path, bytes], object]] = {
    "missing": lambda path, whole: path.unlink(),
    "empty": lambda path, whole: path.write_bytes(b""),
    "cut short": lambda path, whole: path.write_bytes(whole[: len(whole) // 2]),
    "overwritten": lambda path, whole: path.write_bytes(b"\x00\xff" * 100),
}

CHECKS: tuple[Check, ...] = (loaded_model_answers_the_same, artifact_is_data, malformed_artifacts_are_refused)


def _require_refused(subject: Subject, folder: Path, path: Path, what: str) -> None:
    try:
        subject.recommender.load(folder, subject.model.config)
    except ArtifactError as error:
        name = path.name.split(".")[0]
        if name not in str(error):
            raise CheckFailed(f"with {path.name} {what}, the error does not name it: {error}") from error
    except Exception as error:
        raise CheckFailed(f"with {path.name} {what}, load raised {type(error).__name__}: {error}") from error
    else:
        raise CheckFailed(f"with {path.name} {what}, load raised no error")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
