"""What a page is: a path, a question, and a function from stored figures to content.

A new page is a module in `pages` with one object, which `pages.PAGES` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tastemaker.dashboard.content import PageContent
from tastemaker.dashboard.filters import FilterName, PageFilters
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Role, Viewer

Load = Callable[[DashboardReader, PageFilters, Viewer], PageContent]
Act = Callable[[DashboardReader, Mapping[str, str], Mapping[str, str], Viewer], str]
"""From reader, parts of the address, fields of the form and viewer to the path of the page to show next."""


@dataclass(frozen=True)
class PageAction:
    """What a form on a page does."""

    name: str
    """Last part of its path: `/alerts/12/acknowledge`."""
    act: Act
    role: Role = Role.EDITOR
    """The least role that may do it."""


@dataclass(frozen=True)
class DashboardPage:
    """A page."""

    path: str
    """Starlette's path, such as `/alerts` or `/alerts/{number:int}`."""
    title: str
    question: str
    """What the page answers, such as `Does the recommender work today?`."""
    load: Load
    filters: Sequence[FilterName] = ()
    """The filters that it heeds; others are not offered."""
    actions: Sequence[PageAction] = ()
    in_navigation: bool = True
    role: Role = Role.VIEWER
    """The least role that may see it."""
    needs_user_ids: bool = False
    """Whether it shows user ids, for which a viewer needs a right of their own."""
    keeps: bool = True
    """Whether its content may be kept for a few seconds, and shown while the database is away."""

    def refuses(self, viewer: Viewer) -> str | None:
        """Return why a viewer may not see it; None if they may."""
        if viewer.role < self.role:
            return missing_role(viewer, self.role)
        if self.needs_user_ids and not viewer.may_see_users:
            return "This page shows user ids, and you have no right to see them."
        return None


def missing_role(viewer: Viewer, needed: Role) -> str:
    """Return why a viewer's role is not enough."""
    return f"Your role is {viewer.role.word}; this needs {needed.word}."
