"""What a digest consists of. All texts are plain text: rendering escapes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class DigestText:
    """A sentence, or a cell of a table."""

    text: str
    is_grey: bool = False
    """Whether there is too little data for more."""


@dataclass(frozen=True)
class DigestTable:
    """A table; the first column has names."""

    heads: tuple[str, ...]
    rows: tuple[tuple[DigestText, ...], ...]


@dataclass(frozen=True)
class DigestSection:
    """A title, sentences and a table."""

    title: str
    lines: Sequence[DigestText]
    table: DigestTable | None = None


@dataclass(frozen=True)
class Digest:
    """A week in words."""

    problem: str
    week: str
    """By ISO 8601, such as 2026-W47."""
    title: str
    answer: str
    """The first sentence: what changed."""
    sections: tuple[DigestSection, ...]
    created_at: datetime
