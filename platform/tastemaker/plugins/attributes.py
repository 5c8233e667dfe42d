"""Attributes of items and users: ids, titles, categories, and custom columns of the shop.

A content-based model reads them in `fit`, as `data.items` and `data.users`, and stores what it computed from
them. Entry i is the item (or user) with the number i, as in every other array.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import PluginError
from tastemaker.plugins.read_only import read_only

Texts = tuple[str, ...]
"""One text per entry; empty where unknown."""
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")
"""A number in plain decimal notation. 007 is not one: its zeros would be lost."""
_BETWEEN = re.compile(r"\s*[,;\s]\s*")
_AROUND = "[]() \t\r\n"


class Categorical(NamedTuple):
    """A categorical column: distinct values, and the code of each entry."""

    names: Texts
    """The distinct values, sorted."""
    codes: Int32
    """int32[n], read-only: each entry's index into `names`, -1 where its value is unknown."""


class AttributeSource(Protocol):
    """Storage of n attributes, from which columns are read when a model asks for them."""

    names: tuple[str, ...]
    """The names of the columns."""

    def __len__(self) -> int: ...

    def ids(self) -> Texts:
        """Return the n ids."""

    def column(self, name: str) -> Texts | Float64:
        """Return a column: n texts, empty where unknown, or float64[n], NaN where unknown.

        Numbers are a copy, so that no model can change what the next one reads.

        Args:
            name: One of `names`.
        """


class Attributes:
    """The attributes of n items, or of n users, at the end of the training window.

    Items and users that came later are not included. The lake keeps only the latest row of an item or user
    of the shop's own tables, so a title, a category or a price that changed after the end of the window has
    its present value; for the price at that time, read the feature `item_price_paid`. Items that were only
    sent by callers (POST /items) have a history: their values are those sent before the end of the window.

    >>> items = Attributes.of(["mug", "cup"], title=["Red mug", ""], price=[4.5, np.nan], grams=["300", ""])
    >>> items.columns, items.text("title"), items.numbers("grams").tolist()
    (('title', 'price', 'grams'), ('Red mug', ''), [300.0, nan])
    """

    def __init__(self, source: AttributeSource) -> None:
        self._source = source
        self._texts: dict[str, Texts] = {}
        self._ids: Texts | None = None

    @classmethod
    def of(cls, ids: Sequence[str], **columns: Sequence[str] | Sequence[float] | Float64) -> Self:
        """Create attributes from columns in memory, such as for a test.

        Args:
            ids: n ids.
            columns: Each n texts or n numbers.

        Returns:
            Attributes of n entries in the order of `ids`, with the columns in the order in which they are
            given.

        Raises:
            PluginError: A column has another length.
        """
        return cls(_InMemory(ids, columns))

    def __len__(self) -> int:
        return len(self._source)

    @property
    def ids(self) -> Texts:
        """The n ids in their canonical form, as in the lake and in requests."""
        if self._ids is None:
            self._ids = self._source.ids()
        return self._ids

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns.

        Items have title, category and price, perhaps without a value, and the columns that the setting
        `source.item_columns` names. Users have country and those that `source.user_columns` names.
        """
        return self._source.names

    def column(self, name: str) -> Texts | Float64:
        """Return a column as numbers if all its values are in plain decimal notation, else as text.

        Use `numbers` or `text` if the type is known.

        Args:
            name: One of `columns`.

        Returns:
            float64[n], NaN where unknown, or n texts, empty where unknown.

        Raises:
            PluginError: There is no such column; the message lists the columns.
        """
        read = self._get(name)
        if isinstance(read, np.ndarray):
            return read
        known = [value for value in read if value]
        return self.numbers(name) if known and all(map(_NUMBER.fullmatch, known)) else read

    def text(self, name: str) -> Texts:
        """Return a column as n texts, empty where unknown.

        Raises:
            PluginError: There is no such column; the message lists the columns.
        """
        read = self._get(name)
        if not isinstance(read, np.ndarray):
            return read
        return tuple("" if np.isnan(value) else f"{value:.15g}" for value in read.tolist())

    def numbers(self, name: str) -> Float64:
        """Return a column as float64[n], read-only; NaN where a value is missing or not a number.

        Raises:
            PluginError: There is no such column; the message lists the columns.
        """
        read = self._get(name)
        if isinstance(read, np.ndarray):
            return read
        found = [float(value) if _NUMBER.fullmatch(value) else np.nan for value in read]
        return read_only(np.array(found, np.float64))

    def categorical(self, name: str) -> Categorical:
        """Return the distinct values of a column, and the code of each entry.

        Raises:
            PluginError: There is no such column; the message lists the columns.

        >>> items = ItemAttributes.of(["a", "b", "c"], category=["tea", "", "cup"])
        >>> items.categorical("category").names, items.categorical("category").codes.tolist()
        (('cup', 'tea'), [1, -1, 0])
        """
        values = self.text(name)
        names = tuple(sorted(set(values) - {""}))
        places = {value: place for place, value in enumerate(names)}
        codes = np.array([places.get(value, -1) for value in values], np.int32)
        return Categorical(names, read_only(codes))

    def vectors(self, name: str) -> Float32:
        """Return a column of embeddings.

        Each value is a list of d numbers as text, such as `[0.5, -1e-3]` or `0.5 -1e-3`; a list in a Parquet
        file, a database or a table in memory becomes such a text.

        Returns:
            float32[n, d], read-only; a row of NaN for a missing vector, and d = 0 if all are missing.

        Raises:
            PluginError: There is no such column, or a value is not a list of numbers or has another length;
                the message names its id.

        >>> ItemAttributes.of(["a", "b"], vector=["[0.5, -1]", ""]).vectors("vector").tolist()
        [[0.5, -1.0], [nan, nan]]
        """
        found = {at: _vector(value) for at, value in enumerate(self.text(name)) if value}
        length = len(next(iter(found.values()), ()))
        values = np.full((len(self), length), np.nan, np.float32)
        for at, vector in found.items():
            if not vector or len(vector) != length:
                what = f"{len(vector)} numbers, the first has {length}" if vector else "no list of numbers"
                raise PluginError(
                    f"the vector {name!r} of {self.ids[at]} holds {what}",
                    fix="write all vectors alike, as finite numbers in brackets: [0.5, -0.25]",
                )
            values[at] = vector
        return read_only(values)

    def _get(self, name: str) -> Texts | Float64:
        if name not in self._source.names:
            raise PluginError(
                f"there is no column {name!r}; the columns are: {', '.join(self.columns) or 'none'}",
                fix="name one of these. A custom column is kept if source.item_columns (of users: "
                "source.user_columns) names it in tastemaker.toml; in a notebook: load(item_columns=[...])",
            )
        if name in self._texts:
            return self._texts[name]
        read = self._source.column(name)
        if isinstance(read, tuple):
            self._texts[name] = read
        return read


class ItemAttributes(Attributes):
    """The attributes of items, with shortcuts for titles and categories."""

    @classmethod
    def of(cls, ids: Sequence[str], **columns: Sequence[str] | Sequence[float] | Float64) -> Self:
        """Create attributes from columns in memory; title, category and price are unknown if left out.

        Args:
            ids: n ids.
            columns: Each n texts or n numbers.

        Raises:
            PluginError: A column has another length.
        """
        n = len(ids)
        unknown: dict[str, Any] = {"title": [""] * n, "category": [""] * n, "price": [np.nan] * n}
        return super().of(ids, **unknown | columns)

    @property
    def titles(self) -> Texts:
        """The n titles; all empty if the shop has none."""
        return self.text("title")

    @property
    def categories(self) -> Categorical:
        """The shop's categories; no names, and all codes -1, if the shop has none."""
        return self.categorical("category")


class _InMemory:
    """Columns in memory."""

    def __init__(
        self, ids: Sequence[str], columns: Mapping[str, Sequence[str] | Sequence[float] | Float64]
    ) -> None:
        self._ids = tuple(ids)
        self._columns = {name: _frozen(values) for name, values in columns.items()}
        self.names = tuple(columns)
        for name, values in self._columns.items():
            if len(values) != len(self._ids):
                raise PluginError(
                    f"column {name!r} has {len(values)} values for {len(self._ids)} ids",
                    fix="give one value per id: an empty text or NaN where it is unknown",
                )

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> Texts:
        return self._ids

    def column(self, name: str) -> Texts | Float64:
        values = self._columns[name]
        return read_only(values.copy()) if isinstance(values, np.ndarray) else values


def _vector(text: str) -> list[float]:
    """Parse a list of finite numbers; return an empty list for anything else."""
    try:
        numbers = [float(each) for each in _BETWEEN.split(text.strip(_AROUND))]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _frozen(values: Sequence[str] | Sequence[float] | Float64) -> Texts | Float64:
    if not isinstance(values, np.ndarray) and all(isinstance(value, str) for value in values):
        return tuple(str(value) for value in values)
    return read_only(np.array(values, np.float64))
