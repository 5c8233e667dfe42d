"""The workspace as a Dagster resource; `build_defs(workspace=...)` is the test seam.

A plain object and not a ConfigurableResource: its settings may hold passwords, and Dagster shows config.
"""

from __future__ import annotations

import dagster as dg

from tastemaker.settings import Settings
from tastemaker.workflows.workspace import Workspace


class LazyWorkspace:
    """Opens the workspace when an asset first asks for it, so that loading the definitions opens nothing."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._opened: Workspace | None = None
        self.failed: dict[tuple[str, str], str] = {}
        """(run, model) -> why the model's backtest failed in that run."""

    def open(self) -> Workspace:
        """The same workspace for the life of the process: of the given settings, or the environment's."""
        if self._opened is None:
            self._opened = Workspace.open() if self._settings is None else Workspace(self._settings)
        return self._opened


WorkspaceResource = dg.ResourceParam[LazyWorkspace]
"""How an asset asks for it."""
