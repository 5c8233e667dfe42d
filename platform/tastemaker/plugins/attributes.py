"""What the shop says of its items and users: ids, titles, categories, and columns of its own.

A model that goes by content reads them in `fit`, as `data.items` and `data.users`, and keeps what it made of
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
"""One text an entry; empty where none is known."""
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")
"""007 is none: its zeros would be lost."""
_BETWEEN = re.compile(r"\s*[,;\s]\s*")
_AROUND = "[]() \t\r\n"


class Categorical(NamedTuple):
    """A column whose values many entries share."""

    names: Texts
    """The values, each once, sorted."""
    codes: Int32
    """int32[n], read-only: each entry's place in `names`, -1 where its value is not known."""


class AttributeSource(Protocol):
    """Where attributes are kept until a model asks for them."""

    names: tuple[str, ...]

    def __len__(self) -> int: ...

    def ids(self) -> Texts:
        """n ids, as people see them."""

    def column(self, name: str) -> Texts | Float64:
        """n texts, empty where unknown, or float64[n], NaN where unknown; `name` is one of `names`.

        Numbers are a copy, so that nobody can change what the next model reads.
        """


class Attributes:
    """What is known of n items, or of n users, at the end of the training window.

    Items and users who came later are not among them. The lake keeps only the latest row of an item or a user
    that the shop's own tables tell of: their values are today's, and a title, a category or a price that
    changed after the window's end is seen as it is now. For a price at that moment, read the feature
    `item_price_paid`. Items that only callers told of (POST /items) have a history: they are as they were
    told before the window's end.

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
        """Made by hand, such as for a test: a column is n texts or n numbers.

        Raises PluginError for a column of another length.
        """
        return cls(_InMemory(ids, columns))

    def __len__(self) -> int:
        return len(self._source)

    @property
    def ids(self) -> Texts:
        """n ids in their canonical form, as in the lake and in requests."""
        if self._ids is None:
            self._ids = self._source.ids()
        return self._ids

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns.

        Of items: title, category, price, which are always there though perhaps without a value, and those
        that `source.item_columns` names. Of users: country and those that `source.user_columns` names.
        """
        return self._source.names

    def column(self, name: str) -> Texts | Float64:
        """A column as numbers, if every value in it is one in plain decimal notation; else as text.

        Use `numbers` or `text` where you know which it must be. Raises PluginError, which lists the columns,
        for an unknown name.
        """
        read = self._get(name)
        if isinstance(read, np.ndarray):
            return read
        known = [value for value in read if value]
        return self.numbers(name) if known and all(map(_NUMBER.fullmatch, known)) else read

    def text(self, name: str) -> Texts:
        """A column as n texts, empty where unknown. Raises PluginError for an unknown name."""
        read = self._get(name)
        if not isinstance(read, np.ndarray):
            return read
        return tuple("" if np.isnan(value) else f"{value:.15g}" for value in read.tolist())

    def numbers(self, name: str) -> Float64:
        """A column as float64[n], read-only; NaN where there is no value, or none that is a number.

        Raises PluginError for an unknown name.
        """
        read = self._get(name)
        if isinstance(read, np.ndarray):
            return read
        found = [float(value) if _NUMBER.fullmatch(value) else np.nan for value in read]
        return read_only(np.array(found, np.float64))

    def categorical(self, name: str) -> Categorical:
        """A column's distinct values, and each entry's place among them.

        Raises PluginError for an unknown name.
        """
        values = self.text(name)
        names = tuple(sorted(set(values) - {""}))
        places = {value: place for place, value in enumerate(names)}
        codes = np.array([places.get(value, -1) for value in values], np.int32)
        return Categorical(names, read_only(codes))

    def vectors(self, name: str) -> Float32:
        """A column of embeddings as float32[n, d], read-only; a row of NaN where there is none.

        Each value is a list of d numbers as text, such as `[0.5, -1e-3]` or `0.5 -1e-3`; a list in a Parquet
        file, a database or a table in memory becomes such a text. d is 0 if no value is there. Raises
        PluginError for an unknown name, and for a value that is no such list or of another length, with its
        id.
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
                fix="name one of these. A column of the shop's own is kept if source.item_columns (of users: "
                "source.user_columns) names it in tastemaker.toml; in a notebook: load(item_columns=[...])",
            )
        if name in self._texts:
            return self._texts[name]
        read = self._source.column(name)
        if isinstance(read, tuple):
            self._texts[name] = read
        return read


class ItemAttributes(Attributes):
    """Of the items: attributes with two short names."""

    @classmethod
    def of(cls, ids: Sequence[str], **columns: Sequence[str] | Sequence[float] | Float64) -> Self:
        """As `Attributes.of`; title, category and price, if left out, are not known of any item."""
        n = len(ids)
        unknown: dict[str, Any] = {"title": [""] * n, "category": [""] * n, "price": [np.nan] * n}
        return super().of(ids, **unknown | columns)

    @property
    def titles(self) -> Texts:
        """n titles: what people call each item. All empty where the shop gives none."""
        return self.text("title")

    @property
    def categories(self) -> Categorical:
        """The shop's own grouping. No names, and all codes -1, where the shop gives none."""
        return self.categorical("category")


class _InMemory:
    """Columns that are there already."""

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
                    fix="give one value an id: an empty text or NaN where it is not known",
                )

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> Texts:
        return self._ids

    def column(self, name: str) -> Texts | Float64:
        values = self._columns[name]
        return read_only(values.copy()) if isinstance(values, np.ndarray) else values


def _vector(text: str) -> list[float]:
    """The numbers of a list; none if it is no list of finite numbers."""
    try:
        numbers = [float(each) for each in _BETWEEN.split(text.strip(_AROUND))]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _frozen(values: Sequence[str] | Sequence[float] | Float64) -> Texts | Float64:
    if not isinstance(values, np.ndarray) and all(isinstance(value, str) for value in values):
        return tuple(str(value) for value in values)
    return read_only(np.array(values, np.float64))
