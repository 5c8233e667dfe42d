"""How old a model may become: as its loss per week was measured."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import dagster as dg
from sqlalchemy import make_url

from tastemaker.monitoring.model_facts import stale_after
from tastemaker.workflows.workspace import Workspace

_SHORTEST = timedelta(minutes=1)
"""Dagster's shortest window."""
_LONGEST = timedelta(days=3_650)
"""A model that loses so slowly is never stale; a longer time might not be a date."""


def freshness_window(opened: Workspace, model: str) -> timedelta | None:
    """Return the time after which a model is stale; None if no loss was measured that matters in ten years.

    Args:
        opened: The home folder, whose problem and measurements are read.
        model: The model's name.
    """
    loss = opened.settings.alerts.model_stale.loss
    seconds = stale_after(opened.engine, opened.problem.name, model, loss)
    if seconds is None or seconds > _LONGEST.total_seconds():
        return None
    return timedelta(seconds=seconds)


def freshness_policies(opened: Workspace, models: Iterable[str]) -> dict[str, dg.FreshnessPolicy]:
    """Return model -> the policy that Dagster's page shows, by what was measured when it was loaded.

    A home folder without a problem file or database has measured nothing, and stays without one.

    Args:
        opened: The home folder, whose problem and measurements are read.
        models: The models' names.
    """
    settings = opened.settings
    database = make_url(settings.metadata_url)
    is_file = database.get_backend_name() == "sqlite"
    if not settings.problem.exists() or (is_file and not Path(database.database or "").exists()):
        return {}
    own = Workspace(settings)  # definitions are loaded by processes that need no database afterwards
    windows = {model: freshness_window(own, model) for model in models}
    own.engine.dispose()
    return {
        model: dg.FreshnessPolicy.time_window(max(window, _SHORTEST))
        for model, window in windows.items()
        if window is not None
    }
