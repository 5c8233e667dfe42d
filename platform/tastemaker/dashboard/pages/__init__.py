"""The pages, in the order of the navigation. A new page is a module here and a line in PAGES."""

from __future__ import annotations

from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import (
    alerts,
    data,
    drift,
    incident,
    model_version,
    models,
    report,
    reports,
    today,
)

PAGES: tuple[DashboardPage, ...] = (
    today.PAGE,
    models.PAGE,
    model_version.PAGE,
    drift.PAGE,
    alerts.PAGE,
    incident.PAGE,
    data.PAGE,
    reports.PAGE,
    report.PAGE,
)
"""The first one is shown at `/`."""
