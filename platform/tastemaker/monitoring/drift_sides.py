"""The four sides of a drift report, and their titles."""

from __future__ import annotations

from typing import Final, Literal

Side = Literal["users", "features", "lists", "choices"]
SIDES: Final[tuple[Side, ...]] = ("users", "features", "lists", "choices")
TITLES: Final[dict[Side, str]] = {
    "users": "Who comes",
    "features": "What is asked for",
    "lists": "What is shown",
    "choices": "What users choose",
}
