"""Ids that a problem or a setting names and the data lack: how many, and which ids were perhaps meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tastemaker.snapshot.ids import IdIndex
from tastemaker.util.spelling import closest

SHOWN = 5
"""Ids that are given as examples."""
FOLLOWS = {
    "candidates.blocked_items": "block nothing",
    "candidates.blocked_categories": "block nothing",
    "serving.static_items": "are shown all the same where no model answers",
}
"""Key of the problem or the settings -> the effect of its unknown ids."""
_CLOSE = 200
"""Ids that share the most pairs of letters with a word; only these are compared letter by letter."""


def unknown_ids(key: str, named: Iterable[str], known: IdIndex, *, where: str = "the data") -> str | None:
    """Return a message that lists unknown ids with the nearest known ones; None if all are known.

    Args:
        key: The key of the problem or the settings that names the ids, one of FOLLOWS.
        named: The ids that the key has, in any order; they may repeat.
        known: The ids that exist.
        where: What lacks them, in words.
    """
    wanted = sorted(set(named))
    unknown = [each for each, number in zip(wanted, known.lookup(wanted).tolist(), strict=True) if number < 0]
    if not unknown:
        return None
    return (
        f"{key}: {len(unknown):,} of {len(wanted):,} are not in {where} and {FOLLOWS[key]}, such as "
        f"{_examples(unknown, known)}"
    )


def _examples(unknown: Sequence[str], known: IdIndex) -> str:
    """Return the first of the unknown ids, each with the nearest known one."""
    guesses = [(each, nearest(each, known)) for each in unknown[:SHOWN]]
    shown = [each if guess is None else f"{each} (did you mean {guess}?)" for each, guess in guesses]
    more = f" and {len(unknown) - SHOWN:,} more" if len(unknown) > SHOWN else ""
    return ", ".join(shown) + more


def nearest(word: str, known: IdIndex) -> str | None:
    """Return the known id that is most like `word` in any letter case; None if none is near.

    Comparing a word with a million ids letter by letter takes many seconds, so that the ids which share the
    most pairs of letters with it (Dice's coefficient) are found first, in whole arrays.

    Args:
        word: The id that was written.
        known: The ids that exist.
    """
    letters = word.lower().encode("utf-8", "surrogatepass")
    if not letters.strip(b"\0") or not len(known):
        return None
    lowered = np.strings.lower(known.encoded)
    pairs = {letters[at : at + 2] for at in range(max(len(letters) - 1, 1))}
    shared = np.zeros(len(lowered), np.int32)
    for pair in pairs:
        shared += np.strings.find(lowered, np.bytes_(pair)) >= 0
    likeness = shared / (len(pairs) + np.maximum(np.strings.str_len(lowered) - 1, 1))
    few = np.argsort(-likeness, kind="stable")[:_CLOSE]
    by_lower: dict[str, str] = {}
    for each in known.decode(few):
        by_lower.setdefault(each.lower(), each)
    found = closest(word.lower(), by_lower)
    return None if found is None else by_lower[found]
