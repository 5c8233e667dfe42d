"""The choices in a page's address, as plain GET fields: an address can be shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from tastemaker.errors import TastemakerError

PERIODS = (7, 28, 90)
"""Days that a figure may cover."""
FilterName = Literal["model", "version", "experiment", "variant", "problem", "period", "slice"]
_TEXTS = ("model", "version", "experiment", "variant", "problem", "slice")
_LONGEST = 200
_MOST_PAGES = 100_000


@dataclass(frozen=True)
class PageFilters:
    """What a page is restricted to; an empty text restricts nothing."""

    model: str = ""
    version: str = ""
    experiment: str = ""
    variant: str = ""
    problem: str = ""
    slice: str = ""
    period: int = 28
    """Days: one of PERIODS."""
    page: int = 1
    """Page of a long table, from 1."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Further fields, which only one page has."""
    path: Mapping[str, str] = field(default_factory=dict)
    """Parts of the address, such as an incident's number."""

    @classmethod
    def parse(cls, given: Mapping[str, str], path: Mapping[str, str] | None = None) -> PageFilters:
        """Read the fields of an address.

        Args:
            given: The address's query, name to text.
            path: Parts of the address.

        Returns:
            The filters; a field that is missing or empty has its default, and unknown fields are in `query`.

        Raises:
            TastemakerError: A value is not allowed; the message names the field, the value and the limit.
        """
        texts = {name: given.get(name, "").strip() for name in _TEXTS}
        for name, text in texts.items():
            if len(text) > _LONGEST:
                raise TastemakerError(
                    f"{name} has {len(text):,} characters, at most {_LONGEST} are allowed",
                    fix=f"choose a {name} of the list",
                )
        known = {*_TEXTS, "period", "page"}
        return cls(
            **texts,
            period=_whole(given, "period", 28, allowed=PERIODS),
            page=_whole(given, "page", 1, allowed=range(1, _MOST_PAGES + 1)),
            query={name: text for name, text in given.items() if name not in known},
            path=dict(path or {}),
        )

    def address(self, path: str, **changes: str | int) -> str:
        """Return a path with these filters as its query, some of them changed.

        Args:
            path: Path on this site, without a query.
            changes: Values that replace those of these filters or of `query`, by field; an empty text drops
                the field. The page of a long table is kept unless `page` is given.

        >>> PageFilters(model="als").address("/models", period=7)
        '/models?model=als&period=7'
        """
        own: dict[str, str | int] = {name: getattr(self, name) for name in _TEXTS}
        own |= {"period": self.period, "page": self.page, **self.query, **changes}
        usual: dict[str, str | int] = {"period": 28, "page": 1}
        kept = {name: value for name, value in own.items() if value not in ("", usual.get(name))}
        return f"{path}?{urlencode(kept)}" if kept else path

    def key(self) -> tuple[tuple[str, str], ...]:
        """Return everything that the content depends on, for a cache."""
        own = {name: str(getattr(self, name)) for name in (*_TEXTS, "period", "page")}
        return tuple(
            sorted(
                (
                    own
                    | {f"query.{k}": v for k, v in self.query.items()}
                    | {f"path.{k}": str(v) for k, v in self.path.items()}
                ).items()
            )
        )


def _whole(given: Mapping[str, str], name: str, usual: int, *, allowed: tuple[int, ...] | range) -> int:
    text = given.get(name, "").strip()
    if not text:
        return usual
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) in allowed:
        return int(text)
    limits = (
        f"{allowed[0]} to {allowed[-1]:,}" if isinstance(allowed, range) else ", ".join(map(str, allowed))
    )
    raise TastemakerError(f"{name} is {text[:50]!r}, must be one of: {limits}", fix=f"choose another {name}")
