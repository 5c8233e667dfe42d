"""Golden requests: their answers are known since the version was registered.

A version that answers them differently is not the one that was evaluated: its files were replaced, or the
code or a library that reads them changed. It is not served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tastemaker.errors import ArtifactError
from tastemaker.plugins import Batch, Ranking, Recommender
from tastemaker.plugins.ranking_diff import difference
from tastemaker.plugins.safe_calls import recommend
from tastemaker.registry.artifact import LoadedVersion
from tastemaker.snapshot.snapshot import Snapshot

FILE_NAME = "golden.json"
_KNOWN, _K = 7, 10


class Golden(msgspec.Struct, frozen=True):
    """The rows of one batch, and their answer."""

    users: list[int]
    items: list[list[int]]
    scores: list[list[float | None]]
    """None where a list is padded."""
    propensities: list[list[float]]


def write(folder: Path, model: Recommender[Any], snapshot: Snapshot) -> None:
    """Store the answers for a few users and an unknown one.

    Args:
        folder: The folder of the version's precomputed files.
        model: The fitted model.
        snapshot: What the version knows of users and items.

    Raises:
        PluginError: The model failed.
    """
    n = len(snapshot.user_ids)
    users = [*np.unique(np.linspace(0, n - 1, _KNOWN).astype(int)).tolist(), -1] if n else [-1]
    answer = recommend(model, _batch(users, model, snapshot), _K)
    scores = [[each if np.isfinite(each) else None for each in row] for row in answer.scores.tolist()]
    golden = Golden(users, answer.items.tolist(), scores, answer.propensities.tolist())
    (folder / FILE_NAME).write_bytes(msgspec.json.encode(golden))


def check(loaded: LoadedVersion) -> None:
    """Raise ArtifactError if the version answers differently than when it was registered."""
    path = None if loaded.serving is None else loaded.serving / FILE_NAME
    if path is None or not path.exists():
        return
    try:
        golden = msgspec.json.decode(path.read_bytes(), type=Golden)
        expected = Ranking(
            np.array(golden.items, np.int32),
            np.array(
                [[-np.inf if each is None else each for each in row] for row in golden.scores], np.float32
            ),
            np.array(golden.propensities, np.float32),
        )
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} can't be read: {error}", fix="train the model again") from error
    found = recommend(loaded.model, _batch(golden.users, loaded.model, loaded.snapshot), _K)
    if (said := difference(found, expected)) is not None:
        manifest = loaded.manifest
        raise ArtifactError(
            f"{manifest.model} {manifest.version} answers differently than when it was registered: {said}",
            fix=f"train it again, or install {manifest.distribution} {manifest.distribution_version}",
        )


def _batch(users: list[int], model: Recommender[Any], snapshot: Snapshot) -> Batch:
    """Return a batch without user features: those change, and the answers must not."""
    return snapshot.batch(
        np.array(users, np.int32),
        seeds=np.arange(len(users), dtype=np.uint64),
        capabilities=model.capabilities,
    )
