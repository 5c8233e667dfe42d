"""Models that each break one check, and sound ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from tastemaker.plugins import (
    NO_ITEM,
    Batch,
    Capabilities,
    Config,
    FeatureTable,
    Ranking,
    Recommender,
    Search,
    TrainingData,
    select,
)
from tastemaker.plugins.arrays import Float32, Int32


class NoConfig(Config):
    """No hyperparameters."""


class Sound(Recommender[Any]):
    """Popularity among users of the same taste: s_u = Xᵀ X x_u + popularity / 10⁶."""

    name = "sound"
    reference = "none"
    config_type: ClassVar[type[Config]] = NoConfig
    capabilities = Capabilities(personalizes=True)
    state: ClassVar[tuple[str, ...]] = ("gram", "popularity")

    def fit(self, data: TrainingData) -> Self:
        matrix = data.history.matrix(data.history.rewards > 0).astype(np.float32)
        self.gram = (matrix.T @ matrix).toarray()
        self.popularity = self.gram.diagonal() / np.float32(1e6)
        return self

    def scores(self, batch: Batch) -> Float32:
        past: Float32 = batch.history.matrix(np.ones(len(batch.history.items), np.float32)).toarray()
        found: Float32 = past @ self.gram + self.popularity
        return found

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(self.scores(batch), batch, k)


class WritesToItsTrainingData(Sound):
    def fit(self, data: TrainingData) -> Self:
        data.events.rewards[:] = 0
        return super().fit(data)


class DrawsFromElsewhere(Sound):
    def fit(self, data: TrainingData) -> Self:
        super().fit(data)
        self.gram = self.gram * np.random.default_rng().random(self.gram.shape).astype(np.float32)
        return self


class RemembersTheLastFit(Sound):
    def fit(self, data: TrainingData) -> Self:
        before = getattr(self, "gram", None)
        super().fit(data)
        if before is not None:
            self.gram = self.gram + before
        return self


class NeedsTwoItems(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        scores = self.scores(batch)
        scores[:, 1] += 0
        return select(scores, batch, k)


class NeedsCategories(Sound):
    def fit(self, data: TrainingData) -> Self:
        if not data.items.categories.names:
            raise ValueError("no item has a category")
        return super().fit(data)


class WritesToItsBatch(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        batch.history.rewards[:] = 0
        return super().recommend(batch, k)


class CountsItsCalls(Sound):
    calls = 0

    def recommend(self, batch: Batch, k: int) -> Ranking:
        self.calls += 1
        scores = self.scores(batch)
        scores[:, self.calls % scores.shape[1]] += 100
        return select(scores, batch, k)


class ScalesByTheBatch(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        scores = self.scores(batch)
        return select(scores - scores.mean(), batch, k)


class LooksAtTheFirstRow(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        return super().recommend(batch, k + int(batch.users[0] - batch.users[0]))


class OnlyForThoseItKnows(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        ranking = super().recommend(batch, k)
        ranking.items[batch.users < 0] = NO_ITEM
        return ranking


class OnlyForThoseWithAPast(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        ranking = super().recommend(batch, k)
        ranking.items[(batch.users >= 0) & (batch.history.lengths == 0)] = NO_ITEM
        return ranking


class OnlyItemsWithAnEvent(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        scores = self.scores(batch)
        scores[:, self.popularity == 0] = -np.inf
        return select(scores, batch, k)


class IgnoresExclusions(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        return super().recommend(replace(batch, excluded=None), k)


class IgnoresCandidates(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        return super().recommend(replace(batch, candidates=None), k)


class IgnoresAvailability(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        return super().recommend(replace(batch, available=None), k)


class NarrowsTheList(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        return super().recommend(batch, min(k, batch.history.n_items))


class RepeatsTheBest(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        ranking = super().recommend(batch, k)
        ranking.items[:, 1:2] = ranking.items[:, :1]
        return ranking


class WorstFirst(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        ranking = super().recommend(batch, k)
        return ranking._replace(scores=-np.where(np.isfinite(ranking.scores), ranking.scores, np.inf))


class ScoresAreNaN(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        ranking = super().recommend(batch, k)
        return ranking._replace(scores=np.full_like(ranking.scores, np.nan))


class HalfSure(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        ranking = super().recommend(batch, k)
        return ranking._replace(propensities=ranking.propensities * np.float32(0.5))


class Overconfident(Sound):
    """Uniformly random, yet it says that its list is certain."""

    capabilities = Capabilities(stochastic=True)

    def recommend(self, batch: Batch, k: int) -> Ranking:
        scores = np.stack([np.random.default_rng(seed).random(batch.history.n_items) for seed in batch.seeds])
        return select(scores.astype(np.float32), batch, k)


class SecretlyRandom(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(self.scores(batch) + (batch.seeds % 7)[:, None].astype(np.float32), batch, k)


class ForgetsWhenSaved(Sound):
    state = ("popularity",)

    def __init__(self, config: NoConfig | None = None) -> None:
        super().__init__(config)
        self.gram = np.zeros((30, 30), np.float32)


class DecidesOtherwise(Sound):
    def top_k(self, batch: Batch, k: int) -> Ranking:
        return select(-self.scores(batch), batch, k)


class SavesNothing(Sound):
    def save(self, folder: Path) -> None:
        pass

    @classmethod
    def load(cls, folder: Path, config: NoConfig) -> Self:
        return cls(config)


class SavesCode(Sound):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "model.pkl").write_bytes(b"")


class TrustsItsFiles(Sound):
    @classmethod
    def load(cls, folder: Path, config: NoConfig) -> Self:
        model = cls(config)
        model.gram = np.load(folder / "gram.npy")
        model.popularity = np.load(folder / "popularity.npy")
        return model


class LikesWhatOthersLike(Sound):
    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.popularity, (len(batch), 1)), batch, k)


class Embeds(Sound):
    """s_u = [x_u, 1] · [XᵀX, p]."""

    capabilities = Capabilities(personalizes=True, embeds=True)
    state = ("gram", "popularity", "item_vectors")

    def fit(self, data: TrainingData) -> Self:
        super().fit(data)
        self.item_vectors = np.hstack([self.gram, self.popularity[:, None]])
        return self

    def embed(self, batch: Batch) -> Float32:
        past: Float32 = batch.history.matrix(np.ones(len(batch.history.items), np.float32)).toarray()
        return np.hstack([past, np.ones((len(batch), 1), np.float32)])


class EmbedsAnotherModel(Embeds):
    def embed(self, batch: Batch) -> Float32:
        return super().embed(batch) * 2


class EmbedsNoRow(Embeds):
    def embed(self, batch: Batch) -> Float32:
        return super().embed(batch) * np.float32(np.nan)


class Explains(Sound):
    """Its parts: what each item of the past adds, and the popularity."""

    def contributions(self, batch: Batch, items: Int32) -> FeatureTable | None:
        (past,) = batch.history.matrix(np.ones(len(batch.history.items), np.float32)).toarray()
        values = np.column_stack([(past[:, None] * self.gram)[:, items].T, self.popularity[items]])
        return FeatureTable((*(f"had {item}" for item in range(len(past))), "popularity"), values)


class ExplainsAnotherModel(Explains):
    def contributions(self, batch: Batch, items: Int32) -> FeatureTable | None:
        table = super().contributions(batch, items)
        assert table is not None
        return FeatureTable(table.names, table.values * 2)


class ExplainsNothing(Explains):
    def contributions(self, batch: Batch, items: Int32) -> FeatureTable | None:
        return FeatureTable(("what",), np.full((len(items), 1), np.nan, np.float32))


class ExemptForNothing(Sound):
    capabilities = Capabilities(exempt={"recommend_is_pure": " "})


class ExemptFromNothing(Sound):
    capabilities = Capabilities(exempt={"gravity": "it floats"})


class CountsDislikesAsLikes(Sound):
    def fit(self, data: TrainingData) -> Self:
        events = replace(data.events, rewards=np.abs(data.events.rewards))
        return super().fit(replace(data, events=events))


class DefaultIsOutside(Config):
    epochs: Annotated[int, Search(20, 50)] = 10


class EndIsRefused(Config):
    epochs: Annotated[int, Field(le=40), Search(5, 50)] = 10


class LogarithmOfNothing(Config):
    shrinkage: Annotated[float, Search(0, 50, log=True)] = 10.0


class SearchesElsewhere(Sound):
    config_type = DefaultIsOutside


class SearchesWhatIsRefused(Sound):
    config_type = EndIsRefused


class SearchesFromZero(Sound):
    config_type = LogarithmOfNothing


BROKEN: list[tuple[str, type[Recommender[Any]]]] = [
    ("exemptions_are_real", ExemptForNothing),
    ("exemptions_are_real", ExemptFromNothing),
    ("fit_leaves_its_input_alone", WritesToItsTrainingData),
    ("seeded_fit_repeats", DrawsFromElsewhere),
    ("fit_twice_is_fit_once", RemembersTheLastFit),
    ("one_event_is_enough", NeedsTwoItems),
    ("ids_are_enough", NeedsCategories),
    ("recommend_leaves_its_input_alone", WritesToItsBatch),
    ("recommend_is_pure", CountsItsCalls),
    ("batch_is_one_by_one", ScalesByTheBatch),
    ("empty_batches_are_answered", LooksAtTheFirstRow),
    ("unknown_users_are_answered", OnlyForThoseItKnows),
    ("empty_histories_are_answered", OnlyForThoseWithAPast),
    ("unknown_items_are_answered", OnlyItemsWithAnEvent),
    ("excluded_items_are_never_returned", IgnoresExclusions),
    ("candidates_are_respected", IgnoresCandidates),
    ("unavailable_items_are_never_returned", IgnoresAvailability),
    ("k_may_exceed_the_catalogue", NarrowsTheList),
    ("items_are_distinct", RepeatsTheBest),
    ("scores_descend_and_are_finite", WorstFirst),
    ("scores_descend_and_are_finite", ScoresAreNaN),
    ("propensities_are_probabilities", HalfSure),
    ("propensities_are_frequencies", Overconfident),
    ("propensities_are_frequencies", SecretlyRandom),
    ("top_k_returns_recommendations", DecidesOtherwise),
    ("loaded_model_answers_the_same", ForgetsWhenSaved),
    ("artifact_is_data", SavesNothing),
    ("artifact_is_data", SavesCode),
    ("malformed_artifacts_are_refused", TrustsItsFiles),
    ("checkerboard_is_recovered", LikesWhatOthersLike),
    ("disliked_by_all_is_below_liked_by_all", CountsDislikesAsLikes),
    ("scores_are_dot_products", EmbedsAnotherModel),
    ("scores_are_dot_products", EmbedsNoRow),
    ("contributions_add_up", ExplainsAnotherModel),
    ("contributions_add_up", ExplainsNothing),
    ("search_space_holds_the_defaults", SearchesElsewhere),
    ("search_space_holds_the_defaults", SearchesWhatIsRefused),
    ("search_space_holds_the_defaults", SearchesFromZero),
]
