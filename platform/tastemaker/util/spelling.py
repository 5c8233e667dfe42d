"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that is most like `word`.

    Args:
        word: The mistyped word.
        known: The words that exist.
        cutoff: The least likeness of a word, 0 to 1.

    Returns:
        None if no word is as near as `cutoff`.
    """
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the fix for a mistyped word, such as `did you mean popularity?`.

    Args:
        word: The mistyped word.
        known: The words that exist.
        otherwise: The fix if no known word is near.
    """
    guess = closest(word, known)
    return otherwise if guess is None else f"did you mean {guess}?"
