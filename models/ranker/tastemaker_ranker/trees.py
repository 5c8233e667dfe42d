"""LightGBM's LambdaRank: training, and the text form that a model is kept in (loading it runs no code)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tastemaker.errors import ArtifactError
from tastemaker.plugins.arrays import Float32, Int32
from tastemaker_ranker.lessons import Lessons

if TYPE_CHECKING:
    from lightgbm import Booster

GRADES = 4
"""Levels of reward that LambdaRank tells apart."""

FEW_ROWS = 1_000_000
"""Up to this many candidates one thread does. Several wait for one another by spinning, which costs far more
than it saves on a busy machine."""


def train(lessons: Lessons, names: Sequence[str], parameters: dict[str, Any], trees: int) -> str:
    """Boosted trees that order each group's rows by reward, as text. The same lessons give the same text."""
    import lightgbm

    labels, gains = grade(lessons.rewards)
    fixed = {
        "objective": "lambdarank",
        "label_gain": gains.tolist(),
        "deterministic": True,
        "num_threads": _threads(len(lessons.rewards)),
        "force_row_wise": True,
        "verbosity": -1,
    }
    table = lightgbm.Dataset(
        lessons.features, labels, group=lessons.groups, feature_name=list(names), params={"verbosity": -1}
    )
    return lightgbm.train(fixed | parameters, table, trees).model_to_string()


def grade(rewards: Float32) -> tuple[Int32, np.ndarray]:
    """Each reward as a level 0..GRADES, and the gain of each level: the mean reward that it stands for.

    LambdaRank takes whole levels; quantiles of the positive rewards, weighed by their own mean, keep a few
    huge orders from being all that counts. Gains are relative to level 1's.
    """
    positive = rewards[rewards > 0]
    edges = np.unique(np.quantile(positive, np.arange(1, GRADES) / GRADES, method="lower"))
    labels = np.where(rewards > 0, 1 + np.searchsorted(edges, rewards, side="left"), 0)
    levels = np.unique(labels[labels > 0])  # equal quantiles leave levels out
    labels = np.where(labels > 0, 1 + np.searchsorted(levels, labels), 0).astype(np.int32)
    means = [rewards[labels == level].mean(dtype=np.float64) for level in range(1, len(levels) + 1)]
    return labels, np.array([0, *means]) / means[0]


def read(text: str, n_features: int, source: str) -> Booster:
    """The trees of a text. Raises ArtifactError, naming `source`, if it is cut off or for other columns."""
    import lightgbm

    damaged = ArtifactError(
        f"{source} holds no ranking trees for {n_features} columns", fix="train the ranker again"
    )
    if not text.startswith("tree\n") or "end of trees" not in text:
        raise damaged
    try:
        booster = lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise damaged from error
    if booster.num_feature() != n_features:
        raise damaged
    return booster


def score(booster: Booster, features: Float32) -> Float32:
    """float32[m]: the trees' sum for each row."""
    if len(features) == 0:
        return np.empty(0, np.float32)
    return np.asarray(booster.predict(features, num_threads=_threads(len(features))), np.float32)


def contributions(booster: Booster, features: Float32) -> Float32:
    """float32[m, f]: what each column adds to each row's sum, relative to the average sum."""
    parts = booster.predict(features, pred_contrib=True, num_threads=_threads(len(features)))
    return np.asarray(parts, np.float32).reshape(len(features), -1)[:, :-1]  # the last is the average


def _threads(rows: int) -> int:
    """LightGBM's number of threads, 0 for all; the trees are the same whatever it is."""
    return 1 if rows < FEW_ROWS else 0
