"""Who becomes champion after a run: the best model that beats the one to beat, unless a person decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tastemaker.errors import RegistryError

if TYPE_CHECKING:
    from tastemaker.evaluation.leaderboard import Leaderboard
    from tastemaker.registry import Version
    from tastemaker.workspace import Workspace


class Crowned(NamedTuple):
    """The champion after a run."""

    version: Version | None
    """None: no model has beaten the one to beat yet, which is served meanwhile."""
    why: str


def crown(workspace: Workspace) -> Crowned:
    """Promote the best model's newest version, if its recipe beats the one to beat and breaks no guardrail.

    Of models that do not differ, the champion's own stays. A forced promotion or a rollback is a person's
    word: it stands until a person promotes without force.
    """
    from tastemaker.registry import champion

    problem, registry = workspace.problem, workspace.registry
    current = registry.champion(problem.name)
    log = champion.log(workspace.engine, problem.name)
    if current and log and (log[-1].forced or log[-1].action == "rollback"):
        return Crowned(current, f"left as a person decided ({log[-1].action}: {log[-1].reason})")
    board = workspace.leaderboard()
    model = choose(board, None if current is None else current.model)
    if model is None:
        return Crowned(current, f"no model beats {problem.to_beat} within the guardrails")
    newest = registry.newest(model, problem=problem.name)
    if current and current.id == newest.id:
        return Crowned(current, "unchanged: still the best model's newest version")
    try:
        promotion = registry.promote(newest.id)
    except RegistryError as error:
        return Crowned(current, error.problem)
    return Crowned(newest, promotion.reason)


def choose(board: Leaderboard, champion: str | None) -> str | None:
    """The model to promote: of the best that beat the one to beat and break nothing, the champion's first."""
    failed = {one.model for one in board.failures}  # there is no new version of these
    winners = [
        row for row in board.rows if row.mark == "beats" and not row.breaches and row.model not in failed
    ]
    best = [row.model for row in winners if row.model not in winners[0].better_than]
    if champion in best:
        return champion
    return best[0] if best else None
