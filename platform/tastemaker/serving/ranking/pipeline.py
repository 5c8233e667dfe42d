"""The order of ranking, for one version: from a batch of requests to their lists.

    filters -> candidates -> model -> diversity -> checks -> gaps -> new items

`Pipeline.STAGES` is that order. Stages work on numbers; `inference.predictor` maps ids to numbers and back,
and says what fills a gap. Diversity comes after the model, as it weighs the model's scores. It leaves the
lists of a stochastic model alone: it would falsify their propensities.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tastemaker.api.schemas import Request
from tastemaker.event_log.records import Item
from tastemaker.plugins import UNKNOWN_USER, Batch, Events, Recommender, safe_calls
from tastemaker.plugins.arrays import Bool, Float32, Int32
from tastemaker.serving.ranking.ann_index import open_retriever
from tastemaker.serving.ranking.cold_start import MIN_K, ColdStart
from tastemaker.serving.ranking.filters import Filters
from tastemaker.serving.ranking.mmr import DEPTH, cosine, rerank
from tastemaker.serving.ranking.recent_feedback import RecentFeedback, SinceTraining
from tastemaker.serving.ranking.session import by_neighbours
from tastemaker.serving.ranking.similar_items import Alike, by_content, similar
from tastemaker.serving.ranking.sound_rows import sound_rows
from tastemaker.serving.ranking.stages import FillGap, RankedBatch, RankedList, Stages, isolate_failures
from tastemaker.serving.writes.catalog_overrides import CatalogOverrides, NewItem
from tastemaker.serving_settings import RetrievalSettings
from tastemaker.util.failure_log import FailureLog

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion

logger = logging.getLogger("tastemaker.serving")


class Pipeline:
    """The stages of one version. Thread-safe except for `rank` and `warm_up`, which run the plugin's code."""

    def __init__(
        self,
        loaded: LoadedVersion,
        settings: RetrievalSettings | None = None,
        changes: Path | None = None,
        recent: RecentFeedback | None = None,
    ) -> None:
        """Open the pipeline of a version.

        Args:
            loaded: The version.
            settings: How to retrieve, diversify and show new items.
            changes: The folder with callers' changes of items and users; None if there are none.
            recent: What users did since the training; None if that is not known.
        """
        self.folder = loaded.folder
        self._model, self._snapshot = loaded.model, loaded.snapshot
        self._retriever = open_retriever(loaded)
        self._settings = settings or RetrievalSettings()
        self._popularity = _ranks(self._snapshot.popular, len(self._snapshot.item_ids))
        known = np.zeros(len(self._snapshot.item_ids) + 1, np.bool_)  # the last is for unknown ids
        known[self._snapshot.history.items] = True
        item_ids = self._snapshot.item_ids  # not through self: a circle would keep a replaced version alive
        self.overlay = CatalogOverrides(changes, lambda ids: ~known[item_ids.lookup(ids)])
        self._filters = Filters(self._snapshot, self.overlay)
        self._since = (
            None if recent is None else SinceTraining(recent, self._snapshot, loaded.manifest.problem_spec)
        )
        self.overlay.refresh()
        rules = loaded.manifest.problem_spec.get("candidates", {})
        self._blocked_items = frozenset(rules.get("blocked_items", ()))
        self._blocked_categories = frozenset(rules.get("blocked_categories", ()))
        self._cold, self._cold_state = ColdStart(self._snapshot, self._new()), self.overlay.state
        self._cold_lock = threading.Lock()
        self.failures = FailureLog(logger, "the model works again")
        """Whether the model works at present."""

    def _filter(self, ranked: RankedBatch) -> None:
        """Exclude what was sold out or blocked since the version was trained."""
        user_ids = [request.user_id for request in ranked.requests]
        ranked.batch = self._filters.restrict(ranked.batch, user_ids)

    def _choose_candidates(self, ranked: RankedBatch) -> None:
        """Choose what proposes and scores the candidates.

        These are a session's neighbours, where the model does not personalize; the nearest vectors, where
        scoring the whole catalogue is slow; else the model itself, over the whole catalogue.
        """
        batch, neighbours = ranked.batch, self._snapshot.neighbours
        if neighbours is not None and not self._model.capabilities.personalizes:
            sessions = (batch.users == UNKNOWN_USER) & (batch.history.lengths > 0)
            if sessions.all():
                ranked.scorer = partial(by_neighbours, neighbours, rest=self._popularity)
                return
        if self._retriever is self._model:
            ranked.scorer = partial(safe_calls.recommend, self._model)
        else:
            ranked.scorer = self._retriever.recommend

    def _score(self, ranked: RankedBatch) -> None:
        """Rank the candidates; keep more of them than `k` where the next stage chooses among them."""
        ranked.ranking = ranked.scorer(ranked.batch, DEPTH * ranked.k if ranked.mmr_lambda else ranked.k)

    def _diversify(self, ranked: RankedBatch) -> None:
        """Reorder by maximal marginal relevance."""
        if ranked.mmr_lambda:
            ranked.ranking = rerank(ranked.ranking, ranked.k, self._similarity, ranked.mmr_lambda)

    def _check(self, ranked: RankedBatch) -> None:
        """Drop what may not be shown, whatever the plugin returned."""
        ranked.rows = [*sound_rows(ranked.ranking, ranked.batch, ranked.k, len(self._snapshot.item_ids))]

    def _fill_gaps(self, ranked: RankedBatch) -> None:
        """Fill the lists that are too short."""
        fill, batch = ranked.fill_gap, ranked.batch
        ranked.lists = [fill(row, batch, number, ranked.k) for number, row in enumerate(ranked.rows)]

    def _add_new_items(self, ranked: RankedBatch) -> None:
        """Give the last place of each list to an item that no model knows yet."""
        if not self.has_new:
            return
        cold, history = self._cold, ranked.batch.history
        blocked = self.overlay.blocked(request.user_id for request in ranked.requests)
        gone = set() if self._cold_state == self.overlay.state else set(cold.ids) - self.overlay.new.keys()
        for number, request in enumerate(ranked.requests):
            if len(ranked.lists[number].items) >= request.k and request.k < MIN_K:
                continue
            near = history.items[history.offsets[number] : history.offsets[number + 1]]
            out = gone.union(blocked.get(request.user_id, ()))
            seed = int(ranked.batch.seeds[number])
            ranked.lists[number] = self._with_new(cold, ranked.lists[number], request, seed, near, out)

    _SCORING: ClassVar[Stages] = (_choose_candidates, _score, _diversify)
    STAGES: ClassVar[Stages] = (_filter, isolate_failures(*_SCORING, _check), _fill_gaps, _add_new_items)
    """The order of ranking. A row at which the model fails takes no other row along."""
    STAGES_WITHOUT_MODEL: ClassVar[Stages] = (_filter, _fill_gaps, _add_new_items)
    STAGES_OF_WARM_UP: ClassVar[Stages] = (_filter, *_SCORING)

    def rank(self, batch: Batch, requests: Sequence[Request], fill_gap: FillGap) -> RankedBatch:
        """Run all stages.

        Args:
            batch: What the requests are in numbers, n rows.
            requests: n requests, which agree in `k`, in `diversity` and in whether they name candidates.
            fill_gap: Fills a list that is too short.

        Returns:
            The batch with its n lists.
        """
        ranked = RankedBatch(requests, batch, fill_gap, self.mmr_lambda(requests[0]))
        return self._run(self.STAGES, ranked)

    def rank_without_model(self, batch: Batch, requests: Sequence[Request], fill_gap: FillGap) -> RankedBatch:
        """Run the stages that do not call the plugin. Any thread may call it.

        Args:
            batch: What the requests are in numbers, n rows.
            requests: n requests, which agree in `k`.
            fill_gap: Makes each list: it is called without a row of the model.

        Returns:
            The batch with its n lists.
        """
        return self._run(self.STAGES_WITHOUT_MODEL, RankedBatch(requests, batch, fill_gap, 0.0))

    def warm_up(self, batch: Batch, requests: Sequence[Request]) -> None:
        """Run the stages up to the model's list, and discard it. Raises what the model raises.

        Args:
            batch: What the requests are in numbers, n rows.
            requests: n requests, which agree in `k` and in `diversity`.
        """
        ranked = RankedBatch(requests, batch, _fill_no_gap, self.mmr_lambda(requests[0]))
        self._run(self.STAGES_OF_WARM_UP, ranked)

    def mmr_lambda(self, request: Request) -> float:
        """Return λ of the stage `diversity` for a request, in [0, 1]; 0 leaves the model's order.

        It is the request's own, else the settings'. It is 0 where reordering would falsify propensities.
        """
        if self._model.capabilities.stochastic:
            return 0.0
        if request.diversity is not None:
            return request.diversity
        return self._settings.diversity if request.candidates is None else 0.0

    def with_model(self, model: Recommender[Any]) -> Pipeline:
        """Return the pipeline of the version after online learning, without the index of its old vectors."""
        other = copy(self)
        other._model = other._retriever = model
        return other

    def since(self, user_ids: Sequence[str]) -> Events | None:
        """Return what users did lately, by row of `user_ids` and item number; None if nothing that counts."""
        return None if self._since is None else self._since.events(user_ids)

    def hidden(self, user_id: str, item_ids: Iterable[str]) -> set[str]:
        """Return the items, known to the version or not, that the user's recent feedback rules out.

        Args:
            user_id: The user, by the id that is stored.
            item_ids: The items to choose from.
        """
        return set() if self._since is None else self._since.hidden(user_id, item_ids)

    @property
    def has_new(self) -> bool:
        """Whether there are items that no model knows yet."""
        return self._settings.new_items and len(self._known_new()) > 0

    def similar(self, item_id: str, k: int) -> list[tuple[str, float]] | None:
        """Return the items most similar to one that may be shown, by id, with their similarities.

        Args:
            item_id: The item, in the form of the tables' ids. The version need not know it, if callers sent
                it.
            k: The most items to return.

        Returns:
            Most similar first; empty where no similar item is known. None for an item that neither the
            version knows nor callers sent.
        """
        self.overlay.refresh()
        number = int(self._snapshot.item_ids.lookup([item_id])[0])
        alike: list[Alike] = similar(self._snapshot, number) if number >= 0 else []
        if not alike:
            listed = self.overlay.listed(item_id)
            if listed is None and number < 0:
                return None
            alike = alike if listed is None else by_content(self._snapshot, listed, but_not=number)
        available: Bool | None = self._filters.available
        shown = [each for each in alike if available is None or available[each.item]][:k]
        ids = self._snapshot.item_ids.decode([each.item for each in shown])
        return [(each, one.score) for each, one in zip(ids, shown, strict=True)]

    def close(self) -> None:
        """Close the files."""
        self.overlay.close()

    def _run(self, stages: Stages, ranked: RankedBatch) -> RankedBatch:
        for stage in stages:
            stage(self, ranked)
        return ranked

    def _with_new(
        self, cold: ColdStart, ranked: RankedList, request: Request, seed: int, past: Int32, out: set[str]
    ) -> RankedList:
        """Return the list with a new item, if one may be shown.

        A list with room takes it at the end; a full one gives up its last item. `past`: the items of the
        history. `out`: new items that may not be shown.
        """
        had = self.hidden(request.user_id, cold.ids)
        taken = cold.ids_of(ranked.items).union(request.exclude or (), out, had)
        near = np.concatenate([np.array(ranked.items, np.int32), past])
        drawn = cold.draw(seed, near, but_not=taken, among=request.candidates)
        if drawn is None:
            return ranked
        new = Item(drawn.item_id, min(ranked.scores, default=0.0), drawn.propensity)
        return ranked.without_last(request.k)._replace(new=new)

    def _similarity(self, items: Int32) -> Float32:
        """Return float32[m, m]: by the model's vectors, else by the catalogue's words, else 0."""
        if self._model.capabilities.embeds:
            return cosine(self._model.item_vectors[items])
        if self._snapshot.content is not None:
            return self._snapshot.content.likeness(items)
        return np.zeros((len(items), len(items)), np.float32)

    def _known_new(self) -> ColdStart:
        """Return the new items as they were shortly before: another thread prepares those that just came."""
        if self._cold_state != self.overlay.state and not self._cold_lock.locked():
            threading.Thread(target=self._prepare_new, name="new items", daemon=True).start()
        return self._cold

    def _new(self) -> list[NewItem]:
        """Return the new items that the problem allows."""
        return [
            item
            for item in self.overlay.new.values()
            if item.item_id not in self._blocked_items
            and item.listed.category not in self._blocked_categories
        ]

    def _prepare_new(self) -> None:
        with self._cold_lock:
            state = self.overlay.state
            self._cold = ColdStart(self._snapshot, self._new())
            self._cold_state = state


def _fill_no_gap(row: object, batch: Batch, number: int, k: int) -> RankedList:
    raise NotImplementedError("a warm-up ends with the model's list")


def _ranks(best_first: Int32, n_items: int) -> Float32:
    """Return float32[n_items] in [0, 1): the greater, the earlier in the list; 0 for what is not in it."""
    ranks = np.zeros(n_items, np.float32)
    ranks[best_first] = np.arange(len(best_first), 0, -1) / (len(best_first) + 1)
    return ranks
