"""Two assets a model, made from the installed plugins: its backtest, and the version that is fit to serve.

A model that fails does not fail its step: Dagster would skip all that depends on it, and with the leaderboard
that is every other model. The asset says why it failed, and its check fails.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from tastemaker.evaluation.failures import reason_of
from tastemaker.plugins.discovery import BrokenPlugin, Plugin
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.assets.common import MODEL_TEAM, told
from tastemaker_pipelines.resources import WorkspaceResource

EVALUATED = "was_evaluated"
FITTED = "was_fitted"


def training_assets(plugin: Plugin) -> tuple[dg.AssetsDefinition, dg.AssetsDefinition]:
    """`backtests/<name>` and `models/<name>`."""
    return _backtest(plugin), _model(plugin)


def broken_assets(broken: Sequence[BrokenPlugin]) -> list[dg.AssetsDefinition]:
    """`backtests/<name>` of models that can't be used: only to say so, there and on the leaderboard."""
    return [_broken(name, found) for name, found in broken_names(broken).items()]


def broken_names(broken: Sequence[BrokenPlugin]) -> dict[str, list[BrokenPlugin]]:
    """A name that an asset may have -> the broken plugins: two distributions may claim one name."""
    named: dict[str, list[BrokenPlugin]] = {}
    for one in broken:
        named.setdefault(re.sub(r"\W", "_", one.name, flags=re.ASCII), []).append(one)
    return named


def _needs_features(plugin: Plugin) -> list[str]:
    capabilities = plugin.recommender.capabilities
    return (
        ["user_features", "item_features"] if capabilities.user_features or capabilities.item_features else []
    )


def _check(name: str, asset: str, model: str, description: str) -> list[dg.AssetCheckSpec]:
    return [dg.AssetCheckSpec(name, asset=dg.AssetKey([asset, model]), description=description)]


def _backtest(plugin: Plugin) -> dg.AssetsDefinition:
    @dg.asset(
        key=["backtests", plugin.name],
        group_name="backtests",
        deps=["events", "items", "users", *_needs_features(plugin)],
        kinds={"python"},
        owners=[MODEL_TEAM],
        code_version=plugin.version,
        check_specs=_check(EVALUATED, "backtests", plugin.name, "The model was fitted and evaluated."),
        description=(
            f"{_headline(plugin)} Fitted on the training window and judged on the period after it: "
            "the evidence for the recipe."
        ),
    )
    def backtest(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        with told():
            opened = workspace.open()
            opened.split()
        result = _attempt(opened, EVALUATED, plugin.name, lambda: _evaluated(context, opened, plugin))
        if reason := _failure(result):
            workspace.failed[context.run.run_id, plugin.name] = reason
        yield result

    return backtest


def _evaluated(context: dg.AssetExecutionContext, opened: Workspace, plugin: Plugin) -> dict[str, Any]:
    from tastemaker.evaluation.leaderboard.formatting import span

    result = opened.backtest(
        plugin, progress=lambda done, all_: context.log.info(f"judged {done:,} of {all_:,} users")
    )
    primary = result.metrics[opened.problem.metric]
    return {
        opened.problem.metric: primary.value,
        "interval": span(primary),
        "users_judged": result.users,
        "train_seconds": result.train_seconds,
        "score_seconds": result.score_seconds,
        "artifact_bytes": result.artifact_bytes,
        "backtest": result.id,
    }


def _model(plugin: Plugin) -> dg.AssetsDefinition:
    @dg.asset(
        key=["models", plugin.name],
        group_name="models",
        deps=[["backtests", plugin.name]],
        kinds={"python"},
        owners=[MODEL_TEAM],
        code_version=plugin.version,
        check_specs=_check(FITTED, "models", plugin.name, "A version for today's data is registered."),
        description=f"{_headline(plugin)} Fitted on everything until now: a version that may be served.",
    )
    def model(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        with told():
            opened = workspace.open()
            opened.split()
        if reason := workspace.failed.get((context.run.run_id, plugin.name)):
            yield _failed(FITTED, f"there is no new version, for the backtest failed: {reason}")
        else:
            yield _attempt(opened, FITTED, plugin.name, lambda: _fitted(opened, plugin))

    return model


def _fitted(opened: Workspace, plugin: Plugin) -> dict[str, Any]:
    from tastemaker.evaluation import failures
    from tastemaker.workflows.train import train

    problem = opened.problem.name
    try:
        version = train(opened, plugin)
    except Exception as error:
        reason = failures.NOT_FITTED + reason_of(plugin.name, error)
        failures.put(opened.engine, problem, plugin.name, reason)
        raise
    failures.clear(opened.engine, problem, plugin.name, fitted=True)
    return {"version": version.id, "events": version.manifest.counts["events"]}


def _broken(name: str, found: Collection[BrokenPlugin]) -> dg.AssetsDefinition:
    reason = "\n".join(str(one) for one in found)
    names = sorted({one.name for one in found})

    @dg.asset(
        key=["backtests", name],
        group_name="backtests",
        kinds={"python"},
        owners=[MODEL_TEAM],
        check_specs=_check(EVALUATED, "backtests", name, "The model was fitted and evaluated."),
        description=f"A model that can't be used: {reason}",
    )
    def backtest(workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult[None]]:
        from tastemaker.evaluation import failures

        with told():
            opened = workspace.open()
            taking_part = [one for one in names if opened.takes_part(one)]
            for one in taking_part:
                failures.put(opened.engine, opened.problem.name, one, reason)
        yield _failed(EVALUATED, f"model {reason}") if taking_part else _left_out(EVALUATED)

    return backtest


def _attempt(
    opened: Workspace, check: str, model: str, work: Callable[[], Mapping[str, Any]]
) -> dg.MaterializeResult[None]:
    """What `work` says of a model; if it fails, why."""
    if not opened.takes_part(model):
        return _left_out(check)
    try:
        facts = work()
    except Exception as error:
        return _failed(check, reason_of(model, error))
    return dg.MaterializeResult(
        metadata=facts, check_results=[dg.AssetCheckResult(passed=True, check_name=check)]
    )


def _failed(check: str, reason: str) -> dg.MaterializeResult[None]:
    result = dg.AssetCheckResult(passed=False, check_name=check, description=reason)
    return dg.MaterializeResult(metadata={"failed": reason}, check_results=[result])


def _failure(result: dg.MaterializeResult[None]) -> str:
    """Why the model failed; empty if it did not."""
    return "".join(check.description or "" for check in result.check_results or () if not check.passed)


def _left_out(check: str) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(
        metadata={"left_out": "by models.enabled or models.disabled in the settings"},
        check_results=[dg.AssetCheckResult(passed=True, check_name=check)],
    )


def _headline(plugin: Plugin) -> str:
    """The first line of the model's docstring, else its name."""
    return next(iter((plugin.recommender.__doc__ or "").strip().splitlines()), plugin.name)
