"""Versions of the model that fails on demand, which a service of a simulated shop may serve."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.simulator.faults.switch import NAME

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace

MODEL = "faulty"


def plugin_folder() -> Path:
    """Return the folder that must be on PYTHONPATH for the model `faulty` to be known."""
    return Path(str(files("tastemaker.simulator.faults") / "plugin"))


def _register(workspace: Workspace) -> Version:
    """Fit and register a version of the model `faulty`. This process knows the model from then on.

    Args:
        workspace: The workspace of a simulated shop with events.

    Raises:
        TastemakerError: There are no events, or the version can't be written.
    """
    from tastemaker.plugins import discovery
    from tastemaker.serving.build.precompute import precomputing

    folder = str(plugin_folder())
    if folder not in sys.path:
        sys.path.append(folder)
        importlib.invalidate_caches()
    switch = (workspace.settings.home / NAME).resolve()
    cut, seed = workspace.cut(), workspace.settings.seed
    data = cut.training(seed)
    return workspace.registry.add(
        discovery.get(MODEL).recommender(switch=str(switch)).fit(data),
        problem=workspace.problem,
        snapshot=cut.serving_snapshot,
        window=(cut.start, cut.end),
        counts={"events": len(data.events), "users": data.n_users, "items": data.n_items},
        seed=seed,
        precompute=precomputing(workspace.settings, data.features),
    )


def deploy_faulty(workspace: Workspace) -> Version:
    """Register a version of the model `faulty`, and deploy it to the services of that model.

    The champion stays as it is: `tastemaker serve faulty` serves the version.

    Args:
        workspace: The workspace of a simulated shop with events.

    Raises:
        TastemakerError: There are no events, or the version can't be written.
    """
    version = _register(workspace)
    workspace.registry.deploy(version)
    return version


@contextmanager
def bad_version(workspace: Workspace, switch: AbstractContextManager[None]) -> Iterator[None]:
    """Deploy a version that answers otherwise than it did when it was registered, and a good one at the end.

    Args:
        workspace: The workspace of a simulated shop with events.
        switch: Switches the fault `bad_version` on.

    Yields:
        Nothing, once the version is deployed.

    Raises:
        TastemakerError: There are no events, or a version can't be written.
    """
    version = _register(workspace)
    try:
        with switch:
            workspace.registry.deploy(version)
            yield
    finally:
        deploy_faulty(workspace)
