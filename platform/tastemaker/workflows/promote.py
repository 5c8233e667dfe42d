"""Who becomes champion after a run: the best model that beats the baseline, unless a person decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tastemaker.errors import RegistryError, TastemakerError

if TYPE_CHECKING:
    from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
    from tastemaker.evaluation.results import Backtest
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace


class PromotionResult(NamedTuple):
    """The champion after a run."""

    version: Version | None
    """None: no model has beaten the baseline yet, which is served meanwhile."""
    why: str
    warning: str | None = None
    """What keeps the champion from being changed, and a person may want to end."""


def promote_best(workspace: Workspace) -> PromotionResult:
    """Promote the best model's newest version, if its recipe beats the baseline and breaks no guardrail.

    Of models that do not differ, the champion's own stays, and a recipe that may be worse than the champion's
    does not take its place. A forced promotion or a rollback is a person's word: it stands until a person
    promotes without force, or ends the freeze.
    """
    from tastemaker.registry import champion

    problem, registry = workspace.problem, workspace.registry
    current = registry.champion(problem.name)
    if current and (freeze := registry.frozen(problem.name)):
        why = f"left as a person decided ({freeze.action}: {freeze.reason})"
        return PromotionResult(current, why, champion.frozen_said(freeze))
    board = workspace.leaderboard()
    model = choose(board, None if current is None else current.model)
    if model is None:
        return PromotionResult(current, f"no model beats {problem.baseline} within the guardrails")
    newest = registry.newest(model, problem=problem.name)
    if current and current.id == newest.id:
        return PromotionResult(current, "unchanged: still the best model's newest version")
    lacking = None if current is None else _evidence(workspace, current)
    try:
        promotion = workspace.promotion_gate.promote(newest.id)
    except RegistryError as error:
        return PromotionResult(current, error.problem, lacking)
    return PromotionResult(newest, promotion.reason)


def backtest_of(workspace: Workspace, version: Version) -> Backtest:
    """The backtest of a version's recipe on the data as it is now, run unless it is stored.

    It does not become the model's own figure. Raises TastemakerError where the recipe can't be fitted.
    """
    from pydantic import ValidationError

    from tastemaker.evaluation import backtest
    from tastemaker.plugins import discovery

    manifest, plugin = version.manifest, discovery.get(version.model)
    try:
        config = plugin.recommender.config_type.model_validate(manifest.config)
    except ValidationError as error:
        raise RegistryError(
            f"{plugin.distribution} {plugin.version} no longer takes the config of {version.model} "
            f"{version.id}: {error}",
            fix=f"install {manifest.distribution} {manifest.distribution_version}, or promote by force",
        ) from error
    return backtest.run(
        plugin,
        config,
        workspace.split(),
        workspace.problem,
        workspace.engine,
        workspace.settings.artifacts,
        listed=False,
    )


def _evidence(workspace: Workspace, champion: Version) -> str | None:
    """See to it that the champion's recipe can be compared; else why not, in words."""
    try:
        backtest_of(workspace, champion)
    except TastemakerError as error:
        return f"the champion {champion.model} {champion.id} can't be evaluated on this data: {error.problem}"
    return None


def choose(board: Leaderboard, champion: str | None) -> str | None:
    """The model to promote: of the best that beat the baseline and break nothing, the champion's first."""
    failed = {one.model for one in board.failures}  # there is no new version of these
    winners = [
        row for row in board.rows if row.verdict == "better" and not row.breaches and row.model not in failed
    ]
    best = [row.model for row in winners if row.model not in winners[0].better_than]
    if champion in best:
        return champion
    return best[0] if best else None
