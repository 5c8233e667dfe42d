"""A model's code, called so that whatever it raises is told as its own failure, and at which line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tastemaker.errors import TastemakerError
from tastemaker.plugins.arrays import Batch, FeatureTable, Feedback, Float32, Int32, Ranking, TrainingData
from tastemaker.plugins.blame import blamed
from tastemaker.plugins.finder import Plugin
from tastemaker.plugins.read_only import read_only, untouched
from tastemaker.plugins.recommender import Config, Recommender


def fit(plugin: Plugin, config: Config, data: TrainingData) -> Recommender[Any]:
    """A model that has learned from `data`. Raises PluginError naming it where it fails.

    What it wrote to its data, if numpy let it, is undone: the next model learns from the same arrays.
    """
    with untouched(data, plugin.name, "fit"), _told_as(plugin.name, "fit", data=data):
        return plugin.recommender(config).fit(data)


def recommend(model: Recommender[Any], batch: Batch, k: int) -> Ranking:
    """The model's answer. Raises PluginError naming it where it fails."""
    with _told_as(model.name, "recommend", batch=batch):
        return model.recommend(batch, k)


def decide(model: Recommender[Any], batch: Batch, k: int) -> Ranking:
    """The model's answer, whose propensities may be missing. Raises PluginError naming it where it fails."""
    with _told_as(model.name, "recommend", batch=batch):
        return model.decide(batch, k)


def embed(model: Recommender[Any], batch: Batch) -> Float32:
    """The rows' vectors. Raises PluginError naming the model where it fails."""
    with _told_as(model.name, "embed", batch=batch):
        return model.embed(batch)


def contributions(model: Recommender[Any], batch: Batch, items: Int32) -> FeatureTable | None:
    """The parts of the items' scores. Raises PluginError naming the model where it fails."""
    with _told_as(model.name, "explain", batch=batch, items=items):
        return model.contributions(batch, read_only(items))


def update(model: Recommender[Any], feedback: Feedback) -> Recommender[Any]:
    """The model, having learned from `feedback`. Raises PluginError naming it where it fails."""
    with _told_as(model.name, "update", feedback=feedback):
        return model.update(feedback)


@contextmanager
def _told_as(model: str, doing: str, **given: object) -> Iterator[None]:
    try:
        yield
    except TastemakerError:
        raise
    except (Exception, SystemExit) as error:
        raise blamed(error, model, doing, **given) from error
