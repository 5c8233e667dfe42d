"""Tastemaker: a self-hosted platform that trains, evaluates, serves and monitors recommender systems.

Notebooks and scripts use

    from tastemaker import load, split, fit, evaluate, compare

Each name is imported when it is first used, so that services and commands, which use none, start fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tastemaker._version import __version__

if TYPE_CHECKING:
    from tastemaker.notebook.evaluate import compare, evaluate
    from tastemaker.notebook.fit import fit, split
    from tastemaker.notebook.load import load
    from tastemaker.plugins import Capabilities, Config, Recommender, select

__all__ = [
    "Capabilities",
    "Config",
    "Recommender",
    "__version__",
    "compare",
    "evaluate",
    "fit",
    "load",
    "select",
    "split",
]

_HOMES = {
    "Capabilities": "tastemaker.plugins",
    "Config": "tastemaker.plugins",
    "Recommender": "tastemaker.plugins",
    "compare": "tastemaker.notebook.evaluate",
    "evaluate": "tastemaker.notebook.evaluate",
    "fit": "tastemaker.notebook.fit",
    "load": "tastemaker.notebook.load",
    "select": "tastemaker.plugins",
    "split": "tastemaker.notebook.fit",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tastemaker' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
