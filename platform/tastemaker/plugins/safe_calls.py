"""Calls into a model's code: what the model raises becomes a PluginError that names model and line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.plugins.arrays import Batch, FeatureTable, Float32, Int32, Ranking
from tastemaker.plugins.discovery import Plugin
from tastemaker.plugins.error_location import METHODS, locate_error, locate_method, plugin_error
from tastemaker.plugins.read_only import read_only, untouched
from tastemaker.plugins.recommender import Config, Recommender, unsaved
from tastemaker.plugins.selection import ScoresError
from tastemaker.plugins.training_data import Feedback, TrainingData


def fit(plugin: Plugin, config: Config, data: TrainingData) -> Recommender[Any]:
    """Fit a new model.

    What the model writes to its data, where numpy allows it, is undone: the next model reads the same arrays.

    Args:
        plugin: The model's plugin.
        config: An instance of the plugin's config class.
        data: What the model learns from.

    Returns:
        The fitted model.

    Raises:
        PluginError: The model failed, wrote to its data, returned something other than itself, or has state
            that `save` would lose or can't write. The message names the line.
    """
    model = plugin.recommender
    with untouched(data, plugin.name, "fit"), _plugin_errors(plugin.name, model, "fit", data=data):
        fitted: object = model(config).fit(data)
    if not isinstance(fitted, Recommender):
        returned = "None" if fitted is None else f"a {type(fitted).__name__}"
        raise _wrong(
            plugin, f"`fit` returned {returned}, must return the model", "end `fit` with: return self"
        )
    _check_state(plugin, fitted)
    return fitted


def recommend(model: Recommender[Any], batch: Batch, k: int) -> Ranking:
    """Return the model's ranking of a batch.

    Args:
        model: A fitted model.
        batch: The requests.
        k: Length of the lists.

    Raises:
        PluginError: The model failed; the message names it.
    """
    with _plugin_errors(model.name, type(model), "recommend", batch=batch):
        return model.recommend(batch, k)


def top_k(model: Recommender[Any], batch: Batch, k: int) -> Ranking:
    """Return the model's ranking without propensities.

    Args:
        model: A fitted model.
        batch: The requests.
        k: Length of the lists.

    Raises:
        PluginError: The model failed; the message names it.
    """
    with _plugin_errors(model.name, type(model), "recommend", batch=batch):
        return model.top_k(batch, k)


def embed(model: Recommender[Any], batch: Batch) -> Float32:
    """Return the vectors of a batch's rows.

    Args:
        model: A fitted model.
        batch: The requests.

    Raises:
        PluginError: The model failed; the message names it.
    """
    with _plugin_errors(model.name, type(model), "embed", batch=batch):
        return model.embed(batch)


def contributions(model: Recommender[Any], batch: Batch, items: Int32) -> FeatureTable | None:
    """Return the parts of the items' scores.

    Args:
        model: A fitted model.
        batch: The requests.
        items: int32[n], the item of each row.

    Raises:
        PluginError: The model failed; the message names it.
    """
    with _plugin_errors(model.name, type(model), "explain", batch=batch, items=items):
        return model.contributions(batch, read_only(items))


def update(model: Recommender[Any], feedback: Feedback) -> Recommender[Any]:
    """Update the model with feedback and return it.

    Args:
        model: A fitted model that learns online.
        feedback: The impressions with their rewards.

    Raises:
        PluginError: The model failed; the message names it.
    """
    with _plugin_errors(model.name, type(model), "update", feedback=feedback):
        return model.update(feedback)


def _check_state(plugin: Plugin, model: Recommender[Any]) -> None:
    """Raise PluginError unless `save` writes everything that `fit` learned."""
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
    return PluginError(f"model {plugin.name}: {what} ({locate_method(plugin.recommender, 'fit')})", fix=fix)


@contextmanager
def _plugin_errors(model: str, kind: type, doing: str, **given: object) -> Iterator[None]:
    try:
        yield
    except ScoresError as error:
        place = locate_error(error) or locate_method(kind, METHODS.get(doing, doing))
        raise PluginError(f"model {model}: {error.problem} ({place})", fix=error.fix) from None
    except TastemakerError:
        raise
    except (Exception, SystemExit) as error:
        raise plugin_error(error, model, kind, doing, **given) from error
