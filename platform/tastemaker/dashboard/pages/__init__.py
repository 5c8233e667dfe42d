"""The pages, in the order of the navigation. A new page is a module here and a line in PAGES."""

from __future__ import annotations

from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import models

PAGES: tuple[DashboardPage, ...] = (models.PAGE,)
"""The first one is shown at `/`."""
