"""The pages, in the order of the navigation. A new page is a module here and a line in PAGES."""

from __future__ import annotations

from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import model_version, models, today

PAGES: tuple[DashboardPage, ...] = (today.PAGE, models.PAGE, model_version.PAGE)
"""The first one is shown at `/`."""
