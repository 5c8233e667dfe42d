"""The first stage: other plugins, found by name, fitted and saved inside the ranker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tastemaker.errors import ArtifactError, PluginError, in_words
from tastemaker.plugins import Recommender, TrainingData, discovery

Retrievers = dict[str, Recommender[Any]]


def fitted(names: Iterable[str], data: TrainingData) -> Retrievers:
    """Fit each named plugin with its default hyperparameters.

    Args:
        names: Names of installed models.
        data: The training window that each of them is fitted to.

    Returns:
        The fitted models by name, in the order of the names.

    Raises:
        PluginError: No such model is installed, or it is broken.
    """
    return {name: _find(name)().fit(data) for name in names}


def save(retrievers: Retrievers, folder: Path) -> None:
    """Write one subfolder per retriever: its own artifact, and its config as JSON.

    Args:
        retrievers: Fitted models by name, which is also the subfolder's.
        folder: Where the subfolders are made; it is made if it is missing, and has none of them yet.
    """
    for name, retriever in retrievers.items():
        (folder / name).mkdir(parents=True)
        retriever.save(folder / name)
        (folder / name / "config.json").write_text(retriever.config.model_dump_json(indent=2), "utf-8")


def load(names: Iterable[str], folder: Path) -> Retrievers:
    """Read what `save` wrote.

    Args:
        names: The names of the retrievers that were saved.
        folder: The folder that `save` wrote to.

    Returns:
        The fitted models by name, in the order of the names.

    Raises:
        ArtifactError: A config or a file of a model is missing or malformed.
        PluginError: No such model is installed, or it is broken.
    """
    return {name: _load(name, folder / name) for name in names}


def _load(name: str, folder: Path) -> Recommender[Any]:
    recommender, path = _find(name), folder / "config.json"
    try:
        config = recommender.config_type.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        why = in_words(error) if isinstance(error, ValidationError) else error
        raise ArtifactError(
            f"{path.name} in {folder} can't be read as the config of {name}: {why}",
            fix="train the ranker again",
        ) from error
    return recommender.load(folder, config)


def _find(name: str) -> type[Recommender[Any]]:
    try:
        return discovery.get(name).recommender
    except PluginError as error:
        raise PluginError(
            f"the ranker's retriever {name} can't be used: {error.problem}",
            fix="install the distribution that holds it, or name others in the ranker's config `retrievers`",
        ) from error
