"""How old a model may become: as its loss per week was measured."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
from sqlalchemy import make_url

from tastemaker.monitoring.model_facts import stale_after
from tastemaker.workflows.workspace import Workspace

_SHORTEST = timedelta(minutes=1)
"""Dagster's shortest window."""


def freshness_window(opened: Workspace, model: str) -> timedelta | None:
    """Return the time after which a model is stale; None if no loss per week above 0 was measured.

    Args:
        opened: The workspace.
        model: The model's name.
    """
    loss = opened.settings.alerts.model_stale.loss
    seconds = stale_after(opened.engine, opened.problem.name, model, loss)
    return None if seconds is None else timedelta(seconds=seconds)


def freshness_policy(opened: Workspace, model: str) -> dg.FreshnessPolicy | None:
    """Return the policy that Dagster's page shows for a model, by what was measured when it was loaded.

    A home folder without a problem file or database has measured nothing, and stays without one.

    Args:
        opened: The workspace.
        model: The model's name.
    """
    database = make_url(opened.settings.metadata_url)
    is_file = database.get_backend_name() == "sqlite"
    if not opened.settings.problem.exists() or (is_file and not Path(database.database or "").exists()):
        return None
    window = freshness_window(opened, model)
    return None if window is None else dg.FreshnessPolicy.time_window(max(window, _SHORTEST))
