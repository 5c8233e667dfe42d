"""The content of the catalogue as arrays: titles, categories, prices, and the similarity computed from them.

An item is a bag of words: those of its title, its category, and the order of magnitude of its price. Words
are hashed into a fixed number of columns (Weinberger et al., Feature hashing, ICML 2009) and weighed by
tf-idf, so that a new item can be compared with the others without a vocabulary.

    x_iw = (1 + ln tf_iw) · (ln((1 + n) / (1 + df_w)) + 1),   scaled to ‖x_i‖ = 1;   likeness = x_i · x_j
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.plugins.arrays import Float32, Int32, Int64
from tastemaker.plugins.recommender import load_array

COLUMNS = 1 << 14
"""Hashed words: with some thousand different words, few share a column."""
_WORD = re.compile(r"\w+")
_PARTS = ("data", "indices", "indptr")


class Listed(NamedTuple):
    """An item of the catalogue."""

    title: str | None = None
    category: str | None = None
    price: float | None = None


@dataclass(frozen=True, eq=False)
class Content:
    """The content of n items, by number."""

    texts: NDArray[np.uint8]
    """uint8[m]: every title, then its category, in UTF-8, one after the other."""
    offsets: Int64
    """int64[2 n + 1]: where each text begins; an empty one is unknown."""
    prices: Float32
    """float32[n]: NaN where unknown."""
    weights: Float32
    """float32[COLUMNS]: each word's inverse document frequency."""
    words: csr_array
    """float32 n x COLUMNS, rows of length 1, or of nothing where nothing is known."""

    @classmethod
    def build(cls, items: Sequence[Listed]) -> Content:
        """Compute the content of a catalogue; item i is `items[i]`."""
        texts = [(text or "").encode("utf-8", "surrogatepass") for one in items for text in one[:2]]
        bags = [_bag(one) for one in items]
        document_frequency = np.zeros(COLUMNS)
        for bag in bags:
            document_frequency[list(bag)] += 1
        weights = (np.log((1 + len(items)) / (1 + document_frequency)) + 1).astype(np.float32)
        return cls(
            texts=np.frombuffer(b"".join(texts), np.uint8),
            offsets=np.concatenate(([0], np.cumsum([len(text) for text in texts], dtype=np.int64))),
            prices=np.array([math.nan if one.price is None else one.price for one in items], np.float32),
            weights=weights,
            words=_rows(bags, weights),
        )

    def __len__(self) -> int:
        return len(self.prices)

    def title(self, item: int) -> str | None:
        """Return the title of an item; None if unknown."""
        return self._text(2 * item)

    def category(self, item: int) -> str | None:
        """Return the category of an item; None if unknown."""
        return self._text(2 * item + 1)

    def alike(self, item: Listed, n: int) -> tuple[Int32, Float32]:
        """Return the items that are most similar to an item, which need not be in the catalogue.

        Args:
            item: The item to compare with.
            n: At most how many.

        Returns:
            int32[m], m <= n: item numbers, most similar first, and float32[m]: their similarities, in (0, 1].
        """
        row = _rows([_bag(item)], self.weights)
        likeness = (self.words @ row.T).toarray()[:, 0].astype(np.float32)
        best = np.lexsort((np.arange(len(self)), -likeness))[:n]
        best = best[likeness[best] > 0]
        return best.astype(np.int32), likeness[best]

    def likeness(self, items: Int32) -> Float32:
        """Return float32[m, m]: the similarities of m items to each other."""
        rows = self.words[items]
        found: Float32 = (rows @ rows.T).toarray().astype(np.float32)
        return found

    def save(self, folder: Path) -> None:
        """Write .npy files, all named content.*."""
        for name, values in self._arrays().items():
            np.save(folder / f"content.{name}.npy", values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Content:
        """Memory-map what `save` wrote. Raises ArtifactError."""
        texts, offsets, prices, weights, *words = (
            load_array(folder / f"content.{name}.npy")
            for name in ("texts", "offsets", "prices", "weights", *(f"words.{part}" for part in _PARTS))
        )
        return cls(texts, offsets, prices, weights, csr_array(tuple(words), shape=(len(prices), COLUMNS)))

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        plain = {name: getattr(self, name) for name in ("texts", "offsets", "prices", "weights")}
        return plain | {f"words.{part}": getattr(self.words, part) for part in _PARTS}

    def _text(self, place: int) -> str | None:
        start, stop = self.offsets[place : place + 2]
        return self.texts[start:stop].tobytes().decode("utf-8", "surrogatepass") or None


def _bag(item: Listed) -> Counter[int]:
    """Return the columns of an item's words, and how often each occurs."""
    words = _WORD.findall((item.title or "").casefold())
    if item.category:
        words.append(f"category {item.category}")
    if item.price is not None and 0 < item.price < math.inf:
        words.append(f"price {round(2 * math.log2(item.price))}")
    return Counter(zlib.crc32(word.encode("utf-8", "surrogatepass")) % COLUMNS for word in words)


def _rows(bags: Iterable[Counter[int]], weights: Float32) -> csr_array:
    """Return float32 CSR[len(bags), COLUMNS], each row of length 1."""
    listed = [sorted(bag.items()) for bag in bags]
    lengths = [len(bag) for bag in listed]
    columns = np.array([column for bag in listed for column, _ in bag], np.int32)
    counts = np.array([count for bag in listed for _, count in bag], np.float32)
    values = (1 + np.log(counts)) * weights[columns]
    rows = np.repeat(np.arange(len(listed)), lengths)
    norms = np.sqrt(np.bincount(rows, values**2, minlength=len(listed)))
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    return csr_array(
        ((values / norms[rows]).astype(np.float32), columns, offsets), shape=(len(listed), COLUMNS)
    )
