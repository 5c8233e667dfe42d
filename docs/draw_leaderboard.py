"""Draw docs/images/leaderboard.png: python docs/draw_leaderboard.py

Nine models on the shop of the README's notebook lines.
"""

from __future__ import annotations

from pathlib import Path

from tastemaker import compare, fit, load, split

PICTURE = Path(__file__).parent / "images" / "leaderboard.png"
MODELS = (
    "bought_again",
    "bpr",
    "content",
    "ease",
    "ials",
    "item_knn",
    "popularity",
    "random",
    "trending",
)


def draw(path: Path) -> None:
    """Write the picture to a file."""
    parts = split(load("simulated", n_users=800, n_items=300, n_days=120, events_per_day=600, seed=1))
    compare(*(fit(name, parts) for name in MODELS)).plot(path)


if __name__ == "__main__":
    draw(PICTURE)
