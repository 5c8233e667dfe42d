"""Groups of models without significant differences, each one line of the short leaderboard.

The first group is the best model with those after it, in the order of their figures, that it is not
significantly better than; the first model after these begins the next group. The relation is not transitive:
a model may differ significantly from one in the middle of its group, and not from one of the next group. The
ranks say all that is known of the order.
"""

from __future__ import annotations

from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard, LeaderboardRow
from tastemaker.evaluation.leaderboard.pairwise import Ranks


def groups(board: Leaderboard) -> list[tuple[LeaderboardRow, ...]]:
    """Return all rows in groups, whose first row is not significantly better than the others of its group."""
    places = {model: at for at, model in enumerate(board.models)}
    found: list[list[LeaderboardRow]] = []
    for row in board.rows:
        if found and not board.pairs.better[places[found[-1][0].model], places[row.model]]:
            found[-1].append(row)
        else:
            found.append([row])
    return [tuple(group) for group in found]


def ranks_of(group: tuple[LeaderboardRow, ...]) -> Ranks:
    """Return the range of ranks that the models of a group can have."""
    return Ranks(min(row.ranks.first for row in group), max(row.ranks.last for row in group))
