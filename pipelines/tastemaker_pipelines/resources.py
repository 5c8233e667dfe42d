"""The workspace as a Dagster resource; `build_defs(workspace=...)` is the test seam."""

from __future__ import annotations

import dagster as dg
from pydantic import PrivateAttr

from tastemaker.settings import Settings
from tastemaker.workspace import Workspace


class WorkspaceResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the workspace when an asset first asks for it, so that loading the definitions opens nothing."""

    _settings: Settings | None = PrivateAttr(default=None)
    _opened: Workspace | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, settings: Settings) -> WorkspaceResource:
        """A resource bound to given settings instead of the environment's."""
        resource = cls()
        resource._settings = settings
        return resource

    def open(self) -> Workspace:
        """The workspace; the same one for the life of the process."""
        if self._opened is None:
            self._opened = Workspace.open() if self._settings is None else Workspace(self._settings)
        return self._opened
