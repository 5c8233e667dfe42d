"""Feast, imported in a third of the time."""

from __future__ import annotations

from types import ModuleType
from typing import TypeVar

ClassT = TypeVar("ClassT", bound=type)


def import_feast() -> ModuleType:
    """Import Feast without its checks of argument types at run time. To be called before any import from it.

    For these checks typeguard parses and compiles each of 22 classes again, in each process: two thirds of
    the processor time that the import takes. mypy checks our calls.
    """
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = _unchecked  # type: ignore[assignment]
    try:
        import feast
    finally:
        typeguard.typechecked = checked
    return feast


def _unchecked(kind: ClassT) -> ClassT:
    return kind
