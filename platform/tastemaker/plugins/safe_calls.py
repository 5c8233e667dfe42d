"""A model's code, called so that whatever it raises is told as its own failure, and at which line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.plugins.arrays import Batch, FeatureTable, Feedback, Float32, Int32, Ranking, TrainingData
from tastemaker.plugins.blame import METHODS, blamed, place_of, written_at
from tastemaker.plugins.discovery import Plugin
from tastemaker.plugins.read_only import read_only, untouched
from tastemaker.plugins.recommender import Config, Recommender, unsaved
from tastemaker.plugins.selection import ScoresError


def fit(plugin: Plugin, config: Config, data: TrainingData) -> Recommender[Any]:
    """A model that has learned from `data`.

    Raises PluginError naming it where it fails, returns something else than itself, or holds what `save`
    would lose or could not write. What it wrote to its data, if numpy let it, is undone: the next model
    learns from the same arrays.
    """
    with untouched(data, plugin.name, "fit"), _told_as(plugin.name, plugin.recommender, "fit", data=data):
        fitted: object = plugin.recommender(config).fit(data)
    if not isinstance(fitted, Recommender):
        told = "None" if fitted is None else f"a {type(fitted).__name__}"
        raise _wrong(plugin, f"`fit` returned {told}, must return the model", "end `fit` with: return self")
    _check_state(plugin, fitted)
    return fitted


def recommend(model: Recommender[Any], batch: Batch, k: int) -> Ranking:
    """The model's answer. Raises PluginError naming it where it fails."""
    with _told_as(model.name, type(model), "recommend", batch=batch):
        return model.recommend(batch, k)


def top_k(model: Recommender[Any], batch: Batch, k: int) -> Ranking:
    """The model's answer, whose propensities may be missing. Raises PluginError naming it where it fails."""
    with _told_as(model.name, type(model), "recommend", batch=batch):
        return model.top_k(batch, k)


def embed(model: Recommender[Any], batch: Batch) -> Float32:
    """The rows' vectors. Raises PluginError naming the model where it fails."""
    with _told_as(model.name, type(model), "embed", batch=batch):
        return model.embed(batch)


def contributions(model: Recommender[Any], batch: Batch, items: Int32) -> FeatureTable | None:
    """The parts of the items' scores. Raises PluginError naming the model where it fails."""
    with _told_as(model.name, type(model), "explain", batch=batch, items=items):
        return model.contributions(batch, read_only(items))


def update(model: Recommender[Any], feedback: Feedback) -> Recommender[Any]:
    """The model, having learned from `feedback`. Raises PluginError naming it where it fails."""
    with _told_as(model.name, type(model), "update", feedback=feedback):
        return model.update(feedback)


def _check_state(plugin: Plugin, model: Recommender[Any]) -> None:
    """Raise PluginError unless `save` would keep all that `fit` learned."""
    if not isinstance(model.state, (tuple, list)) or not all(isinstance(each, str) for each in model.state):
        raise _wrong(
            plugin,
            f"`state` is {model.state!r}, must be a tuple of names",
            'with one name, mind the comma: state = ("weights",)',
        )
    made = vars(model).keys() - {"config"}
    for name in model.state:
        why = unsaved(getattr(model, name, None))
        if why is not None:
            known = ", ".join(sorted(made)) or "nothing"
            raise _wrong(
                plugin,
                f"{name}, which `state` names, {why}; `fit` set {known}",
                f"in `fit`, set self.{name} to an array (np.asarray) or a CSR array (scipy.sparse.csr_array)",
            )
    arrays = sorted(each for each in made if isinstance(getattr(model, each), (np.ndarray, csr_array)))
    if arrays and not model.state:
        listed = ", ".join(f'"{each}"' for each in arrays)
        raise _wrong(
            plugin,
            f"`fit` set {', '.join(arrays)}, but the class has no `state`: a saved model would lose it",
            f"write into the class: state = ({listed},)",
        )


def _wrong(plugin: Plugin, what: str, fix: str) -> PluginError:
    return PluginError(f"model {plugin.name}: {what} ({written_at(plugin.recommender, 'fit')})", fix=fix)


@contextmanager
def _told_as(model: str, kind: type, doing: str, **given: object) -> Iterator[None]:
    try:
        yield
    except ScoresError as error:
        place = place_of(error) or written_at(kind, METHODS.get(doing, doing))
        raise PluginError(f"model {model}: {error.problem} ({place})", fix=error.fix) from None
    except TastemakerError:
        raise
    except (Exception, SystemExit) as error:
        raise blamed(error, model, kind, doing, **given) from error
