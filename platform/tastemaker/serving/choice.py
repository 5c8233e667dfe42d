"""Which version of a model is served."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.settings import Settings

if TYPE_CHECKING:
    from tastemaker.registry import Registry

VERSION = "TASTEMAKER_VERSION"
"""Environment: the id of the version to serve; the newest sound one if it is not set."""


def version_folder(settings: Settings, model: str) -> Path:
    """Where the version to serve is kept. Raises RegistryError if there is none.

    A named version needs no database: its folder is known, and whoever loads it verifies it.
    """
    named = os.environ.get(VERSION)
    if named:
        return settings.artifacts / model / named
    return open_registry(settings).newest(model, problem=problem_name(settings)).folder


def problem_name(settings: Settings) -> str | None:
    """The problem whose versions are served; None (any problem's) where there is no problem file."""
    if not settings.problem.exists():
        return None
    from tastemaker.problem import load_problem

    return load_problem(settings.problem).name


def open_registry(settings: Settings) -> Registry:
    """The registry of the home folder."""
    from tastemaker.registry import Registry
    from tastemaker.storage.engine import open_engine

    return Registry(open_engine(settings.metadata_url), settings.artifacts)
