"""Checks that a model's answer to a batch can be scored: one small function per fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tastemaker.errors import PluginError
from tastemaker.evaluation.metrics import entries
from tastemaker.plugins import NO_ITEM, Batch, Ranking, Recommender
from tastemaker.plugins.error_location import locate_method, suggest_fix

Fault = Callable[[Ranking, Batch, int], str | None]


def check(model: Recommender[Any], ranking: Ranking, batch: Batch, k: int) -> None:
    """Refuse an answer that can't be scored, and name the model, the fault and the place.

    Without the check, an invalid list would be scored as a poor one.

    Args:
        model: The model that gave the answer.
        ranking: The model's lists, one row per request.
        batch: The requests, one row each.
        k: The length of the lists that the model was asked for.

    Raises:
        PluginError: The answer has one of the `FAULTS`; the first one is named.
    """
    for fault in FAULTS:
        found = fault(ranking, batch, k)
        if found:
            raise PluginError(
                f"model {model.name} gave an answer that can't be scored: {found} "
                f"({locate_method(type(model), 'recommend')})",
                fix=suggest_fix(type(model)),
            )


def _wrong_type(ranking: object, batch: Batch, k: int) -> str | None:
    """Check that an answer is a Ranking of numpy arrays with int32 items; return the fault, if any."""
    if not isinstance(ranking, Ranking):
        return f"expected a Ranking, got {type(ranking).__name__}"
    for name, part in ranking._asdict().items():
        if not isinstance(part, np.ndarray):
            return f"{name} is a {type(part).__name__}, must be an array"
    if ranking.items.dtype != np.int32:
        return f"items are {ranking.items.dtype}, must be int32"
    return None


def _wrong_shape(ranking: Ranking, batch: Batch, k: int) -> str | None:
    """Check that all three arrays are n x k; return the fault, if any."""
    for name, part in ranking._asdict().items():
        if part.shape != (len(batch), k):
            return f"{name} has shape {part.shape}, must be {(len(batch), k)}"
    return None


def _unknown_item(ranking: Ranking, batch: Batch, k: int) -> str | None:
    """Check that item numbers are those of the catalogue; return the fault, if any."""
    n_items = batch.history.n_items
    wrong = (ranking.items < NO_ITEM) | (ranking.items >= n_items)
    return (
        f"item {ranking.items[wrong][0]} does not exist, the catalogue has {n_items}" if wrong.any() else None
    )


def _gap(ranking: Ranking, batch: Batch, k: int) -> str | None:
    """Check that a short row is padded at its end only; return the fault, if any."""
    shown = ranking.items != NO_ITEM
    wrong = (~shown[:, :-1] & shown[:, 1:]).any(axis=1)
    return f"row {np.flatnonzero(wrong)[0]} has an item after its padding" if wrong.any() else None


def _repeated_item(ranking: Ranking, batch: Batch, k: int) -> str | None:
    """Check that a list holds an item once; return the fault, if any."""
    ordered = np.sort(ranking.items, axis=1)
    wrong = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_ITEM)
    if not wrong.any():
        return None
    row, column = np.argwhere(wrong)[0]
    return f"row {row} holds item {ordered[row, column]} twice"


def _forbidden_item(ranking: Ranking, batch: Batch, k: int) -> str | None:
    """Check that no recommended item is excluded or not offered by the batch; return the fault, if any."""
    rows, shown = np.arange(len(batch))[:, None], ranking.items != NO_ITEM
    items = np.where(shown, ranking.items, 0)
    allowed = np.ones(items.shape, np.bool_)
    if batch.available is not None:
        allowed &= batch.available[items]
    if batch.excluded is not None:
        allowed &= ~entries(batch.excluded, items).astype(np.bool_)
    if batch.candidates is not None:
        n_items = np.int64(batch.history.n_items)
        offered = (rows * n_items + batch.candidates)[batch.candidates != NO_ITEM]
        allowed &= np.isin(rows * n_items + items, offered)
    wrong = np.argwhere(shown & ~allowed)
    if not len(wrong):
        return None
    row, column = wrong[0]
    return f"row {row} holds item {items[row, column]}, which its request does not allow"


def _wrong_scores(ranking: Ranking, batch: Batch, k: int) -> str | None:
    """Check that scores are finite and descend along the row; return the fault, if any."""
    shown = ranking.items != NO_ITEM
    if np.isnan(ranking.scores).any():
        return f"{np.isnan(ranking.scores).sum()} scores are NaN"
    if not np.isfinite(ranking.scores[shown]).all():
        return "a score is infinite"
    rising = (ranking.scores[:, 1:] > ranking.scores[:, :-1]) & shown[:, 1:]
    return (
        f"the scores of row {np.argwhere(rising)[0][0]} rise, the best must come first"
        if rising.any()
        else None
    )


def _wrong_propensities(ranking: Ranking, batch: Batch, k: int) -> str | None:
    """Check that the propensities of the items shown are in (0, 1]; return the fault, if any."""
    shown = ranking.propensities[ranking.items != NO_ITEM]
    sound = (shown > 0) & (shown <= 1)
    return None if sound.all() else f"a propensity is {shown[~sound][0]}, must be above 0 and at most 1"


FAULTS: tuple[Fault, ...] = (
    _wrong_type,
    _wrong_shape,
    _unknown_item,
    _gap,
    _repeated_item,
    _forbidden_item,
    _wrong_scores,
    _wrong_propensities,
)
