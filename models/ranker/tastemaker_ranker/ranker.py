"""The ranker: retrievers propose candidates, boosted trees order them."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from tastemaker.plugins import (
    Batch,
    Capabilities,
    Config,
    FeatureTable,
    Ranking,
    Recommender,
    Search,
    TrainingData,
    empty_ranking,
    select,
)
from tastemaker.plugins.arrays import Bool, Float32, Int32
from tastemaker.plugins.preferences import disliked_only, item_popularity
from tastemaker_ranker import retrievers as first_stage
from tastemaker_ranker import trees
from tastemaker_ranker.candidates import Candidates, retrieve
from tastemaker_ranker.features import columns, item_statistics, pair_features
from tastemaker_ranker.training_set import TrainingSet, build_training_sets, label_periods

log = logging.getLogger(__name__)

USER_FEATURES = (
    "user_tenure_days",
    "user_events_30d_count",
    "user_active_days_count",
    "user_tempo_days",
    "user_categories_count",
    "user_items_per_basket",
    "user_repeat_visit_share",
    "user_spend_per_purchase",
    "user_country_share",
)
"""Features that change slowly. Recency and counts come from the history, which is fresher than a store."""

ITEM_FEATURES = (
    "item_recency_days",
    "item_age_days",
    "item_events_7d_count",
    "item_events_30d_count",
    "item_events_90d_count",
    "item_trend_7d_log_ratio",
    "item_trend_30d_log_ratio",
    "item_repeat_user_share",
    "item_companions_per_basket",
    "item_price_paid",
)


class RankerConfig(Config):
    """Hyperparameters of the ranker."""

    retrievers: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "item_knn",
        "ials",
        "bought_again",
        "trending",
    )
    """The plugins that propose candidates; while there is no label to learn from, the first one ranks."""
    depth: Annotated[int, Field(ge=1, le=10_000), Search(10, 100, log=True)] = 30
    """Candidates that each retriever proposes for each user."""
    label_days: Annotated[int, Field(ge=1, le=365)] = 30
    """Length of a label period: best the horizon of the problem's metric."""
    label_periods: Annotated[int, Field(ge=1, le=12), Search(1, 4)] = 2
    """The number of consecutive label periods at the end of the training window."""
    users: Annotated[int, Field(ge=1)] = 4_000
    """At most this many users are learned from in a label period."""
    trees: Annotated[int, Field(ge=1, le=10_000), Search(20, 400, log=True)] = 80
    """The number of trees."""
    learning_rate: Annotated[float, Field(gt=0, le=1), Search(0.02, 0.3, log=True)] = 0.1
    """The weight of each tree."""
    leaves: Annotated[int, Field(ge=2, le=1024), Search(4, 63, log=True)] = 15
    """Leaves of a tree."""
    min_leaf_rows: Annotated[int, Field(ge=1), Search(5, 500, log=True)] = 50
    """The minimal number of candidates in a leaf."""
    regularization: Annotated[float, Field(ge=0), Search(0.01, 100, log=True)] = 1.0
    """L2 penalty on the leaves' values."""
    excluded_columns: tuple[str, ...] = ()
    """Names of columns that the trees do not read, such as item_price_paid."""

    @field_validator("retrievers")
    @classmethod
    def _are_others(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "ranker" in names:
            raise ValueError("ranker can't be a retriever of itself")
        if len(set(names)) < len(names):
            raise ValueError(f"a retriever is named twice: {', '.join(names)}")
        return names

    @model_validator(mode="after")
    def _excludes_known_columns(self) -> Self:
        every = columns(self.retrievers, USER_FEATURES, ITEM_FEATURES)
        if unknown := sorted(set(self.excluded_columns) - set(every)):
            raise ValueError(
                f"excluded_columns: {', '.join(unknown)} is not a column; the columns are {', '.join(every)}"
            )
        if len(set(self.excluded_columns)) == len(every):
            raise ValueError("excluded_columns: every column is excluded; the trees need at least one")
        return self


class Ranker(Recommender[RankerConfig]):
    """LambdaMART over the candidates of several retrievers.

    Candidates: C(u) = ∪ᵣ topᵣ(u, depth). Each (u, i) ∈ C(u) becomes a row of features x(u, i, t): the scores
    of every retriever r, what u did with i before t, and the user's and the item's features as of t.
    Boosted trees f minimize, over users u and pairs with reward(u, i) > reward(u, j) in the days after t,

        Σ |ΔNDCG(i, j)| · log(1 + exp(f(x_j) − f(x_i)))

    where t is a cutoff inside the training window: the retrievers of the training set saw only events before
    t. They are then fitted again on the whole window, and the list is C(u) by descending f.

    Negative reward: an item that u disliked in those days must rank below items without events, by the size
    of the reward; each retriever handles it as documented. Items that some users dislike and none likes are
    not candidates, and rank last.
    """

    name: ClassVar[str] = "ranker"
    reference: ClassVar[str] = (
        "C. Burges, From RankNet to LambdaRank to LambdaMART: An Overview, MSR-TR-2010-82; "
        "G. Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017"
    )
    config_type: ClassVar[type[Config]] = RankerConfig
    capabilities: ClassVar[Capabilities] = Capabilities(
        personalizes=True, user_features=USER_FEATURES, item_features=ITEM_FEATURES
    )
    state: ClassVar[tuple[str, ...]] = ("item_statistics", "popularity", "last")

    item_statistics: Float32
    popularity: Float32
    """float32[n_items]: `item_popularity` of the events, by which short lists are filled."""
    last: Bool
    """bool[n_items]: the items that some users dislike and none likes."""
    retrievers: first_stage.Retrievers
    ensemble: trees.Ensemble | None

    def fit(self, data: TrainingData) -> Self:
        """Fit the trees on label periods inside the window, then the retrievers on the whole window."""
        parts = [
            part
            for start, end in label_periods(data, self.config.label_days, self.config.label_periods)
            for part in self._training_sets(data, start, end)
        ]
        labelled = TrainingSet(*map(np.concatenate, zip(*parts, strict=True))) if parts else None
        self._prepare(data)
        self.ensemble = None
        if labelled is None or len(labelled.groups) == 0:
            log.warning(
                "ranker: no label in the training window, so that only %s ranks", self.config.retrievers[0]
            )
            return self
        seed = int(data.rng.integers(2**31))
        text = trees.train(labelled, self._columns, self._parameters(data.k, seed), self.config.trees)
        self.ensemble = trees.Ensemble.of(text, len(self._columns))
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        """Return the k best candidates by the trees; rows with fewer are filled by popularity."""
        candidates, features = self._describe(batch)
        scores = _first_decides(candidates) if self.ensemble is None else self.ensemble.score(features)
        ranking = _ranked(candidates, scores, len(batch), k)
        self._fill(ranking, batch)
        return ranking

    def contributions(self, batch: Batch, items: Int32) -> FeatureTable | None:
        """Return what each column adds to the sum (Lundberg et al., arXiv:1802.03888); None without trees."""
        if self.ensemble is None:
            return None
        candidates, features = self._describe(batch)
        values = np.full((len(items), len(self._columns)), np.nan, np.float32)
        places = np.searchsorted(candidates.items, items)  # of one row, so they ascend
        known = np.isin(items, candidates.items)
        values[known] = self.ensemble.contributions(features[places[known]])
        return FeatureTable(self._columns, values)

    def save(self, folder: Path) -> None:
        """Write the trees in both forms, the item statistics, and each retriever in its own folder."""
        super().save(folder)
        trees.save(self.ensemble, folder)
        first_stage.save(self.retrievers, folder / "retrievers")

    @classmethod
    def load(cls, folder: Path, config: RankerConfig) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: A file is missing or malformed; the message names it.
        """
        model = super().load(folder, config)
        model.retrievers = first_stage.load(config.retrievers, folder / "retrievers")
        model.ensemble = trees.load(folder, len(model._columns))
        return model

    @classmethod
    def ablations(cls, config: RankerConfig) -> dict[str, RankerConfig]:
        """Return the configs without each retriever and each column, by name.

        A retriever is left out with its candidates and its two columns.
        """
        found = {}
        if len(config.retrievers) > 1:
            for name in config.retrievers:
                others = tuple(one for one in config.retrievers if one != name)
                kept = set(columns(others, USER_FEATURES, ITEM_FEATURES))
                excluded = tuple(one for one in config.excluded_columns if one in kept)
                found[name] = _changed(config, retrievers=others, excluded_columns=excluded)
        in_use = columns((), USER_FEATURES, ITEM_FEATURES, config.excluded_columns)
        for name in in_use:
            found[name] = _changed(config, excluded_columns=(*config.excluded_columns, name))
        return found

    @property
    def _columns(self) -> tuple[str, ...]:
        return columns(
            self.config.retrievers,
            self.capabilities.user_features,
            self.capabilities.item_features,
            self.config.excluded_columns,
        )

    def _prepare(self, data: TrainingData) -> None:
        self.retrievers = first_stage.fitted(self.config.retrievers, data)
        self.item_statistics = item_statistics(data)
        self.popularity = item_popularity(data.events.items, data.events.rewards, data.n_items)
        self.last = disliked_only(data.history.items, data.history.rewards, data.n_items)

    def _training_sets(self, data: TrainingData, start: int, end: int) -> list[TrainingSet]:
        """Return the labelled candidates of the period [start, end), made from what came before it."""
        past = data.before(start)
        period = slice(past.events.count, int(np.searchsorted(data.events.times, end)))
        labels = data.events[period]
        if past.events.count == 0 or labels.count == 0:
            return []
        self._prepare(past)
        return list(build_training_sets(past, labels, self.config.users, self._describe))

    def _describe(self, batch: Batch) -> tuple[Candidates, Float32]:
        candidates = retrieve(self.retrievers, batch, self.config.depth).without_items(self.last)
        declared = self.capabilities.user_features, self.capabilities.item_features
        features = pair_features(candidates, batch, self.item_statistics, *declared)
        if self.config.excluded_columns:
            features = features[:, _kept(self.config.retrievers, self.config.excluded_columns)]
        return candidates, features

    def _parameters(self, k: int, seed: int) -> dict[str, Any]:
        return {
            "learning_rate": self.config.learning_rate,
            "num_leaves": self.config.leaves,
            "min_data_in_leaf": self.config.min_leaf_rows,
            "lambda_l2": self.config.regularization,
            "lambdarank_truncation_level": 2 * k,
            "seed": seed,
        }

    def _fill(self, ranking: Ranking, batch: Batch) -> None:
        """Pad short rows, in place, with the most popular allowed items that they lack, below the rest."""
        k = ranking.items.shape[1]
        lengths = (ranking.items >= 0).sum(axis=1)
        short = np.flatnonzero(lengths < min(k, batch.history.n_items))
        if len(short) == 0:
            return
        popularity = np.tile(self.popularity, (len(short), 1))
        rows, at = np.nonzero(ranking.items[short] >= 0)
        popularity[rows, ranking.items[short][rows, at]] = -np.inf
        extra = select(popularity, batch[short], k)
        rows, at = np.nonzero(extra.items >= 0)
        place = lengths[short][rows] + at
        rows, at, place = (part[place < k] for part in (rows, at, place))
        lowest = np.where(lengths > 0, ranking.scores[np.arange(len(batch)), np.maximum(lengths, 1) - 1], 0)
        ranking.items[short[rows], place] = extra.items[rows, at]
        ranking.scores[short[rows], place] = lowest[short][rows] - 1 - at
        ranking.propensities[short[rows], place] = 1


def _changed(config: RankerConfig, **changes: Any) -> RankerConfig:
    return RankerConfig(**config.model_dump() | changes)


@lru_cache
def _kept(retrievers: tuple[str, ...], excluded: tuple[str, ...]) -> Bool:
    """Return bool[f]: which columns are not excluded. Cached, since each request needs it."""
    return ~np.isin(columns(retrievers, USER_FEATURES, ITEM_FEATURES), excluded)


def _first_decides(candidates: Candidates) -> Float32:
    """Return float32[m]: the first retriever's scaled score; the others only break its ties."""
    weights = 100.0 ** -np.arange(candidates.scores.shape[1])
    return (np.nan_to_num(candidates.scores) @ weights).astype(np.float32)


def _ranked(candidates: Candidates, scores: Float32, n: int, k: int) -> Ranking:
    """Return the best k candidates of each row, by score, then by item number."""
    order = np.lexsort((candidates.items, -scores, candidates.rows))
    rows = candidates.rows[order]
    position = np.arange(len(rows)) - np.searchsorted(rows, np.arange(n))[rows]
    kept = position < k
    ranking, at = empty_ranking(n, k), (rows[kept], position[kept])
    ranking.items[at], ranking.scores[at], ranking.propensities[at] = (
        candidates.items[order][kept],
        scores[order][kept],
        1,
    )
    return ranking
