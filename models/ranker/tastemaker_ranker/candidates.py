"""The candidates that several retrievers propose for each row of a batch, scored by every retriever."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tastemaker.plugins import NO_ITEM, Batch, Ranking
from tastemaker.plugins.arrays import Bool, Float32, Int32, Int64
from tastemaker_ranker.retrievers import Retrievers


class Candidates(NamedTuple):
    """m candidates, each a row of the batch and an item, sorted by row and item, scored by R retrievers."""

    rows: Int64
    """int64[m]: the batch's row."""
    items: Int32
    """int32[m]"""
    scores: Float32
    """float32[m, R]: a retriever's score, scaled: 1 for the row's best, 0 for its worst, NaN without one."""
    ranks: Float32
    """float32[m, R]: how many of the row's candidates the retriever scores higher; NaN without a score."""

    def without_items(self, items: Bool) -> Candidates:
        """Return the candidates without those of some items, bool[n_items]."""
        if not items.any():
            return self
        kept = ~items[self.items]
        return Candidates(self.rows[kept], self.items[kept], self.scores[kept], self.ranks[kept])


def retrieve(retrievers: Retrievers, batch: Batch, depth: int) -> Candidates:
    """Return the union of each retriever's best items for each row, scored by every retriever.

    Args:
        retrievers: The fitted models that propose items, by name.
        batch: n requests.
        depth: The number of items per row that each retriever proposes.
    """
    n_items = max(batch.history.n_items, 1)
    proposed = np.concatenate([model.recommend(batch, depth).items for model in retrievers.values()], axis=1)
    rows, columns = np.nonzero(proposed != NO_ITEM)
    keys = np.unique(rows * n_items + proposed[rows, columns])
    rows, items = keys // n_items, (keys % n_items).astype(np.int32)
    table = _table(rows, items, len(batch))
    asked = replace(batch, candidates=table)
    scaled = [_scaled(model.recommend(asked, table.shape[1]), keys, n_items) for model in retrievers.values()]
    scores, ranks = (np.stack(column, axis=1) for column in zip(*scaled, strict=True))
    return Candidates(rows, items, scores, ranks)


def _table(rows: Int64, items: Int32, n: int) -> Int32:
    """Return the items as int32[n, widest row], padded with -1."""
    starts = np.searchsorted(rows, np.arange(n + 1))
    table = np.full((n, max(int(np.diff(starts).max(initial=0)), 1)), NO_ITEM, np.int32)
    table[rows, np.arange(len(rows)) - starts[rows]] = items
    return table


def _scaled(ranking: Ranking, keys: Int64, n_items: int) -> tuple[Float32, Float32]:
    """Return one retriever's scaled scores and its ranks, float32[m] each.

    The scale is rounded to 1e-4: a model's sums may differ in their last bit between a row alone and the row
    in a batch, and a tree would turn that into another leaf.
    """
    ranked = ranking.items != NO_ITEM
    scored = np.where(ranked, ranking.scores, np.nan)
    best, worst = (extreme(scored, axis=1, keepdims=True) for extreme in (np.fmax.reduce, np.fmin.reduce))
    spread = best - worst
    scaled = np.round((scored - worst) / np.where(spread > 0, spread, 1), 4)
    position = np.broadcast_to(np.arange(scaled.shape[1]), scaled.shape)
    fresh = np.diff(scaled, axis=1, prepend=np.inf) != 0
    rank = np.maximum.accumulate(np.where(fresh, position, 0), axis=1)
    at = np.nonzero(ranked)
    index = np.searchsorted(keys, at[0] * n_items + ranking.items[at])
    score_column, rank_column = np.full(len(keys), np.nan, np.float32), np.full(len(keys), np.nan, np.float32)
    score_column[index], rank_column[index] = scaled[at], rank[at]
    return score_column, rank_column
