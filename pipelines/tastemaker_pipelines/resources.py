"""The workspace as a Dagster resource.

A plain object and not a ConfigurableResource: its settings may hold passwords, and Dagster shows config.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import dagster as dg

from tastemaker.settings import Settings, load_settings
from tastemaker.workflows.training.trainer import Trainer
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run_processes import run_process


class LazyWorkspace:
    """A workspace that is opened on first use, and the failures of models in this process."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._opened: Workspace | None = None
        self._trainer: Trainer | None = None
        self.failed: dict[tuple[str, str], str] = {}
        """(run id, model) -> why the model's backtest failed in that run."""

    def open(self) -> Workspace:
        """Return the workspace of the given settings, or of the environment's; always the same object."""
        if self._opened is None:
            self._opened = Workspace.open() if self._settings is None else Workspace(self._settings)
        return self._opened

    def reload(self) -> None:
        """Read the environment's settings again: the process of the sensors lives for days."""
        if self._settings is None and (settings := load_settings()) != self.open().settings:
            self.close()
            self._opened, self._trainer = Workspace(settings), None

    @property
    def trainer(self) -> Trainer:
        """Trains the models of the workspace, in a child process that all steps of this process share."""
        if self._trainer is None:
            self._trainer = Trainer(self.open())
        return self._trainer

    def close(self) -> None:
        """End the child process in which models are trained, if there is one."""
        if self._trainer is not None:
            self._trainer.close()


def workspace_resource(workspace: LazyWorkspace) -> dg.ResourceDefinition:
    """Return the workspace as a resource; while a run has it, the run's process shows that it lives.

    With the run, the child process ends in which it trained models.
    """

    @dg.resource
    def opened(context: dg.InitResourceContext) -> Iterator[LazyWorkspace]:
        if context.run is None or context.instance is None:
            yield workspace
            return
        settings = workspace.open().settings
        with run_process(settings, context.instance, context.run.run_id), closing(workspace):
            yield workspace

    return opened


WorkspaceResource = dg.ResourceParam[LazyWorkspace]
"""The annotation with which an asset requests it."""
