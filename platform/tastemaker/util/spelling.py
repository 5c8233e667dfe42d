"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that is most like `word`, or None if none is as near as `cutoff` (0 to 1)."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the fix for a mistyped word: `did you mean popularity?`, or `otherwise` if none is near."""
    guess = closest(word, known)
    return otherwise if guess is None else f"did you mean {guess}?"
