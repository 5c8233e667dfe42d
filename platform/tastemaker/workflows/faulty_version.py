"""A version of the model that fails on demand, which a service of a simulated shop may serve."""

from __future__ import annotations

import importlib
import sys
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


def register_faulty(workspace: Workspace) -> Version:
    """Fit and register a version of the model `faulty`, and deploy it to the services of that model.

    The champion stays as it is: `tastemaker serve faulty` serves it. This process knows the model from then
    on.

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
    version = workspace.registry.add(
        discovery.get(MODEL).recommender(switch=str(switch)).fit(data),
        problem=workspace.problem,
        snapshot=cut.serving_snapshot,
        window=(cut.start, cut.end),
        counts={"events": len(data.events), "users": data.n_users, "items": data.n_items},
        seed=seed,
        precompute=precomputing(workspace.settings, data.features),
    )
    workspace.registry.deploy(version)
    return version
