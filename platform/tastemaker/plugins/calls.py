"""A model's code, called so that whatever it raises is told as its own failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.plugins.arrays import Batch, Feedback, Ranking, TrainingData
from tastemaker.plugins.finder import Plugin
from tastemaker.plugins.recommender import Config, Recommender


def fit(plugin: Plugin, config: Config, data: TrainingData) -> Recommender[Any]:
    """A model that has learned from `data`. Raises PluginError naming it where it fails."""
    with _told_as(plugin.name, "fit"):
        return plugin.recommender(config).fit(data)


def recommend(model: Recommender[Any], batch: Batch, k: int) -> Ranking:
    """The model's answer. Raises PluginError naming it where it fails."""
    with _told_as(model.name, "recommend"):
        return model.recommend(batch, k)


def decide(model: Recommender[Any], batch: Batch, k: int) -> Ranking:
    """The model's answer, whose propensities may be missing. Raises PluginError naming it where it fails."""
    with _told_as(model.name, "recommend"):
        return model.decide(batch, k)


def update(model: Recommender[Any], feedback: Feedback) -> Recommender[Any]:
    """The model, having learned from `feedback`. Raises PluginError naming it where it fails."""
    with _told_as(model.name, "update"):
        return model.update(feedback)


@contextmanager
def _told_as(model: str, doing: str) -> Iterator[None]:
    try:
        yield
    except TastemakerError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"model {model} failed to {doing}: {type(error).__name__}: {error}",
            fix=f"run `tastemaker models check {model}`",
        ) from error
