"""Models that can't be told apart, in groups: what a short leaderboard folds into a line.

The first group is the best model with those after it, in the order of their figures, that it is not better
than beyond chance; the first model after these begins the next group. "Can't be told apart" is not
transitive: a model may be told from one in the middle of its group, and not from one of the next. All that
is known of the order is in the ranks.
"""

from __future__ import annotations

from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard, Row
from tastemaker.evaluation.leaderboard.pairwise import Ranks


def groups(board: Leaderboard) -> list[tuple[Row, ...]]:
    """The rows in their order, none left out; a group's first row is not better than any of its others."""
    places = {model: at for at, model in enumerate(board.models)}
    found: list[list[Row]] = []
    for row in board.rows:
        if found and not board.pairs.better[places[found[-1][0].model], places[row.model]]:
            found[-1].append(row)
        else:
            found.append([row])
    return [tuple(group) for group in found]


def ranks_of(group: tuple[Row, ...]) -> Ranks:
    """Every rank that one of the group can have."""
    return Ranks(min(row.ranks.first for row in group), max(row.ranks.last for row in group))
