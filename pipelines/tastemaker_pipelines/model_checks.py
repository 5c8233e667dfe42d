"""The asset checks of one model, and what its assets report.

A model that fails does not fail its step: Dagster would skip all that depends on the step, and with the
leaderboard that is every other model. The asset reports why it failed, and its check fails.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from tastemaker.evaluation.failures import reason_of
from tastemaker.plugins.discovery import BrokenPlugin, Plugin
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.data_versions import CONFIG_TAG, config_version, version_of

Result = dg.MaterializeResult[None]


def check_spec(name: str, asset: str, model: str, description: str) -> list[dg.AssetCheckSpec]:
    """Return the check `name` of the asset `asset/model`, in a list, as Dagster's decorators take it.

    Args:
        name: The check's name.
        asset: The prefix of the asset's key, such as `backtests`.
        model: The model's name, in characters that an asset key may have.
        description: What it means that the check passed, as a sentence for Dagster's page.
    """
    return [dg.AssetCheckSpec(name, asset=dg.AssetKey([asset, model]), description=description)]


def broken_names(broken: Sequence[BrokenPlugin]) -> dict[str, list[BrokenPlugin]]:
    """Return the broken plugins by a valid asset name; two distributions may claim one name."""
    named: dict[str, list[BrokenPlugin]] = {}
    for one in broken:
        named.setdefault(re.sub(r"\W", "_", one.name, flags=re.ASCII), []).append(one)
    return named


def headline(plugin: Plugin) -> str:
    """Return the first line of the model's docstring, or its name if it has none."""
    return next(iter((plugin.recommender.__doc__ or "").strip().splitlines()), plugin.name)


def attempt(
    opened: Workspace, check: str, plugin: Plugin, made: str, work: Callable[[], Mapping[str, Any]]
) -> Result:
    """Do the work of one model's asset.

    Args:
        opened: Says whether the model takes part.
        check: Name of the asset's check.
        plugin: The model.
        made: Key of the metadata that identifies what was made: it is the asset's data version.
        work: Returns the asset's metadata.

    Returns:
        The asset with what `work` returned and a passed check; or if `work` raises, with the reason and a
        failed check.
    """
    if not opened.takes_part(plugin.name):
        return left_out(check)
    tags = {CONFIG_TAG: config_version(opened, plugin)}
    try:
        facts = work()
    except Exception as error:
        return failed(check, reason_of(plugin.name, error), tags)
    return dg.MaterializeResult(
        metadata=facts,
        check_results=[dg.AssetCheckResult(passed=True, check_name=check)],
        data_version=dg.DataVersion(facts[made]),
        tags=tags,
    )


def failed(check: str, reason: str, tags: Mapping[str, str] | None = None) -> Result:
    """Return the asset of a model that failed, with its failed check.

    Args:
        check: Name of the asset's check.
        reason: Why it failed.
        tags: Tags of the materialization.
    """
    result = dg.AssetCheckResult(passed=False, check_name=check, description=reason)
    return dg.MaterializeResult(
        metadata={"failed": reason},
        check_results=[result],
        data_version=version_of("failed", reason),
        tags=tags,
    )


def failure(result: Result) -> str:
    """Return why the model failed, or an empty string if it did not."""
    return "".join(check.description or "" for check in result.check_results or () if not check.passed)


def left_out(check: str) -> Result:
    """Return the asset of a model that the settings leave out."""
    return dg.MaterializeResult(
        metadata={"left_out": "by models.enabled or models.disabled in the settings"},
        check_results=[dg.AssetCheckResult(passed=True, check_name=check)],
        data_version=version_of("left out"),
    )
