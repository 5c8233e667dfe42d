"""Content-based recommendation: tf-idf of titles and categories, and a profile of each user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array

from tastemaker.plugins import (
    Batch,
    Capabilities,
    Config,
    FeatureTable,
    History,
    ItemAttributes,
    Ranking,
    Recommender,
    Search,
    TrainingData,
    select_rows,
)
from tastemaker.plugins.arrays import Float32, Int32
from tastemaker.plugins.preferences import disliked_only, preferences, rank_last

_WORD = re.compile(r"\w+")
_NOTHING = 1e-6
"""A shorter profile p_u is the rounding error of likes and dislikes that cancel."""


class ContentBasedConfig(Config):
    """Hyperparameters of `content`."""

    texts: tuple[str, ...] = ("title",)
    """Columns whose words count, such as title and a custom column with the description."""
    labels: tuple[str, ...] = ("category",)
    """Columns whose values count as one word each, such as category and a custom column with the brand."""
    popularity: Annotated[float, Field(ge=0, le=10), Search(0.01, 2, log=True)] = 0.3
    """γ: what popularity adds for the most popular item, to a cosine of at most 1; 0 ignores it."""


class ContentBased(Recommender[ContentBasedConfig]):
    """A profile of each user in the space of the items' words (Rocchio's, from relevance feedback).

        x_iw = (1 + ln tf_iw) (ln((1 + n) / (1 + df_w)) + 1),   scaled to ‖x_i‖ = 1
        p_u  = Σ_j r_uj x_j / Σ_j |r_uj|
        s_ui = p_u · x_i / ‖p_u‖ + γ b_i,   b_i = sgn(c_i) ln(1 + |c_i|) / ln(1 + max_j |c_j|)

    tf_iw is how often word w is in the texts and labels of item i, df_w the number of the n items that have
    it, r_uj the summed reward of user u's events with item j, c_i the number of users who like the item (r_ui
    > 0) less those who dislike it, where a dislike counts -r_ui, at most 1. An item without events has b_i =
    0 and is recommended for its words alone. Without a profile (no history, or only items without words) s_ui
    = γ b_i, or b_i if γ is 0.

    Negative reward: moves the user's profile away from the item's words, and counts against the item's
    popularity, both by its size. Items that some users dislike and none likes rank last.
    """

    name = "content"
    reference = (
        "Lops, de Gemmis, Semeraro, Content-based recommender systems: state of the art and trends, "
        "Recommender Systems Handbook, 2011; Rocchio, Relevance feedback in information retrieval, 1971"
    )
    config_type = ContentBasedConfig
    capabilities = Capabilities(personalizes=True)
    state = ("vectors", "words", "prior", "last")

    def fit(self, data: TrainingData) -> Self:
        self.vectors = tf_idf(bags(data.items, self.config.texts, self.config.labels))
        """X, float32[n_items, words], CSR: rows of length 1, or 0 for an item without words."""
        self.words = csr_array(self.vectors.T)
        """Xᵀ, CSR: for a row of words, the items that have them."""
        self.prior = net_users(data.history)
        """b, float32[n_items], in [-1, 1]."""
        self.last = disliked_only(data.history.items, data.history.rewards, data.n_items)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        profiles, prior = self._profiles(batch.history)

        def score(rows: slice) -> Float32:
            scores: Float32 = (profiles[rows] @ self.words).toarray()
            scores += prior[rows, None] * self.prior
            rank_last(scores, self.last, self.prior)
            return scores

        return select_rows(score, batch, k)

    def contributions(self, batch: Batch, items: Int32) -> FeatureTable:
        """Return the cosine and the popularity term; NaN for items that some dislike and none likes."""
        profiles, prior = self._profiles(batch.history)
        cosines = (self.vectors[items] @ profiles.T).toarray()[:, 0]
        values = np.stack([cosines, prior[0] * self.prior[items]], axis=1)
        values[self.last[items]] = np.nan
        return FeatureTable(("content", "popularity"), values.astype(np.float32))

    def _profiles(self, history: History) -> tuple[csr_array, Float32]:
        """Return p_u / ‖p_u‖, float32 CSR[n, words], 0 where ‖p_u‖ is 0; and the factor of b, float32[n]."""
        profiles = csr_array(history.matrix() @ self.vectors)
        norms = np.sqrt(profiles.multiply(profiles).sum(axis=1))
        known = norms > _NOTHING * np.bincount(history.rows, np.abs(history.rewards), len(history))
        scales = known / np.where(known, norms, 1)
        profiles.data = (profiles.data * np.repeat(scales, np.diff(profiles.indptr))).astype(np.float32)
        share = self.config.popularity
        return profiles, np.where(known, share, share or 1).astype(np.float32)


def bags(items: ItemAttributes, texts: Sequence[str], labels: Sequence[str]) -> list[list[str]]:
    """Return the words of each item: those of its texts, in lower case, and its labels as one word each.

    Args:
        items: The attributes of n items.
        texts: Names of columns whose words count.
        labels: Names of columns whose values count as one word each.
    """
    found: list[list[str]] = [[] for _ in range(len(items))]
    for name in texts:
        for bag, text in zip(found, items.text(name), strict=True):
            bag += _WORD.findall(text.casefold())
    for name in labels:
        for bag, label in zip(found, items.text(name), strict=True):
            bag += [f"{name} = {label}"] * bool(label)  # with its blanks it differs from any word of a text
    return found


def tf_idf(words: list[list[str]]) -> csr_array:
    """Return X, float32 CSR[items, words], as in the class; one empty column if there are no words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(words):
        return csr_array(np.zeros((len(words), 1), np.float32))
    vectorizer = TfidfVectorizer(analyzer=_identity, sublinear_tf=True, dtype=np.float32)
    matrix: csr_array = csr_array(vectorizer.fit_transform(words))
    return matrix


def net_users(history: History) -> Float32:
    """Return b, float32[n_items], as in the class."""
    users = np.bincount(history.items, preferences(history.rewards), minlength=history.n_items)
    scale = np.log1p(np.abs(users).max(initial=0))
    return (np.sign(users) * np.log1p(np.abs(users)) / (scale or 1)).astype(np.float32)


def _identity(words: list[str]) -> list[str]:
    return words
