"""Training: fit a model on all data until now, and register it with its backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.errors import RegistryError

if TYPE_CHECKING:
    from tastemaker.plugins.discovery import Plugin
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace


def train(workspace: Workspace, plugin: Plugin) -> Version:
    """Return a model's version for the current data; fit and register it unless it exists.

    A version exists if its backtest's id is the same: problem, model, config, data, seed and code. The
    backtest is run unless it is stored. Two processes at once get the same version.

    Args:
        workspace: The home folder, with the data that are fitted.
        plugin: The model.

    Raises:
        TastemakerError: The model fails, or the version can't be saved; then nothing is registered.
    """
    from tastemaker.plugins.safe_calls import fit
    from tastemaker.serving.build.precompute import precomputing
    from tastemaker.util.file_lock import file_lock
    from tastemaker.workflows.drift_reference import ensure_drift_reference

    config, seed = workspace.config(plugin), workspace.settings.seed
    evidence = workspace.backtest(plugin)
    with file_lock(workspace.settings.artifacts / plugin.name / ".lock"):
        newest = _newest(workspace, plugin)
        if newest is not None and newest.backtest_id == evidence.id:
            return newest
        cut = workspace.cut()
        data = cut.training(seed)
        version = workspace.registry.add(
            fit(plugin, config, data),
            problem=workspace.problem,
            snapshot=cut.serving_snapshot,
            window=(cut.start, cut.end),
            counts={"events": len(data.events), "users": data.n_users, "items": data.n_items},
            seed=seed,
            backtest_id=evidence.id,
            precompute=precomputing(workspace.settings, data.features),
        )
        ensure_drift_reference(
            workspace.lake, workspace.registry, version, workspace.settings.source.user_columns
        )
        return version


def _newest(workspace: Workspace, plugin: Plugin) -> Version | None:
    try:
        return workspace.registry.newest(plugin.name, problem=workspace.problem.name)
    except RegistryError:
        return None
