"""Versions as users name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace


def named(opened: Workspace, name: str) -> Version:
    """Return a version by its id, or the newest version of a model.

    Args:
        opened: The workspace, which fixes the problem.
        name: A version's id or a model's name.

    Raises:
        RegistryError: There is no such version, or it belongs to another problem.
    """
    from tastemaker.errors import RegistryError

    registry, problem = opened.registry, opened.problem.name
    if any(one.model == name for one in registry.list(problem=problem)):
        return registry.newest(name, problem=problem)
    found = registry.get(name)
    if found.problem != problem:
        raise RegistryError(
            f"version {name} belongs to the problem {found.problem!r}, not to {problem!r} "
            f"of {opened.settings.problem}",
            fix="set TASTEMAKER_PROBLEM to its problem's file, or name another version",
        )
    return found
