"""The base classes of a model: a frozen config, and a recommender that ranks batches of requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.sparse import csr_array

from tastemaker.errors import ArtifactError, PluginError
from tastemaker.plugins.arrays import Batch, FeatureTable, Float32, Int32, Ranking
from tastemaker.plugins.training_data import Feedback, TrainingData

INTERFACE_VERSION = 1
"""The version of the plugin API; it is raised when models for an earlier version no longer work."""


class Config(BaseModel):
    """The hyperparameters of a model: typed, bounded, frozen. Each field's docstring is its description.

    >>> from typing import Annotated
    >>> from pydantic import Field
    >>> class MyConfig(Config):
    ...     epochs: Annotated[int, Field(ge=1)] = 15
    >>> MyConfig(epochs=20).epochs
    20
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Untyped(Config):
    """The config of a model under development: any hyperparameter. A plugin needs its own class."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class Capabilities:
    """The declared properties of a model, on which the checks and the platform act."""

    personalizes: bool = False
    """Users with different histories may get different lists."""
    learns_online: bool = False
    """`update` learns from feedback between fits."""
    order_independent: bool = False
    """The result of `update` does not depend on the order of feedback, so replicas may differ in it."""
    stochastic: bool = False
    """The list depends on the seed of the request, and propensities may be below 1."""
    embeds: bool = False
    """Scores are dot products, so that an index can find the best items: see `embed`."""
    user_features: tuple[str, ...] = ()
    """The user features that `recommend` reads from its batch."""
    item_features: tuple[str, ...] = ()
    """The item features that `recommend` reads from its batch."""
    exempt: dict[str, str] = field(default_factory=dict)
    """Check -> the reason why it does not apply to the model."""


ConfigT = TypeVar("ConfigT", bound=Config)


class Recommender(ABC, Generic[ConfigT]):
    """The base class of models.

    A subclass sets `name`, `reference` and its config class (as type argument and as `config_type`), lists in
    `state` the attributes that `fit` sets, and implements `fit` and `recommend`. `save` and `load` follow
    from `state`. Its docstring gives the equation of the score, and what a reward below 0 does.

    >>> from tastemaker.plugins import Batch, Events, History, TrainingData, select
    >>> class MostRecent(Recommender[Config]):
    ...     "s_ui = the time of the latest event with item i."
    ...     name = "most_recent"
    ...     reference = "an example"
    ...     config_type = Config
    ...     state = ("scores",)
    ...     def fit(self, data):
    ...         self.scores = np.zeros(data.n_items, np.float32)
    ...         np.maximum.at(self.scores, data.events.items, data.events.times)
    ...         return self
    ...     def recommend(self, batch, k):
    ...         return select(np.tile(self.scores, (len(batch), 1)), batch, k)
    >>> users, items = np.array([0, 1, 1], np.int32), np.array([0, 2, 1], np.int32)
    >>> events = Events(users, items, rewards=np.ones(3, np.float32), times=np.array([10, 20, 30]))
    >>> model = MostRecent().fit(TrainingData(events, n_users=2, n_items=3, end=40))
    >>> batch = Batch(np.array([0], np.int32), History.empty(1, 3), np.zeros(1, np.uint64), now=50)
    >>> model.recommend(batch, k=2).items.tolist()
    [[1, 2]]
    """

    interface_version: ClassVar[int] = INTERFACE_VERSION
    """The version of the plugin API that the model is written for."""
    name: ClassVar[str]
    """The model's name, also of its entry point: lower case words joined by `_`."""
    reference: ClassVar[str]
    """The paper or book that describes the model."""
    config_type: ClassVar[type[Config]] = Untyped
    """The model's config class."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    """The declared properties of the model."""
    state: ClassVar[tuple[str, ...]] = ()
    """The attributes that `save` writes: arrays, CSR arrays or numbers."""

    def __init__(self, config: ConfigT | None = None, **hyperparameters: Any) -> None:
        """Create an unfitted model from a config, or from the config's fields: `Trending(half_life_days=7)`.

        Args:
            config: An instance of `config_type`; None to make one from `hyperparameters`.
            hyperparameters: Values of fields of `config_type`; a field that is left out has its default.

        Raises:
            PluginError: Both were given.
        """
        if config is not None and hyperparameters:
            raise PluginError(
                f"{self.name} was given a config and {', '.join(hyperparameters)}",
                fix="give one or the other",
            )
        made = self.config_type(**hyperparameters) if config is None else config
        self.config: ConfigT = made  # type: ignore[assignment]

    @abstractmethod
    def fit(self, data: TrainingData) -> Self:
        """Learn from scratch: what the model learned before is discarded.

        The result must be a deterministic function of the data and the state of `data.rng`.

        Args:
            data: The training window. Its arrays are read-only.

        Returns:
            The model itself.
        """

    @abstractmethod
    def recommend(self, batch: Batch, k: int) -> Ranking:
        """Return the k best allowed items of each row.

        The result must be a deterministic function of the model and the row: the same for a row alone as in a
        batch, and the same each time. `select` chooses the items from an array of scores.

        Args:
            batch: n requests. Its arrays are read-only.
            k: The length of the lists; it may exceed the number of items.

        Returns:
            n rows of k items, padded at the end; no item that the batch does not allow, and none twice.
        """

    def top_k(self, batch: Batch, k: int) -> Ranking:
        """Return the items and scores of `recommend`; propensities may be 1.

        Offline metrics call it. A model whose propensities take longer than the list may override it.

        Args:
            batch: n requests.
            k: The length of the lists.
        """
        return self.recommend(batch, k)

    def update(self, feedback: Feedback) -> Self:
        """Learn from feedback between fits, in place.

        Learning from a batch must give the same model as learning from its rows one by one.

        Args:
            feedback: Impressions with their rewards, oldest first.

        Returns:
            The model itself.

        Raises:
            PluginError: The capabilities do not include `learns_online`.
        """
        raise PluginError(
            f"{self.name} does not learn online", fix="train it again, or choose a model that does: a bandit"
        )

    item_vectors: Float32
    """float32[n_items, d]: the item vectors of a model that embeds; list it in `state`."""

    def embed(self, batch: Batch) -> Float32:
        """Return the user vectors x_u with s_ui = x_u · item_vectors[i], s the scores of `recommend`.

        Args:
            batch: n requests.

        Returns:
            float32[n, d]; a row of NaN for a request that `recommend` scores in another way, such as by
            popularity for a user without history.

        Raises:
            PluginError: The capabilities do not include `embeds`.
        """
        raise PluginError(
            f"{self.name} has no vectors", fix="call `recommend`, or choose a model that embeds"
        )

    def contributions(self, batch: Batch, items: Int32) -> FeatureTable | None:
        """Return the additive parts of the scores of some items.

        Args:
            batch: One request.
            items: int32[m], items of its ranking.

        Returns:
            m rows, one column per part: the parts of a row sum to its score, up to a constant that all rows
            share. A row of NaN for an item whose score has no parts, such as one that only fills the list.
            None if the model can't explain its scores.
        """
        return None

    @classmethod
    def ablations(cls, config: ConfigT) -> Mapping[str, ConfigT]:
        """Return, by the name of each feature, a config with which the model does not use that feature.

        `tastemaker ablation` compares the model with and without each of them.

        Args:
            config: The config that uses all features of interest.

        Returns:
            Configs that differ from `config` in one feature each; empty for a model without features.
        """
        return {}

    def save(self, folder: Path) -> None:
        """Write the attributes that `state` names as .npy files.

        Args:
            folder: An existing, empty folder.

        Raises:
            PluginError: An attribute is not set, or is not an array of numbers.
        """
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
        """Return a fitted model from what `save` wrote; arrays are memory-mapped.

        Args:
            folder: The folder that `save` wrote to.
            config: The config that the model was fitted with.

        Raises:
            ArtifactError: A file is missing or malformed; the message names it.
        """
        model = cls(config)
        for name in cls.state:
            setattr(model, name, _load(folder, name))
        return model


def unsaved(value: object) -> str | None:
    """Return why a value of a model's state can't be saved, in words; None if it can."""
    if value is None:
        return "is not set"
    if isinstance(value, csr_array) or np.isscalar(value):
        return None
    if not isinstance(value, np.ndarray):
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        return f"is a {kind}, which can't be saved: arrays and CSR arrays can"
    return "holds Python objects, which can't be saved: numbers can" if value.dtype.hasobject else None


def load_array(path: Path) -> NDArray[Any]:
    """Memory-map one .npy file, read-only.

    Raises:
        ArtifactError: The file is missing or malformed; the message names it.
    """
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
            f"{name} in {folder} is not a CSR matrix: {error}", fix="train the model again"
        ) from error
