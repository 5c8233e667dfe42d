"""What a model plugin is: one frozen config and one small class that works on arrays, a batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_array

from tastemaker.errors import ArtifactError, PluginError
from tastemaker.plugins.arrays import Batch, FeatureTable, Feedback, Float32, Int32, Ranking, TrainingData

INTERFACE_VERSION = 1
"""Raised when a model written for the version before no longer works. A saved model keeps it."""


class Config(BaseModel):
    """A model's hyperparameters: typed, bounded, frozen; each field's docstring is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Untyped(Config):
    """Whatever a model is tried out with, before it has a config class of its own, as every plugin must."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class Capabilities:
    """What a plugin says of itself. The checks and the platform act on it."""

    personalizes: bool = False
    """Two users with different histories may get different lists."""
    learns_online: bool = False
    """`update` takes feedback between fits."""
    order_independent: bool = False
    """What `update` learned does not depend on the feedback's order: replicas need not agree on one."""
    stochastic: bool = False
    """The list depends on the request's seed, so propensities below 1 are reported."""
    embeds: bool = False
    """The score is a dot product, so that the best items can be found without scoring all: see `embed`."""
    user_features: tuple[str, ...] = ()
    """Columns of the user features that `recommend` reads from its batch."""
    item_features: tuple[str, ...] = ()
    """Columns of the item features that `recommend` reads from its batch."""
    exempt: dict[str, str] = field(default_factory=dict)
    """Checks that do not apply, by name, each with the reason."""


ConfigT = TypeVar("ConfigT", bound=Config)


class Recommender(ABC, Generic[ConfigT]):
    """A model. Its docstring gives the equation; `reference` gives the source.

    A subclass names its config class (as type argument and as `config_type`), lists in `state` the attributes
    that `fit` sets (arrays or CSR matrices), and writes `fit` and `recommend`. Saving and loading follow from
    `state`.
    """

    interface_version: ClassVar[int] = INTERFACE_VERSION
    name: ClassVar[str]
    """The entry point's name, also the model's name everywhere: lower case, words joined by `_`."""
    reference: ClassVar[str]
    """The paper or book that the model comes from."""
    config_type: ClassVar[type[Config]] = Untyped
    capabilities: ClassVar[Capabilities] = Capabilities()
    state: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: ConfigT | None = None, **hyperparameters: Any) -> None:
        """With a config, or with the hyperparameters of one: `Trending(half_life_days=7)`."""
        if config is not None and hyperparameters:
            raise PluginError(
                f"{self.name} was given a config and {', '.join(hyperparameters)}",
                fix="give one or the other",
            )
        made = self.config_type(**hyperparameters) if config is None else config
        self.config: ConfigT = made  # type: ignore[assignment]

    @abstractmethod
    def fit(self, data: TrainingData) -> Self:
        """Learn from scratch: fitting twice is fitting once. Deterministic given the state of `data.rng`."""

    @abstractmethod
    def recommend(self, batch: Batch, k: int) -> Ranking:
        """The k best allowed items of each row, the same for a row alone as for the row in a batch."""

    def top_k(self, batch: Batch, k: int) -> Ranking:
        """`recommend` for those who need no propensities, as offline metrics: the same items and scores.

        A model for which propensities take longer than the list may leave them out (as 1) here.
        """
        return self.recommend(batch, k)

    def update(self, feedback: Feedback) -> Self:
        """Learn from what became of shown items, in place. Learning a batch is learning its rows one by one.

        Only models whose capabilities say `learns_online`; any other refuses with PluginError.
        """
        raise PluginError(
            f"{self.name} does not learn online", fix="train it again, or choose a model that does: a bandit"
        )

    item_vectors: Float32
    """float32[n_items, d], of a model whose capabilities say `embeds`: list it in `state`."""

    def embed(self, batch: Batch) -> Float32:
        """float32[n, d]: x_u with s_ui = x_u · item_vectors[i] for every item, s the scores of `recommend`.

        A row of NaN says that this one is answered in another way, such as by popularity without a past.
        Only models whose capabilities say `embeds`; any other refuses with PluginError.
        """
        raise PluginError(f"{self.name} has no vectors", fix="ask `recommend`, or choose a model that embeds")

    def contributions(self, batch: Batch, items: Int32) -> FeatureTable | None:
        """What made up the scores of `items`, int32[m], in the answer to a batch of one row; None if unknown.

        One column a part, m rows: a row's parts add up to its score, but for a constant that all rows share.
        A row of NaN says that the item's score is not made of parts, such as one that only fills the list.
        """
        return None

    def save(self, folder: Path) -> None:
        """Write `state` as .npy files into an existing, empty folder. Raises PluginError if it can't be."""
        for name in self.state:
            value: Any = getattr(self, name, None)
            if why := unsaved(value):
                raise PluginError(
                    f"model {self.name}: {name}, which `state` names, {why}",
                    fix="set it in `fit` to an array or a CSR array, or take it out of `state`",
                )
            if isinstance(value, csr_array):
                for part in ("data", "indices", "indptr"):
                    np.save(folder / f"{name}.{part}.npy", getattr(value, part), allow_pickle=False)
                np.save(folder / f"{name}.shape.npy", np.asarray(value.shape), allow_pickle=False)
            else:
                np.save(folder / f"{name}.npy", value, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, config: ConfigT) -> Self:
        """Memory-map what `save` wrote. Raises ArtifactError naming the file that is missing or malformed."""
        model = cls(config)
        for name in cls.state:
            setattr(model, name, _load(folder, name))
        return model


def unsaved(value: object) -> str | None:
    """Why a part of a model's state can't be saved, in words; None if it can."""
    if value is None:
        return "is not set"
    if isinstance(value, csr_array) or np.isscalar(value):
        return None
    if not isinstance(value, np.ndarray):
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        return f"is a {kind}, which can't be saved: arrays and CSR arrays can"
    return "holds Python objects, which can't be saved: numbers can" if value.dtype.hasobject else None


def load_array(path: Path) -> NDArray[Any]:
    """Memory-map one .npy file, read-only. Raises ArtifactError if it is missing or is no such file."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))  # slices of np.memmap are slow
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(
            f"{path.name} in {path.parent} can't be read as an array: {error}",
            fix="train the model again, or serve another version",
        ) from error


def _load(folder: Path, name: str) -> NDArray[Any] | csr_array:
    if not (folder / f"{name}.shape.npy").exists():
        return load_array(folder / f"{name}.npy")
    data, indices, indptr, shape = (
        load_array(folder / f"{name}.{part}.npy") for part in ("data", "indices", "indptr", "shape")
    )
    try:
        rows, columns = (int(n) for n in shape)
        return csr_array((data, indices, indptr), shape=(rows, columns))
    except ValueError as error:
        raise ArtifactError(
            f"{name} in {folder} is no CSR matrix: {error}", fix="train the model again"
        ) from error
