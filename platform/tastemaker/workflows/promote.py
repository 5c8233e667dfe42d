"""Automatic promotion: after a run the best model that is better than the baseline begins its rollout.

Where no model may, the champion's recipe with newer data does unless it is worse than the baseline: what
would stay is the same recipe with older data.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from tastemaker.errors import RegistryError, TastemakerError, in_words

if TYPE_CHECKING:
    from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
    from tastemaker.evaluation.results import Backtest
    from tastemaker.registry import Registry, Version
    from tastemaker.registry.baseline_comparisons import BaselineComparison
    from tastemaker.rollouts.states import RolloutPath
    from tastemaker.rollouts.store import Rollout
    from tastemaker.workflows.rollouts.paths import PathDecision
    from tastemaker.workflows.workspace import Workspace


class PromotionResult(NamedTuple):
    """Champion after a run, and why."""

    version: Version | None
    """None: no model has been better than the baseline yet; the baseline is served."""
    why: str
    warning: str | None = None
    """What a person has to act on, such as a freeze, or a champion that is worse than the baseline."""


class _Candidate(NamedTuple):
    """Version that may begin its rollout."""

    version: Version
    reason: str
    """Why it is this one."""


def promote_best(workspace: Workspace) -> PromotionResult:
    """Begin the rollout of the best model's newest version, if it is better than the baseline.

    A model that breaches a guardrail is left out. Among models that do not differ significantly, the
    champion's model is kept, and a version that may be worse than the champion does not replace it. Where no
    model may begin, a newer fit of the champion does, unless it is worse than the baseline. On the path
    offline the version is the champion at the end of the call. After a forced promotion or a rollback nothing
    is promoted until someone promotes without force, or ends the freeze. How the champion's recipe compares
    with the baseline is stored. The plan of experiments is compiled again: their recipes may have new
    versions.
    """
    result = _promote_best(workspace)
    workspace.publish_experiments()
    return result


def _promote_best(workspace: Workspace) -> PromotionResult:
    from tastemaker.registry import champion

    problem, registry = workspace.problem, workspace.registry
    current, board = registry.champion(problem.name), workspace.leaderboard()
    if current and (freeze := registry.frozen(problem.name)):
        why = f"automatic promotion is frozen ({freeze.action}: {freeze.reason})"
        result = PromotionResult(current, why, champion.frozen_said(freeze))
    else:
        result = _first_begun(workspace, board, current)
    version = result.version
    compared = None if version is None else compare_with_baseline(workspace, board, version)
    if compared is None or not compared.is_worse:
        return result
    return result._replace(warning="; ".join(filter(None, (result.warning, _worse_said(compared)))))


def _first_begun(workspace: Workspace, board: Leaderboard, current: Version | None) -> PromotionResult:
    """Begin the rollout of the first candidate that may; return the champion after its first steps."""
    from tastemaker.workflows.rollouts.paths import decide_path, is_same_recipe

    model = choose(board, None if current is None else current.model)
    objections: list[str] = []
    lacking: str | None = None
    if model is None:
        objections.append(f"no model is better than {board.problem.baseline} within the guardrails")
    for candidate in _candidates(workspace.registry, board.problem.name, model, current):
        version = candidate.version
        if current is not None and current.id == version.id:
            return PromotionResult(current, "unchanged: still the best model's newest version")
        if current is not None and not is_same_recipe(current, version):
            lacking = _evidence(workspace, current)
        decided = decide_path(workspace, version)
        if (objection := _objection(workspace, board, version, decided.path)) is None:
            return _rolled_out(workspace, candidate, current, decided)
        objections.append(objection)
    return PromotionResult(current, "; ".join(objections), lacking)


def _candidates(
    registry: Registry, problem: str, model: str | None, current: Version | None
) -> Iterator[_Candidate]:
    """Yield what may replace the champion, in the order in which it is tried.

    Args:
        registry: Where the versions are.
        problem: The problem's name.
        model: The best model; None if none is better than the baseline.
        current: The champion; None if there is none.
    """
    from tastemaker.workflows.promotion_gate import is_newer_fit

    if model is not None:
        yield _Candidate(registry.newest(model, problem=problem), "it is the best model's newest version")
    if current is not None and current.model != model:
        newest = registry.newest(current.model, problem=problem)
        if is_newer_fit(newest.manifest, current.manifest):
            yield _Candidate(newest, "it is the champion's recipe with newer data")


def _objection(workspace: Workspace, board: Leaderboard, version: Version, path: RolloutPath) -> str | None:
    """Return why automation may not roll a version out; None if it may."""
    from tastemaker.rollouts import store
    from tastemaker.workflows.rollouts import offline

    if (fault := _fault(board, version.model)) is not None:
        return f"version {version.id} is not promoted: {fault}"
    if (before := store.refusal(workspace.engine, version.id)) is not None:
        return f"version {version.id} is not tried again: {before}"
    return offline.objection(workspace, version, path)


def compare_with_baseline(
    workspace: Workspace, board: Leaderboard, champion: Version
) -> BaselineComparison | None:
    """Store how the champion's recipe compares with the baseline on a leaderboard.

    Args:
        workspace: The home folder, in whose metadata database it is stored.
        board: The leaderboard.
        champion: The champion of the leaderboard's problem.

    Returns:
        What was stored; None if the champion is the baseline, or the leaderboard has not its recipe.
    """
    from tastemaker.registry import baseline_comparisons
    from tastemaker.registry.baseline_comparisons import BaselineComparison

    row = next((row for row in board.rows if row.model == champion.model), None)
    if row is None or row.difference is None or row.p is None:
        return None
    if row.backtest.config != champion.manifest.config:  # the row is of another recipe
        return None
    found = BaselineComparison(
        row.backtest.problem,
        row.backtest.id,
        row.model,
        board.problem.baseline,
        board.metric,
        row.difference,
        row.p,
        row.verdict,
        datetime.now(UTC),
    )
    baseline_comparisons.add(workspace.engine, found)
    return found


def _worse_said(compared: BaselineComparison) -> str:
    """Return that the baseline is better than the champion's recipe, and how to serve it."""
    from tastemaker.workflows.promotion_gate import figures_of, serve_baseline

    baseline = compared.baseline
    figures = figures_of(compared.model, baseline, compared.metric, compared.difference)
    return f"the baseline is better than the champion's recipe: {figures}; {serve_baseline(baseline)}"


def _rolled_out(
    workspace: Workspace, candidate: _Candidate, current: Version | None, decided: PathDecision
) -> PromotionResult:
    """Begin the rollout of a version unless another is open; return the champion after its first steps."""
    from tastemaker.rollouts import store
    from tastemaker.rollouts.states import SCHEDULE
    from tastemaker.workflows.rollouts import steps

    engine, version = workspace.engine, candidate.version
    for one in store.open_rollouts(engine, version.problem):
        after = steps.advance(workspace, one.id)
        if after.state == "promoted" or one.version_id == version.id:
            return _result_of(workspace, after, current)
        if after.is_open and not steps.is_replaceable(workspace, after, version):
            return PromotionResult(current, f"{store.named(after)}; {version.id} waits for its end")
    rollout = steps.begin(workspace, version.id, SCHEDULE, candidate.reason, decided=decided)
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

    The leaderboard does not show it.

    Args:
        workspace: The workspace, whose data and problem count.
        version: The version; its model must be installed.

    Raises:
        RegistryError: The installed release of the model does not accept the version's config.
        TastemakerError: The config can't be fitted, or there is no user to evaluate.
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
            f"{version.id}:\n    {in_words(error)}",
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
    winners = [row for row in board.rows if row.verdict == "better" and _fault(board, row.model) is None]
    best = [row.model for row in winners if row.model not in winners[0].better_than]
    if champion in best:
        return champion
    return best[0] if best else None


def _fault(board: Leaderboard, model: str) -> str | None:
    """Return what keeps a model out of production whatever its figure is; None: nothing does."""
    from tastemaker.evaluation.leaderboard.formatting import breach

    if any(one.model == model for one in board.failures):
        return f"{model} failed, so that there is no new version"
    row = next((row for row in board.rows if row.model == model), None)
    if row is None:
        return f"{model} is not on the leaderboard"
    if row.breaches:
        return f"{model} breaches a guardrail: {', '.join(map(breach, row.breaches))}"
    return None
