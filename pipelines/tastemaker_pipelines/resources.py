"""The workspace as a Dagster resource.

A plain object and not a ConfigurableResource: its settings may hold passwords, and Dagster shows config.
"""

from __future__ import annotations

import dagster as dg

from tastemaker.settings import Settings
from tastemaker.workflows.workspace import Workspace


class LazyWorkspace:
    """A workspace that is opened on first use, and the failures of models in this process."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._opened: Workspace | None = None
        self.failed: dict[tuple[str, str], str] = {}
        """(run id, model) -> why the model's backtest failed in that run."""

    def open(self) -> Workspace:
        """Return the workspace of the given settings, or of the environment's; always the same object."""
        if self._opened is None:
            self._opened = Workspace.open() if self._settings is None else Workspace(self._settings)
        return self._opened


WorkspaceResource = dg.ResourceParam[LazyWorkspace]
"""The annotation with which an asset requests it."""
