"""LightGBM's LambdaRank: training, saving and loading. Trees are stored as text and as an ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tastemaker.errors import ArtifactError
from tastemaker.plugins.arrays import Float32, Int32
from tastemaker_ranker import onnx_export
from tastemaker_ranker.training_set import TrainingSet

if TYPE_CHECKING:
    from lightgbm import Booster

GRADES = 4
"""Levels of reward above 0 that LambdaRank distinguishes."""

FEW_ROWS = 1_000_000
"""Up to this many candidates one thread does. Several wait for one another by spinning, which costs far more
than it saves on a busy machine."""

TEXT, MODEL = "trees.txt", "model.onnx"
NO_TREES = "no trees: the training window held no labels\n"
_END = "\nend of trees\n"
_FIX = "train the ranker again"


def train(training_set: TrainingSet, names: Sequence[str], parameters: dict[str, Any], trees: int) -> str:
    """Train boosted trees that order the rows of each group by reward.

    Args:
        training_set: m labelled candidates.
        names: The names of the f columns.
        parameters: LightGBM's parameters; those that make training deterministic are fixed.
        trees: How many trees.

    Returns:
        LightGBM's text form of the trees; the same arguments give the same text.
    """
    import lightgbm

    labels, gains = grade(training_set.rewards)
    fixed = {
        "objective": "lambdarank",
        "label_gain": gains.tolist(),
        "deterministic": True,
        "num_threads": 1 if len(training_set.rewards) < FEW_ROWS else 0,
        "force_row_wise": True,
        "verbosity": -1,
    }
    table = lightgbm.Dataset(
        training_set.features,
        labels,
        group=training_set.groups,
        feature_name=list(names),
        params={"verbosity": -1},
    )
    return lightgbm.train(fixed | parameters, table, trees).model_to_string()


def grade(rewards: Float32) -> tuple[Int32, np.ndarray]:
    """Convert rewards to levels for LambdaRank, with the gain of each level.

    LambdaRank takes integer levels. Quantiles of the positive rewards, weighted by their own mean, keep a few
    huge orders from dominating. Gains are relative to that of the lowest positive level. Level 0 has reward
    0; if there are rewards below 0, level 0 has these, all others are one higher, and gains are counted from
    it, since LambdaRank has no negative gains.

    Args:
        rewards: float32[m].

    Returns:
        int32[m]: the level of each reward, and float64[levels]: the mean reward of each level, scaled.
    """
    positive = rewards[rewards > 0]
    edges = np.unique(np.quantile(positive, np.arange(1, GRADES) / GRADES, method="lower"))
    labels = np.where(rewards > 0, 1 + np.searchsorted(edges, rewards, side="left"), 0)
    levels = np.unique(labels[labels > 0])  # equal quantiles leave levels out
    labels = np.where(labels > 0, 1 + np.searchsorted(levels, labels), 0).astype(np.int32)
    means = [rewards[labels == level].mean(dtype=np.float64) for level in range(1, len(levels) + 1)]
    gains = np.array([0, *means]) / means[0]
    harm = rewards < 0
    if not harm.any():
        return labels, gains
    loss = -float(rewards[harm].mean(dtype=np.float64)) / means[0]
    return np.where(harm, 0, labels + 1).astype(np.int32), np.concatenate(([0], gains + loss))


class Ensemble:
    """Fitted trees: an ONNX graph, which scores, and LightGBM's text, which explains.

    A service that is never asked to explain never loads LightGBM.
    """

    def __init__(self, text: str, model: bytes, n_features: int, source: str = "the new model") -> None:
        """Create an ensemble from both forms.

        Args:
            text: LightGBM's text.
            model: The ONNX graph.
            n_features: How many columns the trees read.
            source: The name of the graph's file, for the error message.

        Raises:
            ArtifactError: The graph is damaged or for other columns.
        """
        self.text = text
        self.model = model
        self._session = onnx_export.load(model, n_features, source)

    @classmethod
    def of(cls, text: str, n_features: int) -> Self:
        """Convert LightGBM's text to an ensemble that has both forms.

        Args:
            text: LightGBM's text, as `train` returns it.
            n_features: How many columns the trees read.

        Returns:
            A new ensemble.

        Raises:
            ValueError: The trees split on categories, or take zeros for missing values.
        """
        return cls(text, onnx_export.convert(text, n_features), n_features)

    def score(self, features: Float32) -> Float32:
        """Return float32[m]: the trees' sum for each row."""
        return onnx_export.score(self._session, features)

    def contributions(self, features: Float32) -> Float32:
        """Return float32[m, f]: what each column adds to each row's sum, relative to the average sum."""
        parts = self._booster.predict(features, pred_contrib=True, num_threads=1)
        return np.asarray(parts, np.float32).reshape(len(features), -1)[:, :-1]  # the last is the average

    @cached_property
    def _booster(self) -> Booster:
        import lightgbm

        return lightgbm.Booster(model_str=self.text)


def save(ensemble: Ensemble | None, folder: Path) -> None:
    """Write trees.txt and model.onnx; without trees only the text, which says so.

    Args:
        ensemble: The fitted trees; None if the training window held no labels.
        folder: An existing folder.
    """
    (folder / TEXT).write_text(NO_TREES if ensemble is None else ensemble.text, "utf-8")
    if ensemble is not None:
        (folder / MODEL).write_bytes(ensemble.model)


def load(folder: Path, n_features: int) -> Ensemble | None:
    """Read what `save` wrote.

    Args:
        folder: The folder that `save` wrote to.
        n_features: How many columns the trees read.

    Returns:
        None if there are no trees.

    Raises:
        ArtifactError: A file is missing, damaged or for other columns; the message names it.
    """
    try:
        text = (folder / TEXT).read_text("utf-8")
        model = b"" if text == NO_TREES else (folder / MODEL).read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{TEXT} or {MODEL} in {folder} can't be read: {error}", fix=_FIX) from error
    if text == NO_TREES:
        return None
    if not (text.startswith("tree\n") and f"\nmax_feature_idx={n_features - 1}\n" in text and _END in text):
        raise ArtifactError(f"{folder / TEXT} holds no ranking trees for {n_features} columns", fix=_FIX)
    return Ensemble(text, model, n_features, str(folder / MODEL))
