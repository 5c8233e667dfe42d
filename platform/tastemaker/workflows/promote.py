"""Automatic promotion: after a run the best model that is better than the baseline begins its rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tastemaker.errors import RegistryError, TastemakerError

if TYPE_CHECKING:
    from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
    from tastemaker.evaluation.results import Backtest
    from tastemaker.registry import Version
    from tastemaker.rollouts.store import Rollout
    from tastemaker.workflows.rollouts.paths import PathDecision
    from tastemaker.workflows.workspace import Workspace


class PromotionResult(NamedTuple):
    """Champion after a run, and why."""

    version: Version | None
    """None: no model has been better than the baseline yet; the baseline is served."""
    why: str
    warning: str | None = None
    """What prevents a change of the champion, such as a freeze."""


def promote_best(workspace: Workspace) -> PromotionResult:
    """Begin the rollout of the best model's newest version, if it is better than the baseline.

    A model that breaches a guardrail is left out. Among models that do not differ significantly, the
    champion's model is kept, and a version that may be worse than the champion does not replace it. On the
    path offline the version is the champion at the end of the call. After a forced promotion or a rollback
    nothing is promoted until someone promotes without force, or ends the freeze. The plan of experiments is
    compiled again: their recipes may have new versions.
    """
    result = _promote_best(workspace)
    workspace.publish_experiments()
    return result


def _promote_best(workspace: Workspace) -> PromotionResult:
    from tastemaker.registry import champion
    from tastemaker.workflows.rollouts import offline
    from tastemaker.workflows.rollouts.paths import decide_path

    problem, registry = workspace.problem, workspace.registry
    current = registry.champion(problem.name)
    if current and (freeze := registry.frozen(problem.name)):
        why = f"automatic promotion is frozen ({freeze.action}: {freeze.reason})"
        return PromotionResult(current, why, champion.frozen_said(freeze))
    board = workspace.leaderboard()
    model = choose(board, None if current is None else current.model)
    if model is None:
        return PromotionResult(current, f"no model is better than {problem.baseline} within the guardrails")
    newest = registry.newest(model, problem=problem.name)
    if current and current.id == newest.id:
        return PromotionResult(current, "unchanged: still the best model's newest version")
    lacking = None if current is None else _evidence(workspace, current)
    decided = decide_path(workspace, newest)
    if (objection := offline.objection(workspace, newest, decided.path)) is not None:
        return PromotionResult(current, objection, lacking)
    return _rolled_out(workspace, newest, current, decided)


def _rolled_out(
    workspace: Workspace, version: Version, current: Version | None, decided: PathDecision
) -> PromotionResult:
    """Begin the rollout of a version unless another is open; return the champion after its first steps."""
    from tastemaker.rollouts import store
    from tastemaker.rollouts.states import SCHEDULE
    from tastemaker.workflows.rollouts import steps

    engine = workspace.engine
    for one in store.open_rollouts(engine, version.problem):
        after = steps.advance(workspace, one.id)
        if after.state == "promoted" or one.version_id == version.id:
            return _result_of(workspace, after, current)
        if after.is_open and not steps.is_replaceable(workspace, after, version):
            return PromotionResult(current, f"{store.named(after)}; {version.id} waits for its end")
    if (before := store.refusal(engine, version.id)) is not None:
        return PromotionResult(current, f"version {version.id} is not tried again: {before}")
    reason = "it is the best model's newest version"
    rollout = steps.begin(workspace, version.id, SCHEDULE, reason, decided=decided)
    return _result_of(workspace, steps.advance(workspace, rollout.id), current)


def _result_of(workspace: Workspace, rollout: Rollout, before: Version | None) -> PromotionResult:
    """Return the champion after the steps of a rollout, and what came of them last."""
    from tastemaker.rollouts import store

    last = store.read_changes(workspace.engine, rollout.id)[-1]
    if rollout.state == "promoted":
        return PromotionResult(workspace.registry.champion(rollout.problem), last.reason)
    return PromotionResult(before, f"{store.named(rollout)}: {last.reason}")


def backtest_of(workspace: Workspace, version: Version) -> Backtest:
    """Return the backtest of a version's model and config on the current data; run it unless it is stored.

    The leaderboard does not show it. Raises TastemakerError if the config can't be fitted.
    """
    from pydantic import ValidationError

    from tastemaker.evaluation import backtest
    from tastemaker.plugins import discovery

    manifest, plugin = version.manifest, discovery.get(version.model)
    try:
        config = plugin.recommender.config_type.model_validate(manifest.config)
    except ValidationError as error:
        raise RegistryError(
            f"{plugin.distribution} {plugin.version} no longer accepts the config of {version.model} "
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
    """Run the backtest of the champion's config; return the reason if that is not possible."""
    try:
        backtest_of(workspace, champion)
    except TastemakerError as error:
        return f"the champion {champion.model} {champion.id} can't be evaluated on this data: {error.problem}"
    return None


def choose(board: Leaderboard, champion: str | None) -> str | None:
    """Return the model to promote: of the best that pass, the champion's model if it is among them.

    Args:
        board: The leaderboard.
        champion: The model of the champion; None if there is none.

    Returns:
        The model's name; None if no model is better than the baseline and within the guardrails.
    """
    failed = {one.model for one in board.failures}  # there is no new version of these
    winners = [
        row for row in board.rows if row.verdict == "better" and not row.breaches and row.model not in failed
    ]
    best = [row.model for row in winners if row.model not in winners[0].better_than]
    if champion in best:
        return champion
    return best[0] if best else None
