"""From a batch to its lists, for one version: candidates, filters, the model, variety, a place for the new.

Candidates come before the model only where scoring the whole catalogue is slow, or where the model can't tell
what goes with a visitor's few items. Variety comes last, as it weighs what the model made of the items; a
list whose propensities it would falsify, a stochastic model's, is left as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastemaker.api.schemas import Request
from tastemaker.event_log.records import Item
from tastemaker.plugins import UNKNOWN_USER, Batch, Events, Ranking, Recommender, safe_calls
from tastemaker.plugins.arrays import Bool, Float32, Int32
from tastemaker.serving.ranking.ann_index import open_retriever
from tastemaker.serving.ranking.cold_start import MIN_K, ColdStart
from tastemaker.serving.ranking.filters import Filters
from tastemaker.serving.ranking.mmr import DEPTH, cosine, rerank
from tastemaker.serving.ranking.recent_feedback import RecentFeedback, SinceTraining
from tastemaker.serving.ranking.session import by_neighbours
from tastemaker.serving.ranking.similar_items import Alike, by_content, similar
from tastemaker.serving.writes.catalog_overrides import CatalogOverrides, NewItem
from tastemaker.settings import RetrievalSettings

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion


class Pipeline:
    """Thread-safe but for `recommend`, which runs the plugin's code."""

    def __init__(
        self,
        loaded: LoadedVersion,
        settings: RetrievalSettings | None = None,
        changes: Path | None = None,
        recent: RecentFeedback | None = None,
    ) -> None:
        """`changes`: the folder in which callers' changes of items and users are kept, if they are.

        `recent`: what users did since the training, if that is known.
        """
        self.folder = loaded.folder
        self._model, self._snapshot = loaded.model, loaded.snapshot
        self._answers = open_retriever(loaded)
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
        self._making = threading.Lock()

    def taught(self, model: Recommender[Any]) -> Pipeline:
        """The same for the version as it is after having learned. An index of its vectors no longer holds."""
        other = copy(self)
        other._model = other._answers = model
        return other

    def restrict(self, batch: Batch, user_ids: Sequence[str]) -> Batch:
        """The batch without what is sold out or blocked by now; row i asks for `user_ids[i]`."""
        return self._filters.restrict(batch, user_ids)

    def since(self, user_ids: Sequence[str]) -> Events | None:
        """What users did lately, by row of `user_ids` and item number; None if nothing that counts."""
        return None if self._since is None else self._since.events(user_ids)

    def hidden(self, user_id: str, item_ids: Iterable[str]) -> set[str]:
        """Those of the items, known to the version or not, that what the user did lately rules out."""
        return set() if self._since is None else self._since.hidden(user_id, item_ids)

    def strength(self, request: Request) -> float:
        """λ for this request: its own, else the settings'; 0 where variety would falsify propensities."""
        if self._model.capabilities.stochastic:
            return 0.0
        if request.diversity is not None:
            return request.diversity
        return self._settings.diversity if request.candidates is None else 0.0

    def recommend(self, batch: Batch, k: int, strength: float) -> Ranking:
        """The k best of each row, reordered for variety where `strength` is above 0."""
        if strength == 0:
            return self._ranked(batch, k)
        return rerank(self._ranked(batch, DEPTH * k), k, self._likeness, strength)

    @property
    def has_new(self) -> bool:
        """Whether there are items that no model knows yet."""
        return self._settings.new_items and len(self._known_new()) > 0

    def with_new(self, items: list[Item], request: Request, seed: int, near: Int32) -> list[Item]:
        """The list with its last place given to an item that no model knows yet, if one may be shown.

        A list with room takes it at the end; a full one gives up its last item, unless it is shorter than
        MIN_K. `near`: the numbers of what the list and the history hold.
        """
        if len(items) >= request.k and request.k < MIN_K:
            return items
        cold = self._known_new()
        blocked = self.overlay.blocked([request.user_id]).get(request.user_id, ())
        gone = () if self._cold_state == self.overlay.state else set(cold.ids) - self.overlay.new.keys()
        had = self.hidden(request.user_id, cold.ids)
        taken = {item.item_id for item in items}.union(request.exclude or (), blocked, gone, had)
        drawn = cold.draw(seed, near, but_not=taken, among=request.candidates)
        if drawn is None:
            return items
        score = min((item.score for item in items), default=0.0)
        return [*items[: request.k - 1], Item(drawn.item_id, score, drawn.propensity)]

    def similar(self, item_id: str, k: int) -> list[tuple[str, float]] | None:
        """The k items most like one that may be shown, by id; None if nobody knows the item."""
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
        """Let go of the files."""
        self.overlay.close()

    def _ranked(self, batch: Batch, k: int) -> Ranking:
        neighbours = self._snapshot.neighbours
        sessions = (batch.users == UNKNOWN_USER) & (batch.history.lengths > 0)
        if self._model.capabilities.personalizes or neighbours is None or not sessions.all():
            return self._asked(batch, k)
        return by_neighbours(neighbours, batch, k, self._popularity)

    def _asked(self, batch: Batch, k: int) -> Ranking:
        if self._answers is self._model:
            return safe_calls.recommend(self._model, batch, k)
        return self._answers.recommend(batch, k)

    def _likeness(self, items: Int32) -> Float32:
        """By the model's vectors, else by the catalogue's words, else nothing is like anything."""
        if self._model.capabilities.embeds:
            return cosine(self._model.item_vectors[items])
        if self._snapshot.content is not None:
            return self._snapshot.content.likeness(items)
        return np.zeros((len(items), len(items)), np.float32)

    def _known_new(self) -> ColdStart:
        """The new items, as of a moment ago: another thread looks at those that just came."""
        if self._cold_state != self.overlay.state and not self._making.locked():
            threading.Thread(target=self._look_at_new, name="new items", daemon=True).start()
        return self._cold

    def _new(self) -> list[NewItem]:
        """The new items that the problem lets be shown."""
        return [
            item
            for item in self.overlay.new.values()
            if item.item_id not in self._blocked_items
            and item.listed.category not in self._blocked_categories
        ]

    def _look_at_new(self) -> None:
        with self._making:
            state = self.overlay.state
            self._cold = ColdStart(self._snapshot, self._new())
            self._cold_state = state


def _ranks(best_first: Int32, n_items: int) -> Float32:
    """float32[n_items] in [0, 1): the greater, the earlier in the list; 0 for what is not in it."""
    ranks = np.zeros(n_items, np.float32)
    ranks[best_first] = np.arange(len(best_first), 0, -1) / (len(best_first) + 1)
    return ranks
