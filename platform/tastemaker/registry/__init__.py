"""Model versions: stored whole, verified on loading, promoted only if they beat the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tastemaker.registry.registry import Registry as Registry
    from tastemaker.registry.registry import Version as Version

__all__ = ["Registry", "Version"]


def __getattr__(name: str) -> Any:
    """Import the database half only when asked: `tastemaker.registry.artifact` works without SQLAlchemy."""
    if name in __all__:
        from tastemaker.registry import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
