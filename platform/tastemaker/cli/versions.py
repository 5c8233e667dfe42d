"""A version as people name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace


def named(opened: Workspace, name: str) -> Version:
    """By id, or the newest of a model. Raises RegistryError, also for a version of another problem."""
    from tastemaker.errors import RegistryError

    registry, problem = opened.registry, opened.problem.name
    if any(one.model == name for one in registry.list(problem=problem)):
        return registry.newest(name, problem=problem)
    found = registry.get(name)
    if found.problem != problem:
        raise RegistryError(
            f"version {name} is of the problem {found.problem!r}, {opened.settings.problem} is {problem!r}",
            fix="set TASTEMAKER_PROBLEM to its problem's file, or name another version",
        )
    return found
